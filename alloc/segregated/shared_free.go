package segregated

import (
	"runtime"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
)

// A place is a slot of a run, or what would be one.
type place struct {
	c         *sharedClass
	run, slot uintptr
	bit       uint64 // of the slot, 0 if there is none
	base      bool   // the address is the first of the slot
}

// placeAt returns the slot at offset off, if the kind of its unit is a run's.
// With the race detector, s.mu is held.
func (s *Shared) placeAt(off uintptr) (p place, ok bool) {
	if off-s.first >= s.reach.Load() {
		return place{}, false
	}
	u := off >> unitShift
	k := s.kind(u)
	if k < kindRun || k&runIndex > u {
		return place{}, false
	}
	c := &s.classes[k>>8%maxClasses]
	if c.size == 0 {
		return place{}, false
	}
	p = place{c: c, run: u - k&runIndex}
	p.slot = (off - p.run<<unitShift) / c.size
	p.bit = c.valid & (1 << (p.slot % 64))
	p.base = p.run<<unitShift+p.slot*c.size == off
	return p, true
}

// A verdict is what came of taking a slot back.
type verdict int

const (
	freed   verdict = iota
	edge            // freed, and the run is to be settled
	notLive         // there is no such block
	biased          // the handle that may free the slot, too, must be told first
	inHand          // the owner may have the slot and not have handed it out
)

// release takes the slot at p back if it is live.
func (s *Shared) release(p place) verdict {
	if p.bit == 0 || !p.base {
		return notLive
	}
	for {
		w, row := s.word(p.run)
		if !p.c.isRun(w) || w&p.bit == 0 {
			return notLive
		}
		if w&biasBit != 0 {
			return biased
		}
		if w&heldBit != 0 {
			switch lent, own := s.lent(p.c, p.run); {
			case own&p.bit != 0:
				return biased
			case lent&p.bit != 0:
				return inHand
			}
		}
		n := freeOne(w, p.bit)
		if !atomic.CompareAndSwapUint64(row, w, n) {
			continue
		}
		if n&countMask == 0 {
			s.countFrees()
		}
		if p.c.isEdge(w, n) {
			return edge
		}
		return freed
	}
}

// lent returns the slots of the given run, of class c, that its owner has at hand, and
// those that are biased towards it.
func (s *Shared) lent(c *sharedClass, run uintptr) (lent, biased uint64) {
	b := atomic.LoadUint64(s.bound(run))
	if !c.isRun(b) {
		return 0, 0
	}
	o := s.owner(b)
	if o == nil {
		return 0, 0
	}
	if hs := o.hands.Load(); hs != nil {
		return hs.lent(c.index, run)
	}
	return atHand(o.cur[c.index%maxClasses].Load(), run), 0
}

// show tells those who free slots of the run, of class c, that these, and no others, may be
// at hand or biased from now on; its owner is about to lend them.
func (s *Shared) show(c *sharedClass, run uintptr, slots uint64) {
	if c.units > 1 {
		p := s.shown(run)
		atomic.StoreUint64(p, showing(atomic.LoadUint64(p), slots))
	}
}

// freeHeld frees a slot of a run of c that has lent slots, and whose word is w; the hands
// are the caller's. Of a run in a hand of its own the caller knows what is at hand. Others
// may just be taking the hands of a claim away: then the word has changed since it was
// read, or will before the slots are given to anybody.
func (hs *hands) freeHeld(c *sharedClass, run uintptr, w, slot uint64, here *byte) bool {
	hd := hs.holding(c.index, run)
	switch {
	case hd != nil && hs.freeBiased(hd, slot, here):
		return true
	case w&biasBit != 0:
		return false
	case hd == nil:
		return hs.s.freeShown(c, run, w, 1<<slot)
	case (hd.biased()|hd.lent())>>slot&1 != 0:
		return false
	}
	return hs.s.freeBit(run, w, 1<<slot)
}

// freeBit frees a slot of the run whose word is w, and reports whether it still was.
func (s *Shared) freeBit(run uintptr, w, bit uint64) bool {
	_, row := s.word(run)
	n := freeOne(w, bit)
	if !atomic.CompareAndSwapUint64(row, w, n) {
		return false
	}
	if n&countMask == 0 {
		s.countFrees()
	}
	return true
}

// freeShown is freeHeld for a slot that may be at hand or biased. If it is neither, those
// who free others need not look for a while.
func (s *Shared) freeShown(c *sharedClass, run uintptr, w, bit uint64) bool {
	var p *uint64
	var seen uint64
	if c.units > 1 {
		p = s.shown(run)
		seen = atomic.LoadUint64(p)
	}
	lent, biased := s.lent(c, run)
	lent |= biased
	if lent&bit != 0 || !s.freeBit(run, w, bit) {
		return false
	}
	if p != nil {
		atomic.CompareAndSwapUint64(p, seen, seen&^(slotMask&^lent))
	}
	return true
}

// isLent reports whether the slot at p has been lent to an owner that has not
// handed it out. The owner's mutex keeps it from taking another run meanwhile.
func (s *Shared) isLent(p place) bool {
	o := s.ownerOf(p.c, p.run)
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.ownerOf(p.c, p.run) != o {
		return false
	}
	hs := o.hands.Load()
	if hs == nil {
		cur := o.cur[p.c.index].Load()
		for cur&curFill != 0 { // Malloc puts slots at hand without the mutex
			runtime.Gosched()
			cur = o.cur[p.c.index].Load()
		}
		return atHand(cur, p.run)&p.bit != 0
	}
	lent, _ := hs.lent(p.c.index, p.run)
	return lent&p.bit != 0
}

