package main

import (
	"fmt"
	"math"

	"github.com/memlab-go/memlab/bench/paging"
	"github.com/memlab-go/memlab/internal/chart"
)

// vmParts are the parts of the report about the simulated machines.
func (c *comparison) vmParts() []chart.Part {
	if !c.flags.vm.on {
		return nil
	}
	summary := chart.Table{Caption: "Geometric means over the traces that each allocator finished there; swapped pages are summed up.", Head: append(c.vmHead("allocator"), "traces")}
	for _, s := range c.vmSummaries() {
		if s.Traces > 0 {
			summary.Rows = append(summary.Rows, append([]string{s.Alloc}, c.vmSummaryRow(&s)...))
		}
	}
	parts := []chart.Part{
		chart.Heading("What the allocators do to the TLB and to memory"),
		chart.Text("Each allocator ran inside a simulated address space: its accesses to its own metadata, and the program's to the blocks, went through a TLB, page tables and page faults, first with as many frames as it wanted, then with as many as the live payload would fill at its peak, and swap. " + c.vmNotes() + "."),
		summary,
		c.vmBars("TLB misses on each trace", "Misses of the first level of the TLB for 1000 operations of the trace. Blocks that are used together and lie together cost none; metadata beside the blocks, and long searches, cost many.", "misses",
			func(v *paging.Result) float64 { return 1000 * float64(v.TLBMisses) / float64(max(v.Ops, 1)) }),
		c.vmBars("Page faults on each trace", "Pages touched for the first time, also after they had been given back to the system, with as much memory as is wanted.", "page faults",
			func(v *paging.Result) float64 { return float64(v.PageFaults) }),
		c.vmBars("Swap traffic on each trace", "Pages read from and written to swap when memory is what the live payload would fill at its peak: what is wasted inside and between the blocks has to be paid here. No bar is no traffic.", "pages",
			func(v *paging.Result) float64 { return float64(v.Tight.SwapIns + v.Tight.SwapOuts) }),
	}
	if f, ok := c.vmCurves(); ok {
		parts = append(parts, f)
	}
	for i := range c.traces {
		parts = append(parts, c.vmTable(&c.traces[i]))
	}
	return parts
}

// vmBars is one figure of every allocator on every trace.
func (c *comparison) vmBars(title, caption, label string, value func(*paging.Result) float64) chart.Figure {
	b := &chart.Bars{X: chart.Axis{Label: "trace"}, Y: chart.Axis{Label: label, Log: true}, Legend: true}
	for i, en := range c.entries {
		if en.Collected {
			continue
		}
		b.Names = append(b.Names, en.Name)
		var vs []float64
		for k := range c.traces {
			v := math.NaN() // not measured
			if r := c.of(&c.traces[k])[i].vm; r != nil {
				v = value(r)
			}
			vs = append(vs, v)
		}
		b.Values = append(b.Values, vs)
	}
	for i := range c.traces {
		b.Labels = append(b.Labels, c.traces[i].Name)
	}
	return chart.Figure{Title: title, Caption: caption, Chart: b}
}

// vmCurves is how many page faults the pictured trace has with how much memory.
func (c *comparison) vmCurves() (chart.Figure, bool) {
	t := c.pictured()
	l := &chart.Lines{X: chart.Axis{Label: "frames of memory", Log: true}, Y: chart.Axis{Label: "page faults", Log: true}, Height: 420}
	for _, x := range c.of(t) {
		if x.vm == nil || len(x.vm.Curve) == 0 {
			continue
		}
		s := chart.Series{Name: x.entry.Name}
		for _, p := range x.vm.Curve {
			s.X, s.Y = append(s.X, float64(p.Frames)), append(s.Y, float64(p.Faults))
		}
		l.Series = append(l.Series, s)
	}
	return chart.Figure{
		Title:   "Page faults by memory size: " + t.Label(),
		Caption: "Under LRU, for every size of memory, from one pass (stack distances). A line further left needs less memory for the same faults; where it becomes flat, everything fits and only first touches are left. Pages given back and touched again do not count here.",
		Chart:   l,
	}, len(l.Series) > 0
}

// vmTable is the figures of one trace.
func (c *comparison) vmTable(t *comparedTrace) chart.Table {
	out := chart.Table{Head: c.vmHead("allocator"), Caption: fmt.Sprintf("%s in the simulated address space", t.Label())}
	cells := c.of(t)
	for i := range cells {
		out.Rows = append(out.Rows, append([]string{cells[i].entry.Name}, c.vmRow(&cells[i])...))
	}
	return out
}
