package chart

import (
	"cmp"
	"math"
	"slices"
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
	Width  int // of the view box, 1080 if 0
	Height int // of the view box, 340 if 0
}

// Size returns the view box.
func (d *Dots) Size() (w, h int) { return cmp.Or(d.Width, 1080), cmp.Or(d.Height, 340) }

// Draw draws d on c. Each name stands beside its dot, on the first side where it
// covers neither another dot nor another name.
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
	var taken []box
	for _, p := range d.Dots {
		taken = append(taken, box{f.x(p.X) - 6, f.x(p.X) + 6, f.y(p.Y) + 6, f.y(p.Y) - 6})
	}
	for i, p := range d.Dots {
		if !finite(p.X) || !finite(p.Y) {
			continue
		}
		x, y := f.x(p.X), f.y(p.Y)
		c.Circle(x, y, 5, "dot "+seriesClass("f", i), p.Name+": "+d.X.Unit.Format(p.X)+", "+d.Y.Unit.Format(p.Y))
		name := shortName(p.Name)
		b := place(x, y, float64(len([]rune(name)))*7.2, c.W, taken)
		taken = append(taken, b)
		c.Text(b.x0, b.y1-3, "start", nameClass(i), name)
	}
}

// A box is what a dot or a name covers; y1 is its lower edge.
type box struct{ x0, x1, y1, y0 float64 }

func (b box) meets(o box) bool { return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 }

// place finds room for a name of some width beside the dot at (x, y): right,
// left, above, below, and then further and further down.
func place(x, y, width, right float64, taken []box) box {
	const height = 14
	at := func(left, middle float64) box { return box{left, left + width, middle + height/2, middle - height/2} }
	spots := []box{at(x+9, y), at(x-9-width, y), at(x-width/2, y-14), at(x-width/2, y+14), at(x+9, y-12), at(x+9, y+12)}
	for k := range 20 {
		spots = append(spots, at(x+9, y+12+float64(k)*height))
	}
	for _, b := range spots {
		if b.x0 < 0 || b.x1 > right || slices.ContainsFunc(taken, b.meets) {
			continue
		}
		return b
	}
	return spots[0]
}

// Data returns the points.
func (d *Dots) Data() Table {
	t := Table{Head: []string{"name", d.X.head("x"), d.Y.head("y")}}
	for _, p := range d.Dots {
		t.Rows = append(t.Rows, []string{p.Name, number(p.X), number(p.Y)})
	}
	return t
}