// freeSlow is Free for spans, for bad blocks, for slots that a handle may have,
// and when every call has to come here.
func (hs *hands) freeSlow(b []byte) {
	s := hs.s
	if b == nil || s.freeSpan(b) {
		return
	}
	for {
		switch p, v := s.freeOnce(b); {
		case v == freed:
			return
		case v == edge:
			s.settle(p.c, p.run)
			return
		case v == biased:
			s.unbias(p.c, p.run, hs)
		case v == notLive || s.isLent(p):
			panic(s.badSlot("free", b, p))
		}
	}
}

// freeSpan frees b, unless that may be a slot, which it tells.
func (s *Shared) freeSpan(b []byte) bool {
	off := addrOf(b) - uintptr(s.base)
	if !raceEnabled && s.hasRunAt(off) {
		return false
	}
	s.lock()
	defer s.unlock()
	if !s.serial && !s.h.refused() && s.hasRunAt(off) {
		return false
	}
	s.freeCentral(b, off)
	return true
}

// freeCentral frees b, at offset off, which is no slot. s.mu is held.
func (s *Shared) freeCentral(b []byte, off uintptr) {
	if off-s.first < s.reach.Load() && off%granule == 0 && !s.claimSpan(off) {
		panic(s.h.classifyFreed("free", b, uint64(off)))
	}
	s.h.Free(b)
}

// freeOnce frees b if it is no slot, or tries to if it is one.
func (s *Shared) freeOnce(b []byte) (p place, v verdict) {
	off := addrOf(b) - uintptr(s.base)
	if !raceEnabled {
		if p, ok := s.placeAt(off); ok {
			if v = s.release(p); v != notLive {
				return p, v
			}
		}
	}
	s.lock()
	defer s.unlock()
	if !s.h.refused() {
		if p, ok := s.placeAt(off); ok {
			return p, s.release(p)
		}
	}
	s.freeCentral(b, off)
	return place{}, freed
}

// hasRunAt reports whether the kind of the unit at offset off is a run's. With the race
// detector, s.mu is held.
func (s *Shared) hasRunAt(off uintptr) bool {
	return off-s.first < s.reach.Load() && s.kind(off>>unitShift) >= kindRun
}

// badSlot is the fault for b, which starts at no live slot. p is where it
// points.
func (s *Shared) badSlot(op string, b []byte, p place) *alloc.Fault {
	s.lock()
	defer s.unlock()
	defer s.h.catch(op, b, nil)
	if s.h.refused() {
		return s.h.badBlock(op, b, s.h.state())
	}
	return s.classifySlot(op, b, p)
}

// classifySlot is badSlot with s.mu held.
func (s *Shared) classifySlot(op string, b []byte, p place) *alloc.Fault {
	f := s.h.classify(op, b, uint64(addrOf(b)-uintptr(s.base)))
	if p.base && p.bit != 0 {
		f.Err = alloc.ErrDoubleFree // also when it is somebody's again by now
	}
	return f
}

// liveSlots returns the slots of the run of class ci that somebody owns.
func (s *Shared) liveSlots(run, ci uint64) uint64 {
	p := place{c: &s.classes[ci%maxClasses], run: uintptr(run)}
	w, _ := s.word(p.run)
	if !p.c.isRun(w) {
		return 0
	}
	live := w & p.c.valid
	if w&heldBit != 0 {
		lent, _ := s.lent(p.c, p.run)
		live &^= lent
	}
	return live
}

// find returns the place of b if it is a live slot. ok is false if b is a span,
// or nothing.
func (s *Shared) find(b []byte) (p place, ok bool) {
	for {
		p, v := s.look(b)
		switch {
		case v == freed:
			return p, true
		case v == notLive || s.isLent(p):
			return place{}, false
		}
	}
}

// look returns what release would, of which freed means that b is a live slot.
func (s *Shared) look(b []byte) (place, verdict) {
	if raceEnabled {
		s.lock()
		defer s.unlock()
	}
	p, ok := s.placeAt(addrOf(b) - uintptr(s.base))
	if !ok || !p.base {
		return p, notLive
	}
	w, _ := s.word(p.run)
	switch {
	case !p.c.isRun(w) || w&p.bit == 0:
		return p, notLive
	case w&heldBit != 0:
		if lent, _ := s.lent(p.c, p.run); lent&p.bit != 0 {
			return p, inHand
		}
	}
	return p, freed
}

// usable returns the bytes of the live block b.
func (s *Shared) usable(b []byte) int {
	if p, ok := s.find(b); ok {
		return int(p.c.size)
	}
	return s.spanUsable("usable", b)
}

// spanUsable returns the bytes of b, which is a live span or no live block.
func (s *Shared) spanUsable(op string, b []byte) int {
	s.lock()
	defer s.unlock()
	if s.serial {
		return s.h.Usable(b)
	}
	defer s.h.catch(op, b, nil)
	if !s.h.refused() {
		if p, ok := s.placeAt(addrOf(b) - uintptr(s.base)); ok {
			panic(s.classifySlot(op, b, p))
		}
	}
	return s.h.usable(s.h.locate(op, b))
}

// Usable returns the bytes that block b occupies, as [Heap.Usable] does.
func (s *Shared) Usable(b []byte) int { return s.usable(b) }
