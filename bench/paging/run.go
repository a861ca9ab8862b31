package paging

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

// ErrNoSink says that an allocator reports no events, as Go's heap does not, or that
// its blocks are to move while it is replayed, which is not simulated.
var ErrNoSink = errors.New("paging: the allocator has no event sink")

// A runner is one run of one allocator.
type runner struct {
	opts     Options
	heap     replay.Heap
	prog     *program
	blocks   [][]byte // by id
	machines []*machine
	err      error // of a machine; the run ends

	last      uint64 // page of the last access, above a bit that says whether it was a write
	accesses  int64
	byHeap    int64
	at        uint64 // offset of the block that the operation under way yielded
	curve     *replace.LRUCurve
	pages     replace.Pages
	curveRefs []replace.Ref
}

// Run replays t on an allocator of e inside simulated machines. The error is
// [ErrNoSink], a [*replay.OpError] (with [replay.ErrStopped] if Options.Stop ended
// it), or that of a machine. With curve, the result has the page faults under LRU
// for many sizes of memory. O(accesses).
func Run(t *trace.Trace, e replay.Entry, o Options, curve bool) (*Result, error) {
	if e.Collected || e.Compact > 0 {
		return nil, ErrNoSink
	}
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	r := &runner{opts: o, prog: newProgram(t.IDs, o.Seed), blocks: make([][]byte, t.IDs), last: 1 << 63}
	if curve {
		r.curve, r.curveRefs = replace.NewLRUCurve(), make([]replace.Ref, 0, 4096)
	}
	defer r.close()
	frames := int(max(float64(t.PeakLive())*o.Memory/pageSize, 8))
	if err := r.build(frames, int(t.PeakLive()>>pageShift)); err != nil {
		return nil, err
	}
	if r.heap, err = e.New(replay.Config{Limit: o.Limit, Sink: r.hear}); err != nil {
		return nil, err
	}
	if err := r.replay(t); err != nil {
		return nil, err
	}
	return r.result(t, frames), nil
}

// build makes the machines: frames for the one that is short of memory, and as many
// as anybody may want, for a peak payload of so many pages, for the others.
func (r *runner) build(frames, peak int) error {
	ample := 8*peak + 1<<15
	policy, err := tightPolicy(r.opts.Policy, frames, r.opts.Seed)
	if err != nil {
		return err
	}
	all := []machineOptions{
		{tlb: r.opts.TLB, frames: ample},
		{tlb: r.opts.TLB, frames: frames + tableRoom(frames), policy: policy, slots: ample},
	}
	if r.opts.Huge {
		all = append(all, machineOptions{tlb: r.opts.TLB, frames: ample, huge: true})
	}
	for _, o := range all {
		m, err := newMachine(o)
		if err != nil {
			return err
		}
		r.machines = append(r.machines, m)
	}
	return nil
}

// tableRoom is how many frames page tables get beside so many of data.
func tableRoom(frames int) int { return 24 + frames/64 }

// hear is the allocator's sink.
func (r *runner) hear(e alloc.Event) {
	switch e.Kind {
	case alloc.EventRead, alloc.EventWrite:
		n := r.accesses
		r.access(uint64(e.Off), uint64(e.Size), e.Kind == alloc.EventWrite)
		r.byHeap += r.accesses - n
	case alloc.EventMalloc, alloc.EventCalloc, alloc.EventRealloc:
		r.at = uint64(e.Off)
	case alloc.EventDecommit:
		r.each(func(m *machine) error { return m.discard(uint64(e.Off), uint64(e.Off)+uint64(e.Size)) })
		r.last = 1 << 63
	case alloc.EventMove:
		r.each(func(m *machine) error { return m.move(uint64(e.Off), uint64(e.Old), uint64(e.Size)) })
		r.last = 1 << 63
	}
}

func (r *runner) each(f func(*machine) error) {
	for _, m := range r.machines {
		if err := f(m); err != nil && r.err == nil {
			r.err = err
		}
	}
}

// access makes an access to n bytes at an offset of the region.
func (r *runner) access(off, n uint64, write bool) {
	if n == 0 || r.err != nil {
		return
	}
	for page, end := off>>pageShift, (off+n-1)>>pageShift; page <= end; page++ {
		r.accesses++
		this := page << 1
		if write {
			this |= 1
		}
		if this == r.last || this|1 == r.last {
			continue
		}
		r.last = this
		acc := vm.Access(this & 1) // Read or Write
		for _, m := range r.machines {
			if err := m.touch(page, acc); err != nil && r.err == nil {
				r.err = fmt.Errorf("page %#x: %w", page, err)
			}
		}
		if r.curve != nil {
			r.curveRefs = append(r.curveRefs, replace.MakeRef(r.pages.Number(page), write))
			if len(r.curveRefs) == cap(r.curveRefs) {
				r.flushCurve()
			}
		}
	}
}

func (r *runner) flushCurve() {
	r.curve.Add(r.curveRefs)
	r.curveRefs = r.curveRefs[:0]
}

// stopped reports whether the run is to end.
func (r *runner) stopped() bool {
	return r.opts.MaxAccesses > 0 && r.accesses > r.opts.MaxAccesses || r.opts.Stop != nil && r.opts.Stop()
}

// replay runs the trace.
func (r *runner) replay(t *trace.Trace) error {
	const stopEvery = 1 << 8
	for i, op := range t.Ops {
		if i%stopEvery == 0 && r.stopped() {
			return &replay.OpError{Trace: t.Name, Op: i, Err: replay.ErrStopped}
		}
		for range r.opts.Uses {
			off, n, write := r.prog.next()
			r.access(off, n, write)
		}
		if err := errors.Join(r.step(op), r.err); err != nil {
			return &replay.OpError{Trace: t.Name, Op: i + 1, Err: err}
		}
		for _, m := range r.machines {
			m.sample()
		}
	}
	return nil
}

// step carries one operation out, and writes what it adds to the block.
func (r *runner) step(op trace.Op) (err error) {
	if op.Kind == trace.Free {
		if op.ID != trace.NoID {
			r.heap.Free(r.blocks[op.ID])
			r.blocks[op.ID] = nil
			r.prog.end(op.ID)
		}
		return nil
	}
	id, old, size := op.ID, uint64(0), uint64(op.Bytes())
	switch op.Kind {
	case trace.Malloc:
		r.blocks[id], err = r.heap.Malloc(int(op.Size))
	case trace.Calloc:
		r.blocks[id], err = r.heap.Calloc(int(op.Count), int(op.Size))
	case trace.Realloc:
		if r.prog.live(id) {
			old = r.prog.blocks[id].size
		}
		var b []byte
		if b, err = r.heap.Realloc(r.blocks[id], int(op.Size)); err == nil {
			r.blocks[id] = b
		}
	}
	switch {
	case err != nil:
		return err
	case r.blocks[id] == nil: // a Realloc to nothing
		r.prog.end(id)
		return nil
	case r.prog.live(id) && op.Kind == trace.Realloc:
		r.prog.moved(id, r.at, size)
	default:
		r.prog.begin(id, r.at, size)
	}
	if size > old {
		r.access(r.at+old, size-old, true)
	}
	return nil
}

func (r *runner) close() {
	if r.heap != nil {
		r.heap.Close() // its error tells of the blocks left, on purpose
	}
	for _, m := range r.machines {
		m.close()
	}
}
