package segregated

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// A hand is one of the two that a handle has of each class: a run, and which of its
// slots it may hand out, all marked as used in the run's word. Only the handle's goroutine
// changes avail; others read it when they free a block of that run.
type hand struct {
	_        [0]atomic.Uint64 // aligns the words on 32 bits
	avail    uint64           // slots that may be handed out
	slots    unsafe.Pointer   // the run's first slot
	start    uintptr          // its address
	inverse  uint64           // of the class, see slotAfter
	unbiased uint64           // all bits but those of biased slots, of which there are some if the mode is handBiased
	run      uintptr          // first unit, 0 if there is none; changed under the owner's mutex
	mode     uint32           // of the following
	missed   uint32           // what done was when Malloc found no slot here, see outgrown
	size     uint16           // bytes of a slot
	count    uint8            // slots of the run, 0 if there is none
	rot      uint8            // of the class
}

// What the goroutine may do with a hand. Only the hands of a claim are shut while their
// goroutine is at work; see shared_claim.go.
const (
	handShut   = iota
	handOpen   // take slots
	handBiased // and free those that are biased by plain writes, see bias.go
)

// hands are those of all classes; the first one, of no class, stays empty. They are
// found by size in granules: those that Malloc takes slots of, and the others, into
// which Free puts them as well. When the slots are used up the two change places,
// unless outgrown says that they need not yet.
type hands struct {
	_          [0]atomic.Uint64 // aligns the words on 32 bits
	turn       uint64           // 1 while its goroutine frees a slot by plain writes, or takes one of a claim, or is at its stock
	done       uint64           // slots that it has freed so
	s          *Shared
	o          *shard           // the owner of the runs in them
	place      uintptr          // see claim; 0 when nobody may come in
	pause      atomic.Int32     // refills until slots may be biased again
	closed     bool             // the handle is
	claimed    bool             // they are a claim's
	_          [10]byte         // up to here a cache line, with what the runtime puts in front
	now, other [handIndex]*hand // by size in granules
	of         [maxClasses][2]hand
	runs       [maxClasses][2]atomic.Uintptr // in them: others look here, and leave a hand that is at work alone
	_          [64]byte
	fences     atomic.Uint64 // how often its goroutine was seen between two frees: see passesFence
	_          [56]byte
	stock      stock
}

// handIndex is how many sizes in granules are told apart: a power of two, so that Free
// need not ask whether a block's capacity is too large. Whatever hand it looks in, the
// address decides.
const handIndex = 2 * MaxClass / granule

// setHands makes the hands those that are found, for slots of s, of runs that o owns.
func (hs *hands) setHands(s *Shared, o *shard) {
	hs.s, hs.o = s, o
	hs.shut()
	for g, ci := range s.classOf {
		pair := &hs.of[ci%maxClasses]
		hs.now[g], hs.other[g] = &pair[0], &pair[1]
	}
}

// shut lets nobody take slots of the hands, or free any by plain writes, or use the stock. If another
// goroutine may be at that, retract has to come before.
func (hs *hands) shut() {
	hs.stock.setOpen(0)
	for hd := range hs.all() {
		hd.setMode(handShut)
	}
}

// swap exchanges the hands of class c.
func (hs *hands) swap(c *sharedClass) {
	for g := int(c.size / granule); g >= 0 && uintptr(hs.s.classOf[g]) == c.index; g-- {
		hs.now[g], hs.other[g] = hs.other[g], hs.now[g]
	}
}

// sparedSlots is how many of the other run's slots are used before the goroutine leaves the
// one that it has: until then it takes them one at a time, if it frees slots meanwhile.
const sparedSlots = 8

// outgrown reports whether hd, which has no slot, and other are to change places. If the
// blocks of a class come and go, and now and then are one or two more than a run has
// slots, they had better stay where a Free finds them first.
func (hs *hands) outgrown(hd, other *hand) bool {
	done := uint32(hs.done)
	grows := done == hd.missed
	hd.missed = done
	return grows || bits.OnesCount64(other.lent())+sparedSlots <= int(other.count)
}

