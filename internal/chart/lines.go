package chart

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Series is one line of a [Lines] chart. X and Y have the same length; a
// point that is not finite interrupts the line.
type Series struct {
	Name string
	X, Y []float64
}

// Lines is a chart of lines over common axes. Each line has a colour, a dash
// pattern (so that paper and colour-blind readers can tell them apart), and its
// name at its end. The table holds the points, thinned to at most 40 rows a
// series.
type Lines struct {
	X, Y   Axis
	Series []Series
	Step   bool // a value holds until the next point
	Width  int  // of the view box, 1080 if 0
	Height int  // of the view box, 300 if 0
	Plain  bool // no names at the lines: the grid has a common [Legend]
}

// Size returns the view box.
func (l *Lines) Size() (w, h int) { return cmp.Or(l.Width, 1080), cmp.Or(l.Height, 300) }

// Draw draws l on c.
func (l *Lines) Draw(c *Canvas) {
	f := l.frame(c)
	f.axes(c, &l.X, &l.Y)
	for i := range l.Series {
		c.Path(l.path(f, &l.Series[i]), "line "+seriesClass("s", i), l.Series[i].Name)
	}
	if !l.Plain {
		l.names(c, f)
	}
}

// How series differ. There are palette colours; behind them the same colours come
// once more, as thin lines of another dash pattern and as hollow dots and bars.
const (
	palette = 12
	looks   = 2 * palette // then they repeat
)

// seriesClass is the class of the i-th series: of "s", its line, or "f", its bars
// and dots.
func seriesClass(kind string, i int) string { return kind + strconv.Itoa(i%looks) }

// nameClass is the class of the i-th series' name.
func nameClass(i int) string { return "name t" + strconv.Itoa(i%palette) }

// frame fits scales to the data and leaves room for the axes and names.
func (l *Lines) frame(c *Canvas) *frame {
	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	widest := 0
	for _, s := range l.Series {
		for i := range min(len(s.X), len(s.Y)) {
			if !finite(s.X[i]) || !finite(s.Y[i]) || l.X.Log && s.X[i] <= 0 || l.Y.Log && s.Y[i] <= 0 {
				continue
			}
			xlo, xhi = min(xlo, s.X[i]), max(xhi, s.X[i])
			ylo, yhi = min(ylo, s.Y[i]), max(yhi, s.Y[i])
		}
		widest = max(widest, len([]rune(shortName(s.Name))))
	}
	right := 14.0
	if !l.Plain {
		right += float64(widest) * 8
	}
	f := &frame{x0: 74, y0: 12, x1: max(c.W-right, 120), y1: c.H - 42}
	f.sx, f.sy = l.X.fit(xlo, xhi), l.Y.fit(ylo, yhi)
	if !l.X.Log && l.X.Min == 0 && l.X.Max == 0 && finite(xlo) && xhi > xlo {
		f.sx.lo, f.sx.hi = min(xlo, 0), xhi // lines end at the edge, not at a round number
		f.sx.ticks = slices.DeleteFunc(f.sx.ticks, func(v float64) bool { return v > xhi*(1+1e-9) })
	}
	return f
}

// path returns the path data of one series.
func (l *Lines) path(f *frame, s *Series) string {
	var sb strings.Builder
	pen := false
	for i := range min(len(s.X), len(s.Y)) {
		if !finite(s.X[i]) || !finite(s.Y[i]) {
			pen = false
			continue
		}
		x, y := num(f.x(s.X[i])), num(f.y(s.Y[i]))
		switch {
		case !pen:
			sb.WriteString("M" + x + " " + y)
		case l.Step:
			sb.WriteString("H" + x + "V" + y)
		default:
			sb.WriteString("L" + x + " " + y)
		}
		pen = true
	}
	return sb.String()
}

// names writes each series' name beside its last point, moved apart where they
// would overlap.
func (l *Lines) names(c *Canvas, f *frame) {
	type label struct {
		i int
		y float64
	}
	var labels []label
	for i, s := range l.Series {
		for k := min(len(s.X), len(s.Y)) - 1; k >= 0; k-- {
			if finite(s.Y[k]) {
				labels = append(labels, label{i, f.y(s.Y[k])})
				break
			}
		}
	}
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	const apart = 14
	ys := make([]float64, len(labels))
	for i := range labels {
		ys[i] = labels[i].y
		if i > 0 {
			ys[i] = max(ys[i], ys[i-1]+apart)
		}
	}
	if n := len(ys); n > 0 && ys[n-1] > f.y1 {
		ys[n-1] = f.y1
		for i := n - 2; i >= 0; i-- {
			ys[i] = min(ys[i], ys[i+1]-apart)
		}
	}
	for i, lb := range labels {
		c.Text(f.x1+8, ys[i]+4, "start", nameClass(lb.i), shortName(l.Series[lb.i].Name))
	}
}

// shortName clips a name that would leave no room for the lines.
func shortName(s string) string {
	const longest = 28
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

// Data returns the points.
func (l *Lines) Data() Table {
	t := Table{Head: []string{"series", l.X.head("x"), l.Y.head("y")}}
	for _, s := range l.Series {
		n := min(len(s.X), len(s.Y))
		for i := range n {
			if n > 40 && i%((n+39)/40) != 0 && i != n-1 {
				continue
			}
			t.Rows = append(t.Rows, []string{s.Name, number(s.X[i]), number(s.Y[i])})
		}
	}
	return t
}

// number formats a value for a table.
func number(v float64) string {
	switch {
	case !finite(v):
		return "–"
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return strconv.FormatFloat(v, 'g', 5, 64)
	}
}
