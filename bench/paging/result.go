package paging

import "github.com/memlab-go/memlab/bench/trace"

// result collects what the machines counted.
func (r *runner) result(t *trace.Trace, frames int) *Result {
	ample, tight := r.machines[0], r.machines[1]
	out := &Result{
		TLB: r.opts.TLB, Policy: r.opts.Policy, Uses: max(r.opts.Uses, 0), Ops: len(t.Ops),
		Accesses: r.accesses, Heap: r.byHeap,
		PageFaults: ample.k.Stats().Faults, PeakResident: ample.peak, TablePages: ample.k.TableFrames(),
		MeanResident: float64(ample.sum) / float64(max(len(t.Ops), 1)),
	}
	out.TLBMisses, out.Walks, out.WalkRefs = misses(ample)
	ks := tight.k.Stats()
	out.Tight = Tight{Frames: frames, PageFaults: ks.Faults, MajorFaults: ks.Major, SwapIns: ks.SwapIns, SwapOuts: ks.SwapOuts}
	out.Tight.TLBMisses, _, _ = misses(tight)
	if len(r.machines) > 2 {
		m := r.machines[2]
		ks := m.k.Stats()
		out.Huge = &Huge{Promotions: ks.Promotions, Demotions: ks.Demotions}
		out.Huge.TLBMisses, out.Huge.Walks, out.Huge.WalkRefs = misses(m)
	}
	if r.curve != nil {
		r.flushCurve()
		out.Curve = points(r.curve.Histogram().Curve())
	}
	return out
}

// misses returns what a machine's TLB missed, and what its walks read.
func misses(m *machine) (first, walks, refs int64) {
	s := m.cache.Stats()
	mmu := m.k.MMU().Stats()
	return s.Levels[0].Misses(), s.Levels[len(s.Levels)-1].Misses(), int64(mmu.Refs)
}

// points thins a curve out: all small sizes, then ever larger steps.
func points(curve []int64) []CurvePoint {
	var out []CurvePoint
	for n := 1; n < len(curve); n += 1 + n/24 {
		out = append(out, CurvePoint{n, curve[n]})
	}
	last := len(curve) - 1
	if len(out) == 0 || out[len(out)-1].Frames < last {
		out = append(out, CurvePoint{max(last, 1), curve[last]})
	}
	return out
}