// plainStores says that a word of 64 bits is written as one, so that whoever
// reads it meanwhile sees the old or the new value.
const plainStores = !raceEnabled && bits.UintSize == 64

// setMask is how the handle's goroutine changes a mask. A plain store is enough:
// whoever was given a block by that goroutine sees the store that handed it out.
func setMask(p *uint64, w uint64) {
	if plainStores {
		*p = w
		return
	}
	atomic.StoreUint64(p, w)
}

// stop leaves the hand without slots.
func (hd *hand) stop() {
	hd.setMode(handShut)
	hd.setAvailNow(0)
}

// setMode sets what the goroutine may do, which it asks after it has begun its turn; no
// slot is biased then.
func (hd *hand) setMode(mode uint32) {
	atomic.StoreUint64(&hd.unbiased, ^uint64(0))
	atomic.StoreUint32(&hd.mode, mode)
}

// bias lets the goroutine free these slots by plain writes, too.
func (hd *hand) bias(slots uint64) {
	atomic.StoreUint64(&hd.unbiased, hd.unbiased&^slots)
	atomic.StoreUint32(&hd.mode, handBiased)
}

func (hd *hand) isBiased() bool { return atomic.LoadUint32(&hd.mode) == handBiased }

// biased returns the slots that the goroutine frees by plain writes, from any goroutine.
func (hd *hand) biased() uint64 { return slotMask &^ atomic.LoadUint64(&hd.unbiased) }

// slotOf returns the slot that begins at the address; no other address gives a number
// below count.
func (hd *hand) slotOf(addr uintptr) uint64 { return slotAfter(addr-hd.start, hd.inverse, hd.rot) }

// setAvailNow sets avail for all to see.
func (hd *hand) setAvailNow(a uint64) { atomic.StoreUint64(&hd.avail, a) }

// lent returns the slots at hand, from any goroutine.
func (hd *hand) lent() uint64 { return atomic.LoadUint64(&hd.avail) }

// lent returns the slots of a run of class ci that are at hand, and those that are biased,
// from any goroutine. Once the run is in no hand its word has changed, too.
func (hs *hands) lent(ci, run uintptr) (lent, biased uint64) {
	if hd := hs.holding(ci, run); hd != nil {
		biased = hd.biased()
		return hd.lent(), biased
	}
	return 0, 0
}

// holding returns the hand that has the run of class ci, nil if there is none.
func (hs *hands) holding(ci, run uintptr) *hand {
	runs := &hs.runs[ci%maxClasses]
	switch run {
	case runs[0].Load():
		return &hs.of[ci%maxClasses][0]
	case runs[1].Load():
		return &hs.of[ci%maxClasses][1]
	}
	return nil
}

// setRun says that hd has the run of class c at hand.
func (hs *hands) setRun(c *sharedClass, hd *hand, run uintptr) {
	i := 0
	if hd == &hs.of[c.index][1] {
		i = 1
	}
	hs.runs[c.index][i].Store(run)
	hd.run = run
}

// Malloc is [Shared.Malloc] for the goroutine that uses the handle: mostly it
// takes a slot that nobody else can have, with no atomic operation at all.
//
//go:nosplit
func (h *Handle) Malloc(size int) ([]byte, error) {
	if uint(size) <= MaxClass {
		hd := h.now[(uint(size)+granule-1)/granule]
		if a := atomic.LoadUint64(&hd.avail); a != 0 {
			setMask(&hd.avail, a&(a-1))
			// SAFETY: the slot is free, lent to this handle, and holds size bytes.
			return bytesAt(unsafe.Add(hd.slots, uintptr(bits.TrailingZeros64(a))*uintptr(hd.size)), size), nil
		}
		return h.mallocSlow(size)
	}
	return h.mallocBig(size)
}

