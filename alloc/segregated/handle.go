package segregated

import (
	"math/bits"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/internal/invariants"
)

// A Handle allocates from a [Shared] for one goroutine at a time, faster than
// the heap itself: it has runs of its own, of which it takes slots without an
// atomic operation. Blocks belong to the heap: any goroutine may free them,
// through any handle or the heap, also when the handle is closed.
//
// A Handle is not safe for concurrent use. It may pass from one goroutine to
// another as any value may.
type Handle struct {
	handleFast
	o      *shard
	closed bool
}

// Handle returns a handle for one goroutine at a time. Close it when it is not
// needed any more: what it has at hand, at most one run of each class and its
// lists, goes back then. Handles cost some KiB each and need no limit of their
// number. One of a closed heap has nothing to give.
func (s *Shared) Handle() *Handle {
	s.reg.Lock()
	defer s.reg.Unlock()
	var o *shard
	if n := len(s.idle); n > 0 {
		o = s.idle[n-1]
		s.idle = s.idle[:n-1]
		o.mu.Lock()
		o.closed = false
		o.mu.Unlock()
	} else {
		old := *s.owners.Load()
		o = &shard{id: uint64(len(old)), hands: new(hands)}
		o.hands.pause.Store(biasPause)
		owners := append(old[:len(old):len(old)], o)
		s.owners.Store(&owners)
	}
	return &Handle{o: o, handleFast: handleFast{s: s, hands: o.hands, maxSize: s.maxSize, kindTab: s.kindTab, unitTab: s.unitTab,
		base: uintptr(s.base), low: uintptr(s.base) + s.first, classOf: s.classOf}}
}

// mallocSlow is Malloc when there is no slot at hand.
func (h *Handle) mallocSlow(size int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("malloc")
	}
	if h.s.hasClass(size) && !h.s.stopped.Load() {
		c := h.s.classFor(size)
		if hd := &h.hands.of[c.index]; hd.run != 0 && h.s.lend(h.o, hd) {
			return h.s.takeHand(hd, size), nil
		}
	}
	return h.s.malloc("malloc", size, h.o)
}

// refusal is the error of a closed handle.
func (h *Handle) refusal(op string) error { return &alloc.Fault{Op: op, Err: alloc.ErrClosed} }

// Calloc is [Shared.Calloc].
func (h *Handle) Calloc(count, size int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("calloc")
	}
	return h.s.calloc(count, size, h.o)
}

// Realloc is [Shared.Realloc].
func (h *Handle) Realloc(b []byte, size int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("realloc")
	}
	return h.s.realloc(b, size, 1, h.o)
}

// MallocAligned is [Shared.MallocAligned].
func (h *Handle) MallocAligned(size, align int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("malloc")
	}
	return h.s.mallocAligned(size, align, h.o)
}

// ReallocAligned is [Shared.ReallocAligned].
func (h *Handle) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("realloc")
	}
	return h.s.realloc(b, size, align, h.o)
}

// Usable is [Shared.Usable].
func (h *Handle) Usable(b []byte) int {
	if h.closed {
		panic(h.s.h.badBlock("usable", b, alloc.ErrClosed))
	}
	return h.s.Usable(b)
}

// freeSlow is Free for what the small path does not take.
func (h *Handle) freeSlow(b []byte) {
	if h.closed && b != nil {
		panic(h.s.h.badBlock("free", b, alloc.ErrClosed))
	}
	h.s.freeSlow(b)
}

// Close gives what the handle has at hand back to the heap: empty runs to the
// best-fit space, others to the shards. Blocks stay live, and are freed through
// the heap or another handle. Later calls of Malloc return [alloc.ErrClosed]; a
// second Close returns nil, and panics under the invariants build tag.
func (h *Handle) Close() error {
	if h.closed {
		if invariants.Enabled {
			panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
		}
		return nil
	}
	h.closed = true
	h.hands, h.maxSize, h.low = new(hands), 0, outOfReach
	s, o := h.s, h.o
	s.reg.Lock()
	defer s.reg.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !s.stopped.Load() {
		for ci := range o.hands.of {
			s.giveBack(o, &s.classes[ci])
		}
		t := s.seats[seat()].Load()
		t.mu.Lock()
		s.takeAll(o, t)
		s.dropEmpty(t)
		t.mu.Unlock()
	}
	o.closed = true
	s.idle = append(s.idle, o)
	return nil
}

// takeLent returns a slot of class c for the handle that o belongs to, whose
// mutex is held; nil if there is no room for another run.
func (s *Shared) takeLent(o *shard, c *sharedClass, size int) []byte {
	hd := &o.hands.of[c.index]
	for atomic.LoadUint64(&hd.avail) == 0 && (hd.run == 0 || !s.lend(o, hd)) {
		s.giveBack(o, c)
		run := s.next(o, c)
		if run == 0 {
			return nil
		}
		s.hold(hd, c, run)
	}
	return s.takeHand(hd, size)
}

// takeHand hands out a slot of hd, which has one.
func (s *Shared) takeHand(hd *hand, size int) []byte {
	a := atomic.LoadUint64(&hd.avail)
	setMask(&hd.avail, a&(a-1))
	return s.slotAt(hd.run<<unitShift+uintptr(bits.TrailingZeros64(a))*hd.size, size)
}

// lend puts what was freed of the run into the hand: by the handle itself, and
// by others. It reports whether there is anything. The hand has slots before
// they are marked as used: whoever sees one marked sees that it is at hand.
func (s *Shared) lend(o *shard, hd *hand) bool {
	freed := hd.freed
	o.hands.frees.Add(uint64(bits.OnesCount64(freed)))
	var bias uint64
	if o.mayBias() {
		bias = biasBit
	}
	for {
		w, row := s.word(hd.run)
		a := ^w & slotMask
		hd.setAvailNow(freed | a)
		if a == 0 && w&heldBit != 0 && w|bias == w || atomic.CompareAndSwapUint64(row, w, w|a|heldBit|bias) {
			setMask(&hd.freed, 0)
			return freed|a != 0
		}
	}
}

// giveBack takes the run out of the hand of class c, with the slots that were
// not handed out.
func (s *Shared) giveBack(o *shard, c *sharedClass) {
	hd := &o.hands.of[c.index]
	run := hd.run
	if run == 0 {
		return
	}
	hd.run = 0
	o.hands.frees.Add(uint64(bits.OnesCount64(hd.freed)))
	s.unhold(run, hd.lent())
	hd.setAvailNow(0)
	setMask(&hd.freed, 0)
	s.settleAt(o, c, run)
}
