package chart

import (
	"cmp"
	"math"
)

// Bars is a chart of upright bars, grouped: for each label one bar of each
// series.
type Bars struct {
	X, Y   Axis     // only X.Label of X is used
	Labels []string // under the groups
	Names  []string // of the series; one series may leave it nil
	Values [][]float64
	Width  int  // of the view box, 1080 if 0
	Height int  // of the view box, 260 if 0
	Legend bool // names of the series above the bars
}

// Size returns the view box.
func (b *Bars) Size() (w, h int) { return cmp.Or(b.Width, 1080), cmp.Or(b.Height, 260) }

// Draw draws b on c. A value that is missing or not finite has no bar.
func (b *Bars) Draw(c *Canvas) {
	lo, hi := math.Inf(1), 0.0
	for _, vs := range b.Values {
		for _, v := range vs {
			if finite(v) {
				hi = max(hi, v)
				if v > 0 {
					lo = min(lo, v)
				}
			}
		}
	}
	if b.Y.Log && finite(lo) {
		lo = math.Pow(10, math.Floor(math.Log10(lo))) / 2 // so that the least bar is seen
	} else {
		lo = 0
	}
	f := &frame{x0: 74, y0: 12, x1: c.W - 14, y1: c.H - 42, sy: b.Y.fit(lo, hi)}
	if b.Legend {
		f.y0 = b.legend(c, f.x0, f.x1) + 12
	}
	x := Axis{Label: b.X.Label}
	f.axes(c, &x, &b.Y)
	group := (f.x1 - f.x0) / float64(max(len(b.Labels), 1))
	width := group * 0.8 / float64(max(len(b.Values), 1))
	room := -1.0
	for i, label := range b.Labels {
		left := f.x0 + group*(float64(i)+0.1)
		for s, vs := range b.Values {
			if i >= len(vs) || !finite(vs[i]) || vs[i] <= 0 {
				continue
			}
			tip := label + ": " + b.Y.Unit.Format(vs[i])
			if s < len(b.Names) {
				tip = b.Names[s] + ", " + tip
			}
			y := f.y(vs[i])
			c.Rect(left+float64(s)*width, y, max(width-1, 0.5), f.y1-y, seriesClass("f", s), tip)
		}
		middle, half := left+group*0.4, float64(len([]rune(label)))*3.4+2
		if middle-half > room {
			c.Text(middle, f.y1+17, "middle", "tick", label)
			room = middle + half
		}
	}
}

// legend writes the names of the series in lines between x0 and x1 and returns
// where it ends.
func (b *Bars) legend(c *Canvas, x0, x1 float64) float64 {
	x, y := x0, 14.0
	for i, name := range b.Names {
		width := 26 + float64(len([]rune(shortName(name))))*7
		if x+width > x1 && x > x0 {
			x, y = x0, y+18
		}
		c.Rect(x, y-10, 12, 12, seriesClass("f", i), "")
		c.Text(x+17, y, "start", "label", shortName(name))
		x += width + 6
	}
	return y
}

// Data returns the values, a row for each label.
func (b *Bars) Data() Table {
	t := Table{Head: []string{cmp.Or(b.X.Label, "label")}}
	for s := range b.Values {
		name := b.Y.head("value")
		if s < len(b.Names) {
			name = b.Names[s]
		}
		t.Head = append(t.Head, name)
	}
	for i, label := range b.Labels {
		row := []string{label}
		for _, vs := range b.Values {
			if i < len(vs) {
				row = append(row, number(vs[i]))
			} else {
				row = append(row, "–")
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
