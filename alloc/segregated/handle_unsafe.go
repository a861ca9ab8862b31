package segregated

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// A hand is one of the two that a handle has of each class: a run, and which of its
// slots it may hand out, all marked as used in the run's word. Only the handle's goroutine
// changes avail; others read it when they free a block of that run.
type hand struct {
	_     [0]atomic.Uint64 // aligns the words on 32 bits
	avail uint64           // slots that may be handed out
	mine  uint64           // slots of the run while it is biased, see bias.go; and openBit
	turns uint64           // odd while the handle's goroutine frees a slot; half of it: how many it has
	slots unsafe.Pointer   // the run's first slot
	bytes uintptr          // of the run's slots, 0 if there is none
	size  uintptr          // bytes of a slot
	recip uint64           // of the class
	run   uintptr          // first unit, 0 if there is none; changed under the owner's mutex
}

// openBit is set in a hand's mine while slots may be handed out. Only the hands of
// a claim are shut while their goroutine is at work; see shared_claim.go.
const openBit = 1 << 63

// hands are those of all classes; the first one, of no class, stays empty.
type hands struct {
	of    [maxClasses][2]hand
	runs  [maxClasses][2]atomic.Uintptr // in them: others look here, and leave a hand that is at work alone
	pause atomic.Int32                  // refills until runs may be biased again
	bias  biasHistory
	by    *bySize // where the goroutine finds them
}

// bySize has the hands by size in granules: those that Malloc takes slots of, and
// the others, into which Free puts them as well. When the slots are used up the two
// change places.
type bySize struct {
	now, other [MaxClass/granule + 1]*hand
}

// setHands makes hs the hands that are found.
func (by *bySize) setHands(s *Shared, hs *hands) {
	hs.by = by
	for g := range by.now {
		pair := &hs.of[s.classOf[g]%maxClasses]
		by.now[g], by.other[g] = &pair[0], &pair[1]
	}
}

// swap exchanges the hands of class c.
func (by *bySize) swap(s *Shared, c *sharedClass) {
	for g := int(c.size / granule); g >= 0 && uintptr(s.classOf[g]) == c.index; g-- {
		by.now[g], by.other[g] = by.other[g], by.now[g]
	}
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
	atomic.StoreUint64(&hd.mine, 0)
	hd.setAvailNow(0)
}

// setAvailNow sets avail for all to see.
func (hd *hand) setAvailNow(a uint64) { atomic.StoreUint64(&hd.avail, a) }

// lent returns the slots at hand, from any goroutine.
func (hd *hand) lent() uint64 { return atomic.LoadUint64(&hd.avail) }

