package segregated

import (
	"fmt"
	"iter"
	"runtime"

	"github.com/memlab-go/memlab/alloc"
)

// callers returns a yield that makes of the core's blocks what the callers know.
func (c *checked) callers(yield func(alloc.Block) bool) func(alloc.Block) bool {
	return func(b alloc.Block) bool {
		core := uint64(b.Off)
		switch {
		case !b.Used:
		case c.quarantine.has(core):
			b.Used = false
		case c.guards.covers(core):
			r, live := c.guards.live[core/c.h.pageSize]
			if live {
				b.Off, b.Size = offset(r.user), int(r.size)
			}
			b.Used = live
		default:
			b.Off += recordSize
			b.Size -= overhead
			if r, whole := c.get(core); whole {
				b.Size = int(r.size)
			}
		}
		return yield(b)
	}
}

// coreBlocks yields the core's blocks, as they are.
func (c *checked) coreBlocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		for p := range c.h.pieces() {
			if p.class == 0 {
				if !yield(alloc.Block{Off: offset(p.g << granuleShift), Size: int(p.n << granuleShift), Used: p.used}) {
					return
				}
			} else if !c.h.slots(p, yield) {
				return
			}
		}
	}
}

// live yields the live blocks that are not guarded: the core's block, and its
// record, whose seal may be broken.
func (c *checked) live() iter.Seq2[uint64, record] {
	return func(yield func(uint64, record) bool) {
		for b := range c.coreBlocks() {
			core := uint64(b.Off)
			if !b.Used || c.quarantine.has(core) || c.guards.covers(core) {
				continue
			}
			r, whole := c.get(core)
			r.freed = !whole || r.freed
			if !yield(core, r) {
				return
			}
		}
	}
}

// stats makes of the core's figures the callers': what is held back is not
// live, and the guards are not committed.
func (c *checked) stats(s *alloc.Stats) {
	q := &c.quarantine
	s.Quarantined = int(q.bytes + q.kept)
	s.Live -= s.Quarantined
	if g := c.guards; g != nil {
		s.Live -= int(g.hidden + g.stuck)
		s.Quarantined += int(g.stuck)
	}
	s.Requested = c.requested
}

// verify returns every broken law of the layer, at most maxErrs.
func (c *checked) verify() (errs []error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(runtime.Error); !ok {
				panic(r)
			}
			errs = append(errs, fmt.Errorf("segregated: the walk left the heap: %v", r))
		}
	}()
	report := func(err error) {
		if len(errs) < maxErrs {
			errs = append(errs, err)
		}
	}
	blocks, bytes, known := uint64(0), 0, true
	for core, r := range c.live() {
		blocks++
		bytes += int(r.size)
		if r.freed {
			report(c.underflow("check", core))
			known = false // its size
		} else if f := c.overflow("check", core, r); f != nil {
			report(f)
		}
	}
	if g := c.guards; g != nil {
		for p, r := range g.live {
			blocks++
			bytes += int(r.size)
			if f := g.broken("check", p); f != nil {
				report(f)
			}
		}
	}
	for core := range c.quarantine.freeStack {
		if _, whole := c.get(core); !whole && c.quarantine.isCondemned(core) {
			continue // it was condemned when it was to be reused: it has no record
		}
		if f := c.held("check", core); f != nil {
			report(f)
		}
	}
	c.freeBytes(report)
	if want := c.mallocs - c.frees; blocks != want {
		report(fmt.Errorf("segregated: M3: %d live blocks, the counters say %d", blocks, want))
	}
	if known && bytes != c.requested {
		report(fmt.Errorf("segregated: M3: %d bytes asked for, the counter says %d", bytes, c.requested))
	}
	return errs
}

// freeBytes looks at the core's free spans and slots, and at what may be dirty
// past the top.
func (c *checked) freeBytes(report func(error)) {
	h := c.h
	look := func(lo, hi uint64) {
		if lo < hi {
			if at, dirty := c.dirtyByte(lo, hi, false); dirty {
				report(c.lateWrite("check", at, nil, false))
			}
		}
	}
	for b := range c.coreBlocks() {
		if b.Used {
			continue
		}
		lo, hi := uint64(b.Off), uint64(b.Off)+uint64(b.Size)
		g := lo >> granuleShift
		if h.kinds[lo>>unitShift] >= kindRun || !h.isFree(g) { // a slot, or in a quick list
			look(lo, hi)
			continue
		}
		if n := h.spanSize(g); n >= infoMin {
			if gone := h.info(g).gone.gap(); gone.lo < gone.hi {
				look(lo, gone.lo<<granuleShift)
				look(gone.hi<<granuleShift, hi)
				continue
			}
		} else {
			lo += granule // the links
		}
		look(lo, hi)
	}
	look(h.top<<granuleShift, h.safe.dirty<<granuleShift)
}
