package main

import (
	"html/template"
	"io"
)

// html writes the walks as a page of its own that is stepped through with the
// arrow keys or buttons. Nothing is loaded from elsewhere; without scripts every
// step is shown.
func (s *sheet) html(out io.Writer) error {
	type walk struct {
		Title, Ruler, Sum string
		Steps             []string
	}
	page := struct {
		Title string
		Seed  uint64
		Walks []walk
	}{Title: s.title, Seed: s.seed}
	for _, tr := range s.walks {
		w := walk{Title: tr.VA.String() + ", " + tr.Access.String(), Ruler: tr.Format.Ruler(tr.VA), Sum: tr.Sum()}
		for i := range tr.Steps {
			w.Steps = append(w.Steps, tr.Line(i))
		}
		page.Walks = append(page.Walks, w)
	}
	return template.Must(template.New("translate").Parse(translatePage)).Execute(out, page)
}

// translatePage is the page; every value is escaped by the template.
const translatePage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>memlab translate: {{.Title}}</title>
<style>
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --mark: #e8f0fa; --line: #4878a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #1a1a1a; --mark: #24344a; --line: #6aa0d8; } }
body { font: 15px/1.4 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: var(--ink); background: var(--paper); }
pre { overflow-x: auto; margin: .4em 0; font: 14px/1.35 ui-monospace, monospace; }
.step, .sum { border-left: 3px solid transparent; padding-left: .6em; }
.now { border-color: var(--line); background: var(--mark); }
.later { visibility: hidden; }
button { font: inherit; padding: .2em .9em; } kbd { border: 1px solid; border-radius: 3px; padding: 0 .3em; }
</style></head><body>
<h1>{{.Title}}</h1>
<p>Seed {{.Seed}}. <button id="back">back</button> <button id="next">next</button>
<kbd>←</kbd> <kbd>→</kbd> one step, <kbd>↑</kbd> <kbd>↓</kbd> one address, <kbd>End</kbd> everything. <span id="where" role="status"></span></p>
{{range $i, $w := .Walks}}<section class="walk"><h2>{{$w.Title}}</h2><pre>{{$w.Ruler}}</pre>
{{range $w.Steps}}<pre class="step">{{.}}</pre>
{{end}}<pre class="step sum">{{$w.Sum}}</pre></section>
{{end}}<script>
"use strict";
const walks = [...document.querySelectorAll(".walk")].map(w => [...w.querySelectorAll(".step")]);
let at = 0, step = 0;
function show() {
  walks.forEach((steps, i) => {
    steps[0].parentElement.hidden = i !== at && step >= 0;
    steps.forEach((s, k) => {
      s.classList.toggle("later", step >= 0 && k > step);
      s.classList.toggle("now", i === at && k === step);
    });
  });
  if (step >= 0) walks[at][step].scrollIntoView({ block: "nearest" });
  document.getElementById("where").textContent = step < 0 ? "everything" : "address " + (at + 1) + " of " + walks.length + ", step " + (step + 1) + " of " + walks[at].length;
}
function go(d) {
  if (step < 0) { step = 0; at = 0; } else step += d;
  if (step >= walks[at].length) { if (at + 1 < walks.length) { at++; step = 0; } else step = walks[at].length - 1; }
  if (step < 0) { if (at > 0) { at--; step = walks[at].length - 1; } else step = 0; }
  show();
}
document.getElementById("next").onclick = () => go(1);
document.getElementById("back").onclick = () => go(-1);
document.addEventListener("keydown", e => {
  const keys = { ArrowRight: () => go(1), ArrowLeft: () => go(-1), " ": () => go(1), End: () => { step = -1; show(); }, Home: () => { at = step = 0; show(); },
    ArrowDown: () => { at = Math.min(at + 1, walks.length - 1); step = 0; show(); }, ArrowUp: () => { at = Math.max(at - 1, 0); step = 0; show(); } };
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
});
show();
</script></body></html>
`
