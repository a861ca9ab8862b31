package chart

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// A Dot is one named point of a [Dots] chart.
type Dot struct {
	Name string
	X, Y float64
}

// Dots is a chart of named points.
type Dots struct {
	X, Y   Axis
	Dots   []Dot
	Width  int // of the view box, 720 if 0
	Height int // of the view box, 340 if 0
}

// Size returns the view box.
func (d *Dots) Size() (w, h int) { return cmp.Or(d.Width, 720), cmp.Or(d.Height, 340) }

// Draw draws d on c. Names stand to the right of their dots, or to the left
// where there is no room, and move down where they would cover each other.
func (d *Dots) Draw(c *Canvas) {
	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range d.Dots {
		if finite(p.X) && finite(p.Y) {
			xlo, xhi, ylo, yhi = min(xlo, p.X), max(xhi, p.X), min(ylo, p.Y), max(yhi, p.Y)
		}
	}
	if d.X.Log {
		xlo, xhi = xlo*0.8, xhi*1.25 // so that no dot sits on the frame
	}
	f := &frame{x0: 74, y0: 14, x1: c.W - 20, y1: c.H - 42, sx: d.X.fit(xlo, xhi), sy: d.Y.fit(ylo, yhi)}
	f.axes(c, &d.X, &d.Y)
	type box struct{ x0, x1, y float64 }
	var taken []box
	order := make([]int, len(d.Dots))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(d.Dots[b].Y, d.Dots[a].Y) })
	for _, i := range order {
		p := d.Dots[i]
		if !finite(p.X) || !finite(p.Y) {
			continue
		}
		x, y := f.x(p.X), f.y(p.Y)
		c.Circle(x, y, 5, "dot f"+strconv.Itoa(i%8), p.Name+": "+d.X.Unit.Format(p.X)+", "+d.Y.Unit.Format(p.Y))
		name := shortName(p.Name)
		width := float64(len([]rune(name))) * 7.2
		b := box{x + 9, x + 9 + width, y + 4}
		anchor := "start"
		if b.x1 > c.W {
			b, anchor = box{x - 9 - width, x - 9, y + 4}, "end"
		}
		for moved := true; moved; {
			moved = false
			for _, t := range taken {
				if b.x0 < t.x1 && t.x0 < b.x1 && math.Abs(b.y-t.y) < 14 {
					b.y, moved = t.y+14, true
				}
			}
		}
		taken = append(taken, b)
		at := b.x0
		if anchor == "end" {
			at = b.x1
		}
		c.Text(at, b.y, anchor, "name t"+strconv.Itoa(i%8), name)
	}
}

// Data returns the points.
func (d *Dots) Data() Table {
	t := Table{Head: []string{"name", d.X.head("x"), d.Y.head("y")}}
	for _, p := range d.Dots {
		t.Rows = append(t.Rows, []string{p.Name, number(p.X), number(p.Y)})
	}
	return t
}
