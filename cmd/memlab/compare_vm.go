package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/memlab-go/memlab/bench/paging"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/internal/cli"
)

// vmFlags say how allocators run inside simulated address spaces.
type vmFlags struct {
	on   bool
	opts paging.Options
}

func (f *vmFlags) define(fs *flag.FlagSet) {
	fs.BoolVar(&f.on, "vm", false, "also run each allocator inside a simulated address space: TLB misses, page faults, resident pages, swap")
	fs.StringVar(&f.opts.TLB, "vm-tlb", paging.DefaultTLB, "with -vm: `shape` of the TLB, entries × ways, a comma between levels")
	fs.Float64Var(&f.opts.Memory, "vm-memory", 1, "with -vm: memory of the machine that swaps, a `multiple` of the trace's peak live payload")
	fs.StringVar(&f.opts.Policy, "vm-policy", "LRU", "with -vm: page replacement `policy` of that machine, as memlab page has them")
	fs.IntVar(&f.opts.Uses, "vm-uses", 4, "with -vm: how many times a live block is used before each operation")
	fs.BoolVar(&f.opts.Huge, "vm-huge", false, "with -vm: also a machine that maps whole 2 MiB ranges by huge pages")
}

// check says what makes no sense.
func (f *vmFlags) check() error {
	if f.opts.Uses < 0 {
		return errors.New("-vm-uses cannot be negative")
	}
	if f.opts.Uses == 0 {
		f.opts.Uses = -1 // 0 is the default there
	}
	if f.opts.Memory == 0 {
		return errors.New("-vm-memory is 0, want more")
	}
	return f.opts.Check()
}

// accessesPerSecond turns the patience of a user into a number of accesses, so that
// what is left out does not depend on the machine: about what a slow one makes.
const accessesPerSecond = 25e6

// measureVM runs every cell's allocator in simulated machines, one a CPU: nothing
// depends on the clock.
func (c *comparison) measureVM(ctx context.Context, e *env) error {
	pr := cli.NewProgress(e.err, e.terminal, time.Now)
	defer pr.Done()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // of the whole process: once, not by each run
	todo := make(chan *cell)
	finished := make(chan *cell)
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), len(c.cells)) {
		workers.Go(func() {
			for x := range todo {
				c.runVM(ctx, x)
				finished <- x
			}
		})
	}
	go func() {
		defer close(finished)
		defer workers.Wait()
		defer close(todo)
		for i := range c.cells {
			select {
			case todo <- &c.cells[i]:
			case <-ctx.Done():
				return
			}
		}
	}()
	done := int64(0)
	for x := range finished {
		done++
		pr.Step(done, int64(len(c.cells)), "address space: "+x.trace.Name+" on "+x.entry.Name)
	}
	return ctx.Err()
}

// runVM fills x.vm, or x.vmErr.
func (c *comparison) runVM(ctx context.Context, x *cell) {
	if !x.result.Valid && !x.result.Stopped {
		x.vmErr = x.result.Err()
		return
	}
	o := c.flags.vm.opts
	o.Limit, o.Seed = c.flags.limit, c.flags.seed
	if c.flags.patience > 0 {
		o.MaxAccesses = max(1, int64(c.flags.patience.Seconds()*accessesPerSecond)) // 0 would be no bound
	}
	o.Stop = func() bool { return ctx.Err() != nil }
	x.vm, x.vmErr = paging.Run(x.trace.Trace, x.entry, o, x.trace == c.pictured())
}

// vmNotes explains the columns of the tables, for people.
func (c *comparison) vmNotes() string {
	o := c.flags.vm.opts
	return fmt.Sprintf("TLB %s, a kop is 1000 operations; swap with %g times the peak live payload in memory, %s; %d uses of live blocks an operation, a model, the same for all",
		o.TLB, o.Memory, o.Policy, max(o.Uses, 0))
}

// vmHead names the columns.
func (c *comparison) vmHead(first string) []string {
	head := []string{first, "peak util %", "warm ns/op", "accesses/op", "TLB misses/kop", "walks/kop", "page faults", "peak pages", "mean pages", "swap ins", "swap outs"}
	if c.flags.vm.opts.Huge {
		head = append(head, "huge: TLB misses/kop", "huge pages")
	}
	return head
}

// vmRow returns the cells of x after its name.
func (c *comparison) vmRow(x *cell) []string {
	row := []string{percent(x.result.Utilisation), decimal(warmOrCold(x.result))}
	v := x.vm
	if v == nil {
		for len(row) < len(c.vmHead(""))-1 {
			row = append(row, missing)
		}
		switch {
		case errors.Is(x.vmErr, replay.ErrStopped):
			row[2] = "too slow"
		case errors.Is(x.vmErr, paging.ErrNoSink):
			row[2] = "no events"
		}
		return row
	}
	n := float64(max(v.Ops, 1))
	row = append(row, fmt.Sprintf("%.1f", float64(v.Accesses)/n), perThousand(v.TLBMisses, n), perThousand(v.Walks, n), cli.Count(v.PageFaults),
		cli.Count(int64(v.PeakResident)), cli.Count(int64(v.MeanResident+0.5)), cli.Count(v.Tight.SwapIns), cli.Count(v.Tight.SwapOuts))
	if v.Huge != nil {
		row = append(row, perThousand(v.Huge.TLBMisses, n), cli.Count(v.Huge.Promotions))
	}
	return row
}

