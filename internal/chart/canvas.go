package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Canvas collects the elements of one SVG drawing. Coordinates are in the
// units of its view box, x to the right and y down; what a thing looks like is
// a class of the page's style sheet, so that light and dark can differ.
//
// Classes for charts: "s0" to "s23" are the lines of series, "f0" to "f23" the
// same as fills, "h0" to "h6" the steps of a heat map, "axis", "grid", "tick",
// "label", "mark".
type Canvas struct {
	sb   strings.Builder
	W, H float64 // the view box
}

// Rect draws a rectangle; tip, if not empty, is shown when the pointer rests on
// it.
func (c *Canvas) Rect(x, y, w, h float64, class, tip string) {
	fmt.Fprintf(&c.sb, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"`, escape(class), num(x), num(y), num(w), num(h))
	c.end("rect", tip)
}

// Circle draws a dot.
func (c *Canvas) Circle(x, y, r float64, class, tip string) {
	fmt.Fprintf(&c.sb, `<circle class="%s" cx="%s" cy="%s" r="%s"`, escape(class), num(x), num(y), num(r))
	c.end("circle", tip)
}

func (c *Canvas) end(element, tip string) {
	if tip == "" {
		c.sb.WriteString("/>")
		return
	}
	fmt.Fprintf(&c.sb, "><title>%s</title></%s>", escape(tip), element)
}

// Line draws a straight line.
func (c *Canvas) Line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.sb, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, escape(class), num(x1), num(y1), num(x2), num(y2))
}

// Path draws a path with SVG path data d; tip as for Rect.
func (c *Canvas) Path(d, class, tip string) {
	fmt.Fprintf(&c.sb, `<path class="%s" d="%s"`, escape(class), escape(d))
	c.end("path", tip)
}

// Text writes s with its baseline at y. Anchor is "start", "middle" or "end".
func (c *Canvas) Text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&c.sb, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, escape(class), num(x), num(y), escape(anchor), escape(s))
}

// TextUp writes s rotated to read upwards, centred at (x, y).
func (c *Canvas) TextUp(x, y float64, class, s string) {
	fmt.Fprintf(&c.sb, `<text class="%s" transform="translate(%s %s) rotate(-90)" text-anchor="middle">%s</text>`, escape(class), num(x), num(y), escape(s))
}

// num formats a coordinate with at most one decimal, which is a tenth of a
// pixel; what is not finite becomes 0, so that bad data cannot spoil a page.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	v = math.Round(v*10) / 10
	if v == 0 {
		v = 0 // not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// escape makes s safe as text and as an attribute in HTML and in XML. Bytes and
// control characters that XML does not allow become U+FFFD.
func escape(s string) string {
	var sb strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			sb.WriteString("&amp;")
		case r == '<':
			sb.WriteString("&lt;")
		case r == '>':
			sb.WriteString("&gt;")
		case r == '"':
			sb.WriteString("&#34;")
		case r == '\'':
			sb.WriteString("&#39;")
		case r < 0x20 && r != '\n' && r != '\t', r == 0x7f, r == 0xfffe, r == 0xffff:
			sb.WriteRune('\uFFFD')
		default:
			sb.WriteRune(r)
		}
	}
	return sb.String()
}
