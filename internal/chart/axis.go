package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Unit says how the numbers of an axis are written.
type Unit int

// The units. Values are always given plainly: bytes as bytes, shares from 0 to
// 1 for Percent, seconds for Seconds.
const (
	Plain   Unit = iota // 1200, 1.2 M
	Bytes               // 1.5 MiB
	Percent             // 37 %
)

// Format writes v in unit u with about three digits.
func (u Unit) Format(v float64) string {
	switch u {
	case Bytes:
		return scaled(v, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB"})
	case Percent:
		return trim(v*100, 1) + " %"
	default:
		return scaled(v, 1000, []string{"", " k", " M", " G", " T"})
	}
}

func scaled(v, base float64, suffix []string) string {
	i := 0
	for math.Abs(v) >= base && i < len(suffix)-1 {
		v /= base
		i++
	}
	digits := 0
	switch a := math.Abs(v); {
	case a < 10:
		digits = 2
	case a < 100:
		digits = 1
	}
	return trim(v, digits) + suffix[i]
}

// trim formats v with at most digits decimals and no zeros at their end.
func trim(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		s = "0"
	}
	return s
}

// An Axis says what one direction of a chart means. The zero value is linear,
// from 0 to the largest value.
type Axis struct {
	Label    string
	Unit     Unit
	Log      bool    // logarithmic; values of 0 and less are drawn at Min
	Min, Max float64 // 0, 0: chosen from the data
}

// A scale maps values to [0, 1] and knows where its ticks are.
type scale struct {
	lo, hi float64
	log    bool
	ticks  []float64
}

// fit makes a scale for an axis whose data lie in [lo, hi].
func (a *Axis) fit(lo, hi float64) scale {
	if a.Min != 0 || a.Max != 0 {
		lo, hi = a.Min, a.Max
	} else if !a.Log {
		lo = math.Min(lo, 0)
	}
	if !finite(lo) || !finite(hi) {
		lo, hi = 0, 1
	}
	if a.Log {
		lo = math.Max(lo, math.SmallestNonzeroFloat32)
		hi = math.Max(hi, lo*2)
		return logScale(lo, hi)
	}
	if hi <= lo {
		hi = lo + 1
	}
	return linearScale(lo, hi, a.Unit, a.Min != 0 || a.Max != 0)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// linearScale puts about five ticks at round values; unless exact, it ends at a
// tick.
func linearScale(lo, hi float64, u Unit, exact bool) scale {
	step := niceStep((hi-lo)/5, u)
	s := scale{lo: lo, hi: hi}
	if !exact {
		s.lo, s.hi = math.Floor(lo/step)*step, math.Ceil(hi/step-1e-9)*step
	}
	first := math.Ceil(s.lo/step - 1e-9)
	for i := range 50 {
		v := (first + float64(i)) * step
		if v > s.hi*(1+1e-9)+1e-300 {
			break
		}
		s.ticks = append(s.ticks, v)
	}
	return s
}

// niceStep rounds step up to 1, 2 or 5 times a power of ten, or for bytes to a
// power of two.
func niceStep(step float64, u Unit) float64 {
	if step <= 0 || !finite(step) {
		return 1
	}
	if u == Bytes {
		return math.Exp2(math.Ceil(math.Log2(step)))
	}
	p := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range [...]float64{1, 2, 5, 10} {
		if m*p >= step*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

func logScale(lo, hi float64) scale {
	s := scale{lo: lo, hi: hi, log: true}
	decades := math.Log10(hi / lo)
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range [...]float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v >= lo*(1-1e-9) && v <= hi*(1+1e-9) && (m == 1 || decades < 2.5) {
				s.ticks = append(s.ticks, v)
			}
		}
	}
	return s
}

// at returns where v lies between the ends of s, from 0 to 1.
func (s *scale) at(v float64) float64 {
	if !finite(v) {
		return 0
	}
	var f float64
	if s.log {
		f = math.Log(math.Max(v, s.lo)/s.lo) / math.Log(s.hi/s.lo)
	} else {
		f = (v - s.lo) / (s.hi - s.lo)
	}
	return min(max(f, 0), 1)
}

// A frame is the rectangle inside the axes of a chart.
type frame struct {
	x0, y0, x1, y1 float64 // y0 is the top
	sx, sy         scale
}

func (f *frame) x(v float64) float64 { return f.x0 + f.sx.at(v)*(f.x1-f.x0) }
func (f *frame) y(v float64) float64 { return f.y1 - f.sy.at(v)*(f.y1-f.y0) }

// axes draws grid lines, ticks and labels.
func (f *frame) axes(c *Canvas, x, y *Axis) {
	for _, v := range f.sy.ticks {
		c.Line(f.x0, f.y(v), f.x1, f.y(v), "grid")
		c.Text(f.x0-6, f.y(v)+4, "end", "tick", y.Unit.Format(v))
	}
	last := math.Inf(-1)
	for _, v := range f.sx.ticks {
		text := x.Unit.Format(v)
		if half := float64(len(text)) * 3.4; f.x(v)-half > last {
			c.Line(f.x(v), f.y1, f.x(v), f.y1+4, "axis")
			c.Text(f.x(v), f.y1+17, "middle", "tick", text)
			last = f.x(v) + half
		}
	}
	c.Line(f.x0, f.y1, f.x1, f.y1, "axis")
	if x.Label != "" {
		c.Text((f.x0+f.x1)/2, f.y1+34, "middle", "label", x.Label)
	}
	if y.Label != "" {
		c.TextUp(13, (f.y0+f.y1)/2, "label", y.Label)
	}
}

// head is what a table calls an axis.
func (a *Axis) head(otherwise string) string {
	name := a.Label
	if name == "" {
		name = otherwise
	}
	if a.Unit == Bytes {
		return fmt.Sprintf("%s (bytes)", name)
	}
	return name
}
