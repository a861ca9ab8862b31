package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/internal/chart"
	"github.com/memlab-go/memlab/internal/cli"
)

// A shot is the film of one allocator on the pictured trace.
type shot struct {
	cell *cell
	film *replay.Film
}

// shoot films every allocator on the pictured trace, as far as patience goes.
func (c *comparison) shoot(ctx context.Context, e *env) ([]shot, error) {
	pr := cli.NewProgress(e.err, e.terminal, time.Now)
	defer pr.Done()
	t := c.pictured()
	p, err := replay.Compile(t.Trace)
	if err != nil {
		return nil, err
	}
	var out []shot
	cells := c.of(t)
	for i := range cells {
		pr.Step(int64(i), int64(len(cells)), "pictures: "+t.Name+" on "+cells[i].entry.Name)
		if !cells[i].result.Valid {
			continue
		}
		f, err := replay.Shoot(p, cells[i].entry, replay.Config{Limit: c.flags.limit, Stop: stopAfter(ctx, c.flags.patience)})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, replay.ErrStopped) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pictures: %s: %w", cells[i].entry.Name, err)
		}
		out = append(out, shot{&cells[i], f})
	}
	return out, nil
}

// page builds the report.
func (c *comparison) page(ctx context.Context, e *env) (*chart.Page, error) {
	shots, err := c.shoot(ctx, e)
	if err != nil {
		return nil, err
	}
	p := &chart.Page{
		Title: "memlab: allocators compared",
		Lead: fmt.Sprintf("%d allocators on %d allocation traces: how much memory the process holds for the bytes that are live, and how long a call takes. %s, %s.",
			len(c.entries), len(c.traces), time.Now().Format("2 January 2006"), machine()),
	}
	p.Parts = append(p.Parts, chart.Heading("All traces together"), c.summaryTable(), chart.Figure{
		Title:   "Memory against time",
		Caption: "Each dot is one allocator, geometric means over the traces it finished (n of m: not all of them, which flatters it). Up is tighter, left is faster: the best place is the upper left corner.",
		Chart:   c.tradeOff(),
	}, chart.Figure{
		Title:   "Peak utilisation on each trace",
		Caption: "Peak live payload over the peak growth of the process's resident memory; 100 % would mean that not a byte is spent on anything but payload.",
		Chart:   c.utilisationBars(),
	})
	p.Parts = append(p.Parts, c.vmParts()...)
	p.Parts = append(p.Parts, c.pictures(shots)...)
	p.Parts = append(p.Parts, chart.Heading("Trace by trace"))
	for i := range c.traces {
		p.Parts = append(p.Parts, c.traceTable(&c.traces[i]))
	}
	p.Parts = append(p.Parts, method(c.flags.vm.on)...)
	return p, nil
}

// pictures shows one trace under each policy.
func (c *comparison) pictures(shots []shot) []chart.Part {
	if len(shots) == 0 {
		return nil
	}
	t := c.pictured()
	return []chart.Part{
		chart.Heading("One trace in pictures: " + t.Label()),
		chart.Text(fmt.Sprintf("%s operations, at most %s live at a time.", cli.Count(int64(len(t.Ops))), cli.Bytes(t.PeakLive()))),
		addressMaps(shots), memoryLines(shots), peakStrip(shots), zoomStrip(shots), freeBars(shots),
	}
}

// method says how the figures were taken.
func method(withVM bool) []chart.Part {
	parts := []chart.Part{
		chart.Heading("How this was measured"),
		chart.Text("Every block of every trace was filled with a pattern and checked, on two fresh heaps. Time is wall time of a call with the block's first byte written: warm in a heap that has run the trace before, cold in a fresh one, page faults included; the least of the repetitions. " +
			"Memory is read from the kernel in a process of its own, with every page of every block touched and the collector off (on for Go's heap, which frees in no other way), at 300 even points and at each new peak of the live payload. Mean utilisation is mean live over mean resident. Committed is what the heap says of itself. " +
			"An allocator that took too long on a trace was stopped, and has no figures there."),
	}
	if withVM {
		parts = append(parts, chart.Text("In the simulated address space the heap's event sink was on: it reports what the heap reads and writes of its metadata, of the links inside free blocks, and of blocks that it copies or clears. The program writes every new block once and uses live blocks between the operations, by how long ago they were used; which ones, the trace and the seed decide, not the allocator. "+
			"Times and utilisation were measured apart, without the sink. It does not show code, stack and caches, nor what the real program did with its blocks: compare the allocators with each other, not with a machine."))
	}
	return parts
}

func (c *comparison) summaryTable() chart.Table {
	t := chart.Table{Caption: "Geometric means over the traces that each allocator finished.", Head: tableHead("allocator")}
	for _, s := range c.summaries() {
		t.Rows = append(t.Rows, append([]string{s.Alloc}, s.row(len(c.traces))...))
	}
	return t
}

func (c *comparison) traceTable(tr *comparedTrace) chart.Table {
	t := chart.Table{Head: tableHead("allocator"), Caption: fmt.Sprintf("%s: %s operations, peak live payload %s", tr.Label(), cli.Count(int64(len(tr.Ops))), cli.Bytes(tr.PeakLive()))}
	for _, x := range c.of(tr) {
		t.Rows = append(t.Rows, append([]string{x.entry.Name}, x.row()...))
	}
	return t
}