// lent returns the slots of a run of class ci that are at hand, from any goroutine.
// Once the run is in no hand its word has changed, too.
func (hs *hands) lent(ci, run uintptr) uint64 {
	if hd := hs.holding(ci, run); hd != nil {
		return hd.lent()
	}
	return 0
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

// handleFast is what the small path of a handle reads.
type handleFast struct {
	s     *Shared
	hands *hands
	low   uintptr // address of the data; out of reach once the handle is closed
	base  uintptr // address of the region
	bySize
}

// Malloc is [Shared.Malloc] for the goroutine that uses the handle: mostly it
// takes a slot that nobody else can have, with no atomic operation at all.
func (h *Handle) Malloc(size int) ([]byte, error) {
	if uint(size) <= MaxClass {
		hd := h.now[(uint(size)+granule-1)/granule]
		if a := atomic.LoadUint64(&hd.avail); a != 0 {
			setMask(&hd.avail, a&(a-1))
			// SAFETY: the slot is free, lent to this handle, and holds size bytes.
			p := unsafe.Add(hd.slots, uintptr(bits.TrailingZeros64(a))*hd.size)
			return unsafe.Slice((*byte)(p), size), nil
		}
	}
	return h.mallocSlow(size)
}

// Free is [Shared.Free]: b may come from any handle of the heap, or from the
// heap itself.
//
// A block of a run that the handle itself has at hand is freed without an
// atomic operation if the run is biased; see bias.go. The capacity of b says
// where it may be at hand, its address whether it is.
//
// [Shared.Free] has the same steps for claims. They are written out in both: a
// call costs what they spare, and there must be none between the two changes of turns.
func (h *Handle) Free(b []byte) {
	if uint(cap(b)) > MaxClass {
		h.freeWord(b)
		return
	}
	// SAFETY: the address is compared and used as an index only.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	g := (uint(cap(b)) + granule - 1) / granule
	hd := h.now[g]
	d := addr - uintptr(hd.slots)
	if d >= hd.bytes {
		hd = h.other[g]
		d = addr - uintptr(hd.slots)
		if d >= hd.bytes {
			h.freeWord(b)
			return
		}
	}
	recip := hd.recip
	x := uint64(d) * recip
	if uint32(x) >= uint32(recip) {
		h.freeWord(b)
		return
	}
	slot := x >> 32 % 64
	if canBias {
		t := hd.turns
		hd.turns = t + 1
		a := hd.avail
		if atomic.LoadUint64(&hd.mine)&^a>>slot&1 != 0 {
			hd.avail = a | 1<<slot
			hd.turns = t + 2
			return
		}
		hd.turns = t
	}
	h.freeOwn(b, hd, slot)
}

// freeOwn frees b, a slot of the run in hd, by a compare-and-swap of the run's word,
// if the run is not biased. No run in a hand is to be settled.
func (h *Handle) freeOwn(b []byte, hd *hand, slot uint64) {
	s, bit := h.s, uint64(1)<<slot
	w, row := s.word(hd.run)
	n := freeOne(w, bit)
	if w&bit == 0 || hd.lent()&bit != 0 || w&biasBit != 0 || s.reach.Load() == 0 || !atomic.CompareAndSwapUint64(row, w, n) {
		h.freeWord(b)
		return
	}
	if n&countMask == 0 {
		s.countFrees()
	}
}

// freeWord frees b by a compare-and-swap of its run's word if it is a block of a run,
// and no other owner has it at hand.
func (h *Handle) freeWord(b []byte) {
	// SAFETY: the address is compared and used as an index only.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if addr-h.low >= h.s.reach.Load() {
		h.freeSlow(b)
		return
	}
	s, off := h.s, addr-h.base
	k := s.kindNow(off >> unitShift)
	c, run := &s.classes[k>>8%maxClasses], off>>unitShift-k&runIndex
	if raceEnabled && h.hands.holding(k>>8, run) == nil {
		h.freeSlow(b) // the row may be a span's by now, and be written as such
		return
	}
	x := uint64(off-run<<unitShift) * c.recip
	bit := c.valid & (1 << (x >> 32 % 64))
	w, row := s.word(run)
	n := freeOne(w, bit)
	switch {
	case w&bit == 0 || w>>classShift != c.tag || uint32(x) >= uint32(c.recip):
	case w&heldBit != 0 && (w&biasBit != 0 || c.units == 1 || atomic.LoadUint64(s.shown(run))&bit != 0):
		if h.freeHeld(c, run, w, bit) {
			return
		}
	case atomic.CompareAndSwapUint64(row, w, n):
		if n&countMask == 0 || w&heldBit == 0 && (isFull(w) || c.isEmpty(n)) {
			s.freedEdge(c, run, w, n)
		}
		runtime.KeepAlive(s)
		return
	}
	h.freeSlow(b)
}

// freeHeld frees a slot of a run that is biased, or may have the slot at hand.
func (h *Handle) freeHeld(c *sharedClass, run uintptr, w, bit uint64) bool {
	if w&biasBit == 0 {
		return h.s.freeHeld(c, run, w, bit)
	}
	hd := h.hands.holding(c.index, run)
	return hd != nil && hd.freeBiased(bit)
}

// freeBiased does what Free does first, for a slot of the run in hd: Free looks in
// another hand when the caller has cut the block's capacity.
func (hd *hand) freeBiased(bit uint64) bool {
	t := hd.turns
	hd.turns = t + 1
	if atomic.LoadUint64(&hd.mine)&^hd.avail&bit == 0 {
		hd.turns = t
		return false
	}
	setMask(&hd.avail, hd.avail|bit)
	hd.turns = t + 2
	return true
}

// frees returns how many blocks were freed by plain writes.
func (hs *hands) frees() (n uint64) {
	for hd := range hs.all() {
		n += atomic.LoadUint64(&hd.turns) / 2
	}
	return n
}

// outOfReach is an address that no block has, nor any that lies a region's
// size above it.
const outOfReach = ^uintptr(0)>>1 + 1

// hold makes the run at unit run the one that hd takes slots from.
func (s *Shared) hold(hs *hands, hd *hand, c *sharedClass, run uintptr) {
	hs.setRun(c, hd, run)
	hd.size, hd.recip, hd.bytes = c.size, c.recip, uintptr(c.numSlots())*c.size
	// SAFETY: the run lies in the region.
	hd.slots = unsafe.Add(s.base, run<<unitShift)
}

const (
	_ = uint(64 - unsafe.Sizeof(hand{}))
)