func perThousand(v int64, ops float64) string { return fmt.Sprintf("%.1f", 1000*float64(v)/ops) }

// vmSummary is one allocator over the traces that it finished in the simulated
// machines: geometric means, but sums of swapped pages, which may be 0.
type vmSummary struct {
	Alloc      string   `json:"alloc"`
	Traces     int      `json:"traces"`
	Accesses   *float64 `json:"accesses_per_op,omitempty"`
	TLBMisses  *float64 `json:"tlb_misses_per_1000_ops,omitempty"`
	Walks      *float64 `json:"walks_per_1000_ops,omitempty"`
	PageFaults *float64 `json:"page_faults,omitempty"`
	Peak       *float64 `json:"peak_resident_pages,omitempty"`
	Mean       *float64 `json:"mean_resident_pages,omitempty"`
	SwapIns    int64    `json:"swap_ins"`
	SwapOuts   int64    `json:"swap_outs"`
	HugeMisses *float64 `json:"huge_tlb_misses_per_1000_ops,omitempty"`
	HugePages  int64    `json:"huge_pages,omitempty"`

	peakUtil, warm *float64 // of the same traces
}

func (c *comparison) vmSummaries() []vmSummary {
	var out []vmSummary
	for _, en := range c.entries {
		s := vmSummary{Alloc: en.Name}
		var acc, misses, walks, faults, peak, mean, huge, util, warm geomean
		for _, x := range c.cells {
			v := x.vm
			if x.entry.Name != en.Name || v == nil {
				continue
			}
			s.Traces++
			n := float64(max(v.Ops, 1))
			for g, value := range map[*geomean]float64{&acc: float64(v.Accesses) / n, &misses: 1000 * float64(v.TLBMisses) / n, &walks: 1000 * float64(v.Walks) / n,
				&faults: float64(v.PageFaults), &peak: float64(v.PeakResident), &mean: v.MeanResident} {
				g.add(&value)
			}
			if v.Huge != nil {
				value := 1000 * float64(v.Huge.TLBMisses) / n
				huge.add(&value)
				s.HugePages += v.Huge.Promotions
			}
			util.add(x.result.Utilisation)
			warm.add(warmOrCold(x.result))
			s.SwapIns += v.Tight.SwapIns
			s.SwapOuts += v.Tight.SwapOuts
		}
		s.Accesses, s.TLBMisses, s.Walks, s.PageFaults = acc.value(), misses.value(), walks.value(), faults.value()
		s.Peak, s.Mean, s.HugeMisses, s.peakUtil, s.warm = peak.value(), mean.value(), huge.value(), util.value(), warm.value()
		out = append(out, s)
	}
	return out
}

// vmSummaryRow returns the cells of s after its name.
func (c *comparison) vmSummaryRow(s *vmSummary) []string {
	row := []string{percent(s.peakUtil), decimal(s.warm), decimal(s.Accesses), decimal(s.TLBMisses), decimal(s.Walks), decimal(s.PageFaults),
		decimal(s.Peak), decimal(s.Mean), cli.Count(s.SwapIns), cli.Count(s.SwapOuts)}
	if c.flags.vm.opts.Huge {
		row = append(row, decimal(s.HugeMisses), cli.Count(s.HugePages))
	}
	return append(row, fmt.Sprintf("%d of %d", s.Traces, len(c.traces)))
}

// writeVM writes the tables of the simulated machines.
func (c *comparison) writeVM(w io.Writer) error {
	fmt.Fprintf(w, "\nInside a simulated address space (%s):\n\n", c.vmNotes())
	for i := range c.traces {
		t := &c.traces[i]
		fmt.Fprintf(w, "%s: %s ops\n", t.Label(), cli.Count(int64(len(t.Ops))))
		tab := cli.Table{Head: c.vmHead("allocator")}
		cells := c.of(t)
		for k := range cells {
			tab.Rows = append(tab.Rows, append([]string{cells[k].entry.Name}, c.vmRow(&cells[k])...))
		}
		if _, err := tab.WriteTo(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "Geometric means over the traces that each allocator finished there, swapped pages summed up:")
	tab := cli.Table{Head: append(c.vmHead("allocator"), "traces")}
	for _, s := range c.vmSummaries() {
		if s.Traces > 0 {
			tab.Rows = append(tab.Rows, append([]string{s.Alloc}, c.vmSummaryRow(&s)...))
		}
	}
	_, err := tab.WriteTo(w)
	return err
}