// tradeOff is utilisation against time, an allocator a dot.
func (c *comparison) tradeOff() *chart.Dots {
	d := &chart.Dots{
		X: chart.Axis{Label: "warm time, ns an operation (logarithmic)", Log: true},
		Y: chart.Axis{Label: "peak utilisation", Unit: chart.Percent, Max: 1},
	}
	for _, s := range c.summaries() {
		if s.NsPerOp != nil && s.Utilisation != nil {
			name := s.Alloc
			if s.Traces < len(c.traces) {
				name += fmt.Sprintf(" (%d of %d)", s.Traces, len(c.traces))
			}
			d.Dots = append(d.Dots, chart.Dot{Name: name, X: *s.NsPerOp, Y: *s.Utilisation})
		}
	}
	return d
}

func (c *comparison) utilisationBars() *chart.Bars {
	b := &chart.Bars{Y: chart.Axis{Unit: chart.Percent, Max: 1}, X: chart.Axis{Label: "trace"}, Names: replay.Names(c.entries), Values: make([][]float64, len(c.entries)), Legend: true}
	for i := range c.traces {
		b.Labels = append(b.Labels, c.traces[i].Name)
		for k, x := range c.of(&c.traces[i]) {
			v := math.NaN() // not measured
			if u := x.result.Utilisation; u != nil {
				v = *u
			}
			b.Values[k] = append(b.Values[k], v)
		}
	}
	return b
}

// memoryLines is live, committed and resident memory over the operations.
func memoryLines(shots []shot) chart.Grid {
	g := chart.Grid{
		Title:   "Live payload, committed and resident memory",
		Caption: "Over the operations of the trace, on one scale. The gap between live and resident is what the allocator costs.",
		Legend:  []chart.Key{{Class: "f0", Text: "live payload"}, {Class: "f1", Text: "resident"}, {Class: "f2", Text: "committed"}},
	}
	top := commonTop(shots, func(s shot) float64 {
		most := 0.0
		for _, p := range s.cell.result.Points {
			most = max(most, float64(p.Resident), float64(p.Live), float64(p.Committed))
		}
		return most
	})
	for i, s := range shots {
		l := &chart.Lines{Width: 360, Height: 220, Plain: true, X: chart.Axis{Label: "operations"}, Y: chart.Axis{Unit: chart.Bytes, Max: top[i]}}
		var x, live, resident, committed []float64
		for _, p := range s.cell.result.Points {
			x = append(x, float64(p.Op))
			live = append(live, float64(p.Live))
			resident = appendKnown(resident, p.Resident)
			committed = appendKnown(committed, p.Committed)
		}
		l.Series = []chart.Series{{Name: "live", X: x, Y: live}, {Name: "resident", X: x, Y: resident}, {Name: "committed", X: x, Y: committed}}
		g.Figures = append(g.Figures, chart.Figure{Title: s.cell.entry.Name, Caption: scaleNote(top, i), Chart: l})
	}
	return g
}

func appendKnown(to []float64, v int64) []float64 {
	if v < 0 {
		return to
	}
	return append(to, float64(v))
}

// commonTop returns the upper end of each figure's scale: the same for all,
// except where one would press the others flat.
func commonTop(shots []shot, most func(shot) float64) []float64 {
	all := make([]float64, len(shots))
	for i, s := range shots {
		all[i] = most(s)
	}
	sorted := slices.Sorted(slices.Values(all))
	median := sorted[len(sorted)/2]
	common := 0.0
	for _, v := range all {
		if v <= 2*median {
			common = max(common, v)
		}
	}
	for i, v := range all {
		all[i] = max(common, 1)
		if v > common {
			all[i] = v
		}
	}
	return all
}

// scaleNote warns of a figure whose scale is not that of the others.
func scaleNote(top []float64, i int) string {
	if top[i] > slices.Min(top) {
		return "Mind the scale: it is larger than that of the others."
	}
	return ""
}

// freeBars is the free blocks at the peak, by size.
func freeBars(shots []shot) chart.Grid {
	g := chart.Grid{
		Title:   "Free blocks at the peak, by size",
		Caption: "How many free blocks there are of each power of two and more, when the live payload is at its peak. Many small ones that nobody asks for are what fragmentation is made of. Go's heap does not list its free blocks.",
	}
	var labels []string
	for _, s := range shots {
		for i, f := range s.film.Peak.Free {
			if i == len(labels) {
				labels = append(labels, powerLabel(f.Min))
			}
		}
	}
	for _, s := range shots {
		if len(s.film.Peak.Free) == 0 {
			continue
		}
		counts := make([]float64, len(labels))
		for i, f := range s.film.Peak.Free {
			counts[i] = float64(f.Blocks)
		}
		g.Figures = append(g.Figures, chart.Figure{Title: s.cell.entry.Name, Chart: &chart.Bars{
			Width: 360, Height: 210, X: chart.Axis{Label: "bytes"}, Y: chart.Axis{Log: true, Min: 0.7, Max: mostFree(shots)},
			Labels: labels, Names: []string{"free blocks"}, Values: [][]float64{counts},
		}})
	}
	return g
}

// powerLabel writes a power of two in as few letters as an axis has room for.
func powerLabel(v int) string {
	for _, unit := range [...]string{"", "K", "M", "G"} {
		if v < 1024 {
			return fmt.Sprint(v) + unit
		}
		v /= 1024
	}
	return fmt.Sprint(v) + "T"
}

// mostFree returns the largest number of free blocks of one class, for a common
// scale.
func mostFree(shots []shot) float64 {
	most := 10
	for _, s := range shots {
		for _, f := range s.film.Peak.Free {
			most = max(most, f.Blocks)
		}
	}
	return float64(most)
}
