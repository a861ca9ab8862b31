package replay

import (
	"errors"
	"runtime"
	"runtime/debug"
	"time"
)

// Timing is what [Throughput] measured, in nanoseconds of wall time an
// operation. The slices have one figure per repetition.
type Timing struct {
	Cold []float64 // first pass of a fresh heap
	Warm []float64 // later passes in the same heap
}

// A repetition of a short trace is made of as many passes as take this long,
// so that the clock's grain and a single interrupt do not show.
const leastRepetition = 20 * time.Millisecond

// slow says that a pass takes so long that one of a kind must do.
func slow(pass time.Duration) bool { return pass > 400*time.Millisecond }

// enough forgives that a run was stopped once there is a figure.
func (t *Timing) enough(err error) error {
	if errors.Is(err, ErrStopped) && len(t.Cold) > 0 {
		return nil
	}
	return err
}

// Throughput times p on heaps of e: reps times a cold pass on a fresh heap, and
// reps times at least one warm pass in the last of these; once each where a pass
// takes long. If cfg.Stop ends it after the first pass, what was measured until
// then is the result. Now is the clock, [time.Now] outside tests.
func Throughput(p *Program, e Entry, cfg Config, reps int, now func() time.Time) (Timing, error) {
	cfg.raw = !e.Collected
	if cfg.raw {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	var out Timing
	tab := make(table, p.Slots)
	m := newMover(e, p.PeakLive)
	for rep := range reps {
		clear(tab)
		if rep == 0 {
			runtime.GC() // so that none is under way when the clock runs
		}
		h, err := e.New(cfg)
		if err != nil {
			return out, err
		}
		if err := m.follow(h, tab); err != nil {
			h.Close()
			return out, err
		}
		start := now()
		if err := p.run(h, tab, &cfg, m); err != nil {
			h.Close()
			return out, out.enough(err)
		}
		cold := now().Sub(start)
		out.Cold = append(out.Cold, p.perOp(cold, 1))
		if rep == reps-1 || slow(cold) {
			err = p.warm(h, tab, &cfg, m, reps, cold, now, &out)
		}
		h.Close() // its error tells of the blocks left, on purpose
		if err != nil || len(out.Warm) > 0 {
			return out, out.enough(err)
		}
	}
	return out, nil
}

// warm repeats p in h, which has run it once.
func (p *Program) warm(h Heap, tab table, cfg *Config, m *mover, reps int, cold time.Duration, now func() time.Time, out *Timing) error {
	passes := int(min(max(leastRepetition/max(cold, 1), 1), 1000))
	if slow(cold) {
		reps = 1
	}
	for range reps {
		var spent time.Duration
		for range passes {
			p.freeLeft(h, tab)
			start := now()
			if err := p.run(h, tab, cfg, m); err != nil {
				return err
			}
			spent += now().Sub(start)
		}
		out.Warm = append(out.Warm, p.perOp(spent, passes))
	}
	return nil
}

func (p *Program) perOp(d time.Duration, passes int) float64 {
	return float64(d.Nanoseconds()) / float64(max(p.Ops, 1)*passes)
}
