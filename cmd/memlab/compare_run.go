package main

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/internal/cli"
)

// measure fills the cells. Each measurement is a process of its own. Memory and
// validity do not depend on the clock, so these run side by side, one process a
// CPU; times are taken one after the other, trace by trace, so that what
// disturbs the machine for a while disturbs all allocators alike.
func (c *comparison) measure(ctx context.Context, e *env) error {
	p := cli.NewProgress(e.err, e.terminal, time.Now)
	defer p.Done()
	total := int64(2 * len(c.cells))
	if err := c.memory(ctx, func(done int, what string) { p.Step(int64(done), total, what) }); err != nil {
		return err
	}
	for i := range c.cells {
		x := &c.cells[i]
		p.Step(int64(len(c.cells)+i), total, "time: "+x.trace.Name+" on "+x.entry.Name)
		if x.result.Err() != nil && !x.result.Stopped {
			continue // it failed; its time would mean nothing
		}
		r, err := c.child(ctx, x, "-mode", "throughput", "-no-verify", "-reps", strconv.Itoa(c.flags.reps))
		if err != nil {
			return err
		}
		if err := r.Err(); err != nil {
			x.result.Fail(err)
			continue
		}
		x.result.AddTiming(replay.Timing{Warm: r.Warm, Cold: r.Cold})
	}
	return nil
}

// memory measures utilisation and validity of every cell. It calls step, on
// this goroutine, as cells are finished.
func (c *comparison) memory(ctx context.Context, step func(done int, what string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	todo := make(chan *cell)
	type outcome struct {
		cell *cell
		err  error
	}
	finished := make(chan outcome)
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), len(c.cells)) {
		workers.Go(func() {
			for x := range todo {
				r, err := c.child(ctx, x, "-mode", "utilisation", "-points")
				x.result = r
				finished <- outcome{x, err}
			}
		})
	}
	go func() {
		defer close(todo)
		for i := range c.cells {
			select {
			case todo <- &c.cells[i]:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		workers.Wait()
		close(finished)
	}()
	var first error
	done := 0
	for o := range finished {
		done++
		step(done, "memory: "+o.cell.trace.Name+" on "+o.cell.entry.Name)
		if o.err != nil && first == nil {
			first = o.err
			cancel()
		}
	}
	if first == nil {
		first = ctx.Err()
	}
	return first
}

// child measures one cell in a process of its own.
func (c *comparison) child(ctx context.Context, x *cell, args ...string) (*replay.Result, error) {
	args = append(args, "-alloc", x.entry.Name, "-ops", strconv.Itoa(x.trace.ops),
		"-limit", strconv.Itoa(c.flags.limit), "-patience", c.flags.patience.String(),
		"-seed", strconv.FormatUint(c.flags.seed, 10), x.trace.operand)
	return replayInChild(ctx, args)
}
