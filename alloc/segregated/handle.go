package segregated

import (
	"math/bits"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/internal/invariants"
)

// A Handle allocates from a [Shared] for one goroutine at a time, faster than
// the heap itself: it has runs of its own, of which it takes slots without an
// atomic operation. Blocks belong to the heap: any goroutine may free them, through
// the heap or any handle that is open, also when the handle they came from is closed.
//
// A Handle is not safe for concurrent use. It may pass from one goroutine to
// another as any value may.
type Handle struct {
	hands
}

// Handle returns a handle for one goroutine at a time. Close it when it is not
// needed any more: what it has at hand, at most two runs of each class, its lists and
// its stock, goes back then. Handles cost some 20 KiB each and need no limit of their
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
		o = &shard{id: uint64(len(old))}
		owners := append(old[:len(old):len(old)], o)
		s.owners.Store(&owners)
	}
	h := &Handle{}
	h.setHands(s, o)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beginBias(&h.hands)
	o.hands.Store(&h.hands)
	h.beginStock()
	return h
}

// mallocBig is Malloc for sizes that never have a class.
func (h *Handle) mallocBig(size int) ([]byte, error) {
	if h.closed {
		return nil, h.refusal("malloc")
	}
	return h.mallocLarge("malloc", size, nil)
}

// mallocSlow is Malloc when there is no slot at hand.
func (h *Handle) mallocSlow(size int) ([]byte, error) {
	if !h.s.hasClass(size) {
		return h.mallocBig(size)
	}
	h.fences.Add(1)
	if h.closed {
		return nil, h.refusal("malloc")
	}
	if !h.s.stopped.Load() {
		c := h.s.classFor(size)
		now, hd := h.now[c.size/granule], h.other[c.size/granule]
		bias := now.run != 0 && h.o.mayBias()
		switch {
		case bias && h.s.hasFreed(now):
			return h.s.malloc("malloc", size, h.o) // which lends them, so that all stay in one hand
		case now.run != 0 && !bias && h.s.lend(now, false):
			hd = now
		case hd.lent() != 0 && h.outgrown(now, hd):
			h.swap(c)
		}
		if b := h.s.takeHand(hd, size); b != nil {
			return b, nil
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
	return h.s.mallocAligned("malloc", size, align, h.o)
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

// Close gives what the handle has at hand back to the heap: empty runs to the
// best-fit space, others to the shards. Blocks stay live, and are freed through
// the heap or another handle. Later calls that allocate return [alloc.ErrClosed], Free and Usable
// panic with it; a second Close returns nil, and panics under the invariants build tag.
func (h *Handle) Close() error {
	if h.closed {
		if invariants.Enabled {
			panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
		}
		return nil
	}
	h.closed = true
	s, o := h.s, h.o
	s.reg.Lock()
	defer s.reg.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !s.stopped.Load() {
		for ci := range s.classes {
			s.giveBackAll(o, &s.classes[ci])
		}
		t := s.seats[seat()].Load()
		t.mu.Lock()
		s.takeAll(o, t)
		s.dropEmpty(t, 1)
		t.mu.Unlock()
	}
	h.shut()
	h.emptyStock()
	o.endHands(&h.hands)
	o.closed = true
	s.idle = append(s.idle, o)
	return nil
}

// takeLent returns a slot of class c for the handle that o belongs to, whose
// mutex is held; nil if there is no room for another run, or the heap is closed.
func (s *Shared) takeLent(o *shard, c *sharedClass, size int) []byte {
	hs := o.hands.Load()
	now, other := hs.now[c.size/granule], hs.other[c.size/granule]
	bias := canBias && hs.pause.Load() == 0
	if bias {
		s.biasLent(o, other)
	}
	if now.lent() != 0 || now.run != 0 && s.lend(now, bias) {
		return s.takeHand(now, size)
	}
	empty := other.lent() == 0
	if empty && (other.run == 0 || !s.lend(other, bias)) && !s.replace(o, c, other, bias) {
		return nil
	}
	if empty || hs.outgrown(now, other) {
		hs.swap(c)
	}
	return s.takeHand(other, size)
}

// replace gives hd, a hand of class c, another run, of which it lends all that is
// free; it reports whether there is one. What the hand has is lent before the
// owner's mutex is released: to who frees its last block meanwhile, a run that has
// lent nothing is nobody's.
func (s *Shared) replace(o *shard, c *sharedClass, hd *hand, bias bool) bool {
	s.giveBack(o, c, hd)
	run := s.next(o, c)
	if run == 0 {
		return false
	}
	s.hold(o.hands.Load(), hd, c, run)
	return s.lend(hd, bias)
}

// takeHand hands out a slot of hd; nil if it has none, as when the heap has just been
// closed.
func (s *Shared) takeHand(hd *hand, size int) []byte {
	a := atomic.LoadUint64(&hd.avail)
	if a == 0 {
		return nil
	}
	setMask(&hd.avail, a&(a-1))
	return s.bytesOf(hd.run<<unitShift+uintptr(bits.TrailingZeros64(a))*uintptr(hd.size), size)
}

// lend puts what was freed of the run into the hand, which has no slot, and
// reports whether there was anything; in a heap that is closed the hand has nothing
// all the same. With bias, for which the owner's mutex is held, the handle's
// goroutine may free the slots by plain writes from then on. The hand has
// slots, and they are biased, before they are marked as used: whoever sees one marked
// sees that it is at hand, or may be.
func (s *Shared) lend(hd *hand, bias bool) bool {
	for {
		w, row := s.word(hd.run)
		a := ^w & slotMask
		if a == 0 {
			return false
		}
		hd.setAvailNow(a)
		if bias {
			hd.bias(a)
		}
		s.show(&s.classes[w>>classShift%maxClasses], hd.run, a|hd.biased())
		if atomic.CompareAndSwapUint64(row, w, w|a|heldBit) {
			if atomic.LoadUint32(&hd.mode) == handShut {
				hd.setMode(handOpen)
			}
			if s.stopped.Load() {
				hd.stop()
			}
			return true
		}
	}
}

// hasFreed reports whether slots of the run in hd were freed by others, or by a
// compare-and-swap.
func (s *Shared) hasFreed(hd *hand) bool {
	w, _ := s.word(hd.run)
	return !isFull(w)
}

// giveBackAll takes the runs of class c out of the hands of o.
func (s *Shared) giveBackAll(o *shard, c *sharedClass) {
	hs := o.hands.Load()
	for i := range hs.of[c.index] {
		s.giveBack(o, c, &hs.of[c.index][i])
	}
}

// giveBack takes the run out of a hand of class c, with the slots that were not
// handed out. The hand has the run until the run's word has changed.
func (s *Shared) giveBack(o *shard, c *sharedClass, hd *hand) {
	run := hd.run
	if run == 0 {
		return
	}
	hd.setMode(handShut)
	s.unhold(o, run, hd.lent())
	o.hands.Load().setRun(c, hd, 0)
	hd.count = 0
	hd.setAvailNow(0)
	s.settleAt(o, c, run)
}
