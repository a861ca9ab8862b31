package chart

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

// style is the style sheet of every page. Its colours are variables, once for
// light and once for dark.
//
//go:embed style.css
var style string

// A Page is one HTML document.
type Page struct {
	Title string
	Lead  string // a paragraph under the title
	Parts []Part
}

// A Part is a piece of a page.
type Part interface {
	write(w *writer)
}

// writer is a page being written; it numbers the elements that others refer to.
type writer struct {
	sb  strings.Builder
	ids int
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(&w.sb, format, args...) }

// WriteTo writes the document. The page loads nothing and runs no script.
func (p *Page) WriteTo(out io.Writer) (int64, error) {
	w := new(writer)
	w.printf("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>")
	w.printf(`<meta name="viewport" content="width=device-width, initial-scale=1"/>`)
	w.printf(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>`)
	w.printf("<meta name=\"color-scheme\" content=\"light dark\"/><title>%s</title>\n<style>%s</style></head>\n<body><main>\n", escape(p.Title), style)
	w.printf("<header><h1>%s</h1>", escape(p.Title))
	if p.Lead != "" {
		w.printf("<p class=\"lead\">%s</p>", escape(p.Lead))
	}
	w.printf("</header>\n")
	for _, part := range p.Parts {
		part.write(w)
		w.printf("\n")
	}
	w.printf("</main></body></html>\n")
	n, err := io.WriteString(out, w.sb.String())
	return int64(n), err
}

// A Heading begins a section.
type Heading string

func (h Heading) write(w *writer) { w.printf("<h2>%s</h2>", escape(string(h))) }

// Text is a paragraph.
type Text string

func (t Text) write(w *writer) { w.printf("<p>%s</p>", escape(string(t))) }

// A Table is a table of text. Cells that look like numbers are aligned to the
// right.
type Table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Left    int   // leading columns that are row headings, 1 if 0
	Best    []int // per row, the column to emphasise, 0 for none; may be shorter than Rows
}

func (t Table) write(w *writer) {
	w.printf(`<div class="scroll"><table>`)
	if t.Caption != "" {
		w.printf("<caption>%s</caption>", escape(t.Caption))
	}
	w.printf("<thead><tr>")
	for _, h := range t.Head {
		w.printf(`<th scope="col">%s</th>`, escape(h))
	}
	w.printf("</tr></thead><tbody>")
	for r, row := range t.Rows {
		w.printf("<tr>")
		for i, c := range row {
			switch {
			case i < max(t.Left, 1):
				w.printf(`<th scope="row">%s</th>`, escape(c))
			case r < len(t.Best) && t.Best[r] == i && i > 0:
				w.printf(`<td class="best">%s</td>`, escape(c))
			default:
				w.printf("<td>%s</td>", escape(c))
			}
		}
		w.printf("</tr>")
	}
	w.printf("</tbody></table></div>")
}

// A Chart can be drawn, and can say in numbers what it shows.
type Chart interface {
	Size() (w, h int) // of the view box
	Draw(c *Canvas)
	Data() Table
}

// A Figure is a chart with its title, a caption that says how to read it, and
// its data in a table that opens on demand.
type Figure struct {
	Title   string
	Caption string
	Chart   Chart
}

func (f Figure) write(w *writer) { f.draw(w, "wide") }

func (f Figure) draw(w *writer, class string) {
	w.ids++
	width, height := f.Chart.Size()
	c := Canvas{W: float64(width), H: float64(height)}
	f.Chart.Draw(&c)
	w.printf("<figure class=\"%s\"><h3>%s</h3>", class, escape(f.Title))
	w.printf(`<div class="scroll"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t%d d%d">`, width, height, w.ids, w.ids)
	w.printf(`<title id="t%d">%s</title><desc id="d%d">%s</desc>`, w.ids, escape(f.Title), w.ids, escape(f.Caption))
	w.sb.WriteString(c.sb.String())
	w.printf("</svg></div>")
	if f.Caption != "" {
		w.printf("<figcaption>%s</figcaption>", escape(f.Caption))
	}
	if t := f.Chart.Data(); len(t.Rows) > 0 {
		w.printf("<details><summary>Numbers</summary>")
		t.write(w)
		w.printf("</details>")
	}
	w.printf("</figure>")
}

// A Grid is small multiples: figures beside each other that share scales and
// are read by comparing.
type Grid struct {
	Title   string
	Caption string
	Legend  []Key
	Figures []Figure
}

// A Key explains one class of a drawing: "f0" to "f23", "h0" to "h6", "used0",
// "free".
type Key struct {
	Class string
	Text  string
}

func (g Grid) write(w *writer) {
	w.printf("<section class=\"grid\" aria-label=\"%s\"><h3>%s</h3>", escape(g.Title), escape(g.Title))
	if g.Caption != "" {
		w.printf("<p class=\"caption\">%s</p>", escape(g.Caption))
	}
	Legend(g.Legend).write(w)
	w.printf(`<div class="cells">`)
	for _, f := range g.Figures {
		f.draw(w, "cell")
	}
	w.printf("</div></section>")
}

// A Legend is a line of keys.
type Legend []Key

func (l Legend) write(w *writer) {
	if len(l) == 0 {
		return
	}
	w.printf(`<ul class="legend">`)
	for _, k := range l {
		w.printf(`<li><svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><rect class="%s" width="14" height="14" rx="2"/></svg>%s</li>`, escape(k.Class), escape(k.Text))
	}
	w.printf("</ul>")
}
