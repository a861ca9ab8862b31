package chart

import (
	"cmp"
	"fmt"
	"strings"
)

// Heat levels: what a cell of a [Heat] map may be.
const (
	HeatNone = 0 // nothing: the background shows
	HeatHole = 1 // the warm tone: used before, empty now
	HeatLow  = 2 // the first of the cool steps
	HeatFull = 6 // the last of them
)

// HeatOf returns the level of a share from 0 to 1: HeatHole for 0, else one of
// the five steps from HeatLow to HeatFull.
func HeatOf(share float64) uint8 {
	if share <= 0 || !finite(share) {
		return HeatHole
	}
	return uint8(HeatLow + min(int(share*5), 4))
}

// A Heat map is a raster of levels, Cells[row][column], row 0 at the bottom.
type Heat struct {
	X, Y   Axis
	Cells  [][]uint8
	XMax   float64   // what the right edge of the last column stands for
	YMax   float64   // what the upper edge of the top row stands for
	Breaks []float64 // rows (0 the lowest edge) above which the y axis jumps: a thin line is drawn
	Width  int       // of the view box, 360 if 0
	Height int       // of the view box, 230 if 0
	Rows   Table     // what the table shows; a map of cells reads badly as numbers
}

// Size returns the view box.
func (h *Heat) Size() (w, height int) { return cmp.Or(h.Width, 360), cmp.Or(h.Height, 230) }

// Draw draws h on c. Cells of one level are one path of horizontal runs, so
// that a map of ten thousand cells stays a few kilobytes.
func (h *Heat) Draw(c *Canvas) {
	f := &frame{x0: 66, y0: 8, x1: c.W - 18, y1: c.H - 40}
	x, y := h.X, h.Y
	f.sx, f.sy = x.fit(0, h.XMax), y.fit(0, h.YMax)
	f.sx.hi, f.sy.hi = max(h.XMax, 1e-9), max(h.YMax, 1e-9)
	f.sx.ticks, f.sy.ticks = below(f.sx.ticks, f.sx.hi), below(f.sy.ticks, f.sy.hi)
	c.Rect(f.x0, f.y0, f.x1-f.x0, f.y1-f.y0, "h0", "")
	f.axes(c, &x, &y)
	var d [HeatFull + 1]strings.Builder
	rows := len(h.Cells)
	for r, row := range h.Cells {
		top := f.y1 - (f.y1-f.y0)*float64(r+1)/float64(rows)
		height := (f.y1 - f.y0) / float64(rows)
		for i := 0; i < len(row); {
			level, start := row[i], i
			for i < len(row) && row[i] == level {
				i++
			}
			if level == HeatNone || level > HeatFull {
				continue
			}
			x0 := f.x0 + (f.x1-f.x0)*float64(start)/float64(len(row))
			x1 := f.x0 + (f.x1-f.x0)*float64(i)/float64(len(row))
			fmt.Fprintf(&d[level], "M%s %sh%sv%sh-%sz", num(x0), num(top), num(x1-x0), num(height+0.1), num(x1-x0))
		}
	}
	for level := range d {
		if d[level].Len() > 0 {
			c.Path(d[level].String(), fmt.Sprintf("h%d", level), "")
		}
	}
	for _, b := range h.Breaks {
		at := f.y1 - (f.y1-f.y0)*b/float64(max(rows, 1))
		c.Line(f.x0, at, f.x1, at, "break")
	}
}

func below(ticks []float64, hi float64) []float64 {
	for len(ticks) > 0 && ticks[len(ticks)-1] > hi {
		ticks = ticks[:len(ticks)-1]
	}
	return ticks
}

// Data returns h.Rows.
func (h *Heat) Data() Table { return h.Rows }
