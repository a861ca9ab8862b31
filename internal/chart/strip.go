package chart

import (
	"cmp"
	"fmt"
)

// A Span is one piece of a [Strip].
type Span struct {
	Start, End float64
	Class      string // of the style sheet: "used0", "used1" (neighbours alternate), "free", "h0" to "h6"
	Tip        string // shown when the pointer rests on it
}

// A Strip shows a stretch of memory as one band, or several under each other,
// from Start to End.
type Strip struct {
	Start, End float64
	Unit       Unit
	Bands      []Band
	Width      int // of the view box, 1080 if 0
}

// A Band is one line of a strip.
type Band struct {
	Label string
	Spans []Span
	// Start and End, where not both 0, give the band a scale of its own.
	Start, End float64
}

const bandHeight, bandGap = 22, 10

// Size returns the view box.
func (s *Strip) Size() (w, h int) {
	return cmp.Or(s.Width, 1080), 34 + len(s.Bands)*(bandHeight+bandGap)
}

// Draw draws s on c.
func (s *Strip) Draw(c *Canvas) {
	widest := 0
	for _, b := range s.Bands {
		widest = max(widest, len([]rune(shortName(b.Label))))
	}
	x0 := 14 + float64(widest)*7
	a := Axis{Unit: s.Unit, Min: s.Start, Max: s.End}
	f := &frame{x0: x0, y0: 4, x1: c.W - 40, y1: c.H - 26, sx: a.fit(s.Start, s.End)}
	for i, b := range s.Bands {
		y := f.y0 + float64(i)*(bandHeight+bandGap)
		c.Text(x0-8, y+15, "end", "label", shortName(b.Label))
		c.Rect(f.x0, y, f.x1-f.x0, bandHeight, "h0", "")
		sx := f.sx
		if b.Start != 0 || b.End != 0 {
			own := Axis{Min: b.Start, Max: b.End}
			sx = own.fit(b.Start, b.End)
		}
		for _, sp := range b.Spans {
			left := f.x0 + sx.at(sp.Start)*(f.x1-f.x0)
			right := f.x0 + sx.at(sp.End)*(f.x1-f.x0)
			c.Rect(left, y, max(right-left, 0.2), bandHeight, sp.Class, sp.Tip)
		}
	}
	none := Axis{Unit: s.Unit}
	f.sy = scale{lo: 0, hi: 1}
	f.axes(c, &none, &Axis{})
}

// Data returns the spans, at most 200 of them.
func (s *Strip) Data() Table {
	t := Table{Head: []string{"band", "from", "to", "what"}}
	for _, b := range s.Bands {
		for i, sp := range b.Spans {
			if len(t.Rows) == 200 {
				t.Rows = append(t.Rows, []string{b.Label, "…", "…", fmt.Sprintf("%d more", len(b.Spans)-i)})
				return t
			}
			t.Rows = append(t.Rows, []string{b.Label, number(sp.Start), number(sp.End), cmp.Or(sp.Tip, sp.Class)})
		}
	}
	return t
}
