package main

import (
	"fmt"
	"html/template"
	"io"
	"strconv"
)

// html writes the walk as a page of its own: a strip of the heap per step, with
// the free list as a table row beside it. Nothing is loaded from elsewhere.
func (w *fitWalk) html(out io.Writer) error {
	type strip struct {
		X, Width float64
		Used     bool
		Label    string
		Title    string
	}
	type step struct {
		Op, Answer string
		Free       [][2]int
		Strips     []strip
		Hidden     bool
	}
	const width = 800.0
	page := struct {
		Title string
		Steps []step
	}{Title: w.heap.title()}
	for _, s := range w.steps {
		st := step{Op: s.op.String(), Answer: strconv.Itoa(s.shown), Free: s.free, Hidden: w.hidden}
		if s.skipped {
			st.Answer = skippedFree
		} else if s.op.verb != '-' {
			st.Answer += fmt.Sprintf(", %d searched", s.searched)
		}
		if n := len(s.blocks); n > 0 && !w.hidden {
			base := s.blocks[0].Off
			extent := float64(s.blocks[n-1].Off-base) + float64(s.blocks[n-1].Size)
			for i, b := range s.blocks {
				sp := strip{X: float64(b.Off-base) / extent * width, Width: float64(b.Size) / extent * width, Used: b.Used}
				sp.Title = fmt.Sprintf("free, %d bytes", b.Size)
				if b.Used {
					sp.Label = string(s.labels[i])
					sp.Title = fmt.Sprintf("block %s, %d bytes", sp.Label, b.Size)
				}
				st.Strips = append(st.Strips, sp)
			}
		}
		page.Steps = append(page.Steps, st)
	}
	return template.Must(template.New("fit").Parse(fitPage)).Execute(out, page)
}

// fitPage is the page; every value is escaped by the template.
const fitPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>memlab fit: {{.Title}}</title>
<style>
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --used: #4878a8; --free: #e8e8e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #1a1a1a; --used: #6aa0d8; --free: #333; } }
body { font: 15px/1.4 system-ui, sans-serif; max-width: 860px; margin: 2em auto; color: var(--ink); background: var(--paper); }
code { font-size: 1.05em; } svg { display: block; margin: .3em 0; max-width: 100%; }
.used { fill: var(--used); } .free { fill: var(--free); } rect { stroke: var(--ink); stroke-width: 1; } text { fill: #fff; font-size: 12px; }
p.list { margin: 0 0 1.2em; font-family: monospace; }
</style></head><body>
<h1>Free-list walk</h1><p>{{.Title}}</p>
{{range $i, $s := .Steps}}<section><h2 style="font-size:1em"><code>{{.Op}}</code>{{if not .Hidden}} → {{.Answer}}{{end}}</h2>
{{if .Hidden}}<p>Where does the block go, and what is the free list?</p>{{else}}<svg viewBox="0 0 802 32" role="img" aria-label="the heap after step {{$i}}">
{{range .Strips}}<g><title>{{.Title}}</title><rect class="{{if .Used}}used{{else}}free{{end}}" x="{{printf "%.2f" .X}}" y="1" width="{{printf "%.2f" .Width}}" height="30"/>{{if .Label}}<text x="{{printf "%.2f" .X}}" y="20" dx="3">{{.Label}}</text>{{end}}</g>
{{end}}</svg>
<p class="list">free: {{range .Free}}[{{index . 0}}, {{index . 1}} bytes] {{else}}nothing{{end}}</p>{{end}}</section>
{{end}}</body></html>
`