// Free is [Shared.Free]: b may come from any handle of the heap, or from the
// heap itself.
//
// A block of a run that the handle itself has at hand is freed without an
// atomic operation if its slot is biased; see bias.go. The capacity of b says
// where the run may be at hand, its address whether it is.
//
// [Shared.Free] has the same steps for claims. They are written out in both: a
// call costs what they spare, and there must be none between the two changes of turn.
//
//go:nosplit
func (h *Handle) Free(b []byte) {
	if cap(b) > MaxClass {
		h.freeLarge(b, nil)
		return
	}
	if canBias {
		h.turn = 1
		hd := h.now[(uint(cap(b))+granule-1)/granule%handIndex]
		// SAFETY: the address is compared and used as an index only.
		slot := hd.slotOf(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
		if slot < maxRunSlots {
			if a := hd.avail; (a|atomic.LoadUint64(&hd.unbiased))>>slot&1 == 0 {
				hd.avail = a | 1<<slot
				h.done++
				h.turn = 0
				return
			}
		}
		h.turn = 0
		if slot < uint64(hd.count) {
			h.freeOwn(b, nil, hd, slot)
			return
		}
		if hd.count != 0 {
			h.freeOther(b, nil)
			return
		}
	}
	h.freeFar(b, nil)
}

// freeOther is Free for what is not in the hand that Malloc takes slots of, but may be in the
// other one of its class. A variable of the caller's is here, nil for a handle.
func (hs *hands) freeOther(b []byte, here *byte) {
	hd := hs.other[(uint(cap(b))+granule-1)/granule%handIndex]
	// SAFETY: the address is compared and used as an index only.
	slot := hd.slotOf(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	switch {
	case slot >= uint64(hd.count):
		hs.freeFar(b, here)
	case !hs.freeBiased(hd, slot, here):
		hs.freeOwn(b, here, hd, slot)
	}
}

// freeOwn is Free for a slot of the run in hd that was not freed by a plain write: mostly
// because it is not biased, and then by a compare-and-swap of the run's word, since only the
// caller can take slots of it. Others may just be taking the hands of a claim away: then
// the word has changed since it was read, or the run is not at hand any more. A variable of
// the caller's is here, nil for a handle.
func (hs *hands) freeOwn(b []byte, here *byte, hd *hand, slot uint64) {
	if s := hs.s; s.reach.Load() != 0 { // else the rows may be gone
		run := atomic.LoadUintptr(&hd.run)
		w, row := s.word(run)
		if w>>(slot%64)&1 != 0 && w&(heldBit|biasBit) == heldBit && (hd.biased()|hd.lent())>>(slot%64)&1 == 0 && atomic.LoadUintptr(&hd.run) == run {
			n := freeOne(w, 1<<(slot%64))
			if atomic.CompareAndSwapUint64(row, w, n) {
				if n&countMask == 0 {
					s.countFrees()
				}
				if canBias && !hs.claimed && hd.lent()&^hd.biased() != 0 && hs.pause.Load() == 0 {
					hs.biasRest()
				}
				return
			}
		}
	}
	hs.freeFar(b, here)
}

// freeBiased frees a slot of the run in hd by plain writes if it is live and biased.
func (hs *hands) freeBiased(hd *hand, slot uint64, here *byte) bool {
	// SAFETY: addresses are compared only; nothing is called until the turn ends.
	if !canBias || atomic.LoadUintptr(&hs.place) != uintptr(unsafe.Pointer(here))>>stackShift {
		return false
	}
	hs.turn = 1
	ok := slot < maxRunSlots && (hd.avail|atomic.LoadUint64(&hd.unbiased))>>slot&1 == 0
	if ok {
		hd.avail |= 1 << slot
		hs.done++
	}
	hs.turn = 0
	return ok
}

// frees returns how many blocks were freed by plain writes.
func (hs *hands) frees() uint64 { return atomic.LoadUint64(&hs.done) }

// hold makes the run at unit run the one that hd takes slots from.
func (s *Shared) hold(hs *hands, hd *hand, c *sharedClass, run uintptr) {
	hs.setRun(c, hd, run)
	hd.size, hd.inverse, hd.rot, hd.count = uint16(c.size), c.inverse, c.rot, uint8(c.slots)
	// SAFETY: the run lies in the region.
	hd.slots = unsafe.Add(s.base, run<<unitShift)
	hd.start = uintptr(hd.slots)
}

const (
	_ = uint(64 - unsafe.Sizeof(hand{}))
	_ = uint(1<<16 - 1 - MaxClass)
)
