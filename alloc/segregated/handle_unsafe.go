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
	mine  uintptr          // bytes while the run is biased, else 0; see bias.go
	slots unsafe.Pointer   // the run's first slot
	size  uintptr          // bytes of a slot
	recip uint64           // of the class
	bytes uintptr          // of the run's slots, 0 if there is none
	run   uintptr          // first unit, 0 if there is none; changed under the owner's mutex
	_     [8]byte
}

// hands are those of all classes; the first one, of no class, stays empty. They are
// found by size in granules: those that Malloc takes slots of, and the others, into
// which Free puts them as well. When the slots are used up the two change places.
type hands struct {
	_          [0]atomic.Uint64 // aligns the words on 32 bits
	turn       uint64           // 1 while the handle's goroutine frees a slot by plain writes
	done       uint64           // slots that it has freed so
	place      uintptr          // see claim; 0 when nobody may come in
	bias       biasHistory
	pause      atomic.Int32     // refills until runs may be biased again
	_          [12]byte         // up to here a cache line, with what the runtime puts in front
	now, other [handIndex]*hand // by size in granules
	of         [maxClasses][2]hand
	runs       [maxClasses][2]atomic.Uintptr // in them: others look here, and leave a hand that is at work alone
}

// handIndex is how many sizes in granules are told apart: a power of two, so that Free
// need not ask whether a block's capacity is too large. Whatever hand it looks in, the
// address decides.
const handIndex = 2 * MaxClass / granule

// open lets the hands be found.
func (hs *hands) open(s *Shared) {
	for g, ci := range s.classOf {
		pair := &hs.of[ci%maxClasses]
		hs.now[g], hs.other[g] = &pair[0], &pair[1]
	}
}

// shut lets nobody find a hand that has anything, or free by plain writes.
func (hs *hands) shut() {
	for hd := range hs.all() {
		hd.setMine(0)
	}
	none := unsafe.Pointer(&hs.of[0][0])
	for g := range hs.now {
		// SAFETY: a pointer to a hand is written as one.
		atomic.StorePointer((*unsafe.Pointer)(unsafe.Pointer(&hs.now[g])), none)
		// SAFETY: as above.
		atomic.StorePointer((*unsafe.Pointer)(unsafe.Pointer(&hs.other[g])), none)
	}
}

// swap exchanges the hands of class c.
func (hs *hands) swap(s *Shared, c *sharedClass) {
	for g := int(c.size / granule); g >= 0 && uintptr(s.classOf[g]) == c.index; g-- {
		hs.now[g], hs.other[g] = hs.other[g], hs.now[g]
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
	hd.setMine(0)
	hd.setAvailNow(0)
}

// setMine says how many bytes of slots the goroutine may free by plain writes.
func (hd *hand) setMine(n uintptr) { atomic.StoreUintptr(&hd.mine, n) }

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
	hands
	s    *Shared
	low  uintptr // address of the data; out of reach once the handle is closed
	base uintptr // address of the region
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
			return viewOf(unsafe.Add(hd.slots, uintptr(bits.TrailingZeros64(a))*hd.size), size), nil
		}
	}
	return h.mallocSlow(size)
}

// viewOf returns the view of the size bytes at p, at most MaxClass. Of an array that
// is sliced the compiler need not ask whether it wraps around.
func viewOf(p unsafe.Pointer, size int) []byte {
	if raceEnabled { // which has a region on the Go heap, and knows where that ends
		// SAFETY: the caller's.
		return unsafe.Slice((*byte)(p), size)
	}
	// SAFETY: no more than size bytes are ever read or written, and these are the caller's.
	return (*[MaxClass]byte)(p)[:size:size]
}

// Free is [Shared.Free]: b may come from any handle of the heap, or from the
// heap itself.
//
// A block of a run that the handle itself has at hand is freed without an
// atomic operation if the run is biased; see bias.go. The capacity of b says
// where it may be at hand, its address whether it is.
//
// [Shared.Free] has the same steps for claims. They are written out in both: a
// call costs what they spare, and there must be none between the two changes of turn.
//
//go:nosplit
func (h *Handle) Free(b []byte) {
	if canBias {
		h.turn = 1
		hd := h.now[(uint(cap(b))+granule-1)/granule%handIndex]
		// SAFETY: the address is compared and used as an index only.
		d := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(hd.slots)
		if d < atomic.LoadUintptr(&hd.mine) {
			recip := hd.recip
			x := uint64(d) * recip
			if uint32(x) < uint32(recip) {
				if a, slot := hd.avail, x>>32%64; a>>slot&1 == 0 {
					hd.avail = a | 1<<slot
					h.done++
					h.turn = 0
					return
				}
			}
		}
		h.turn = 0
	}
	h.freeFar(b)
}

// freeFar frees a block of the other run at hand, or of none.
func (h *Handle) freeFar(b []byte) {
	if !h.freeOther(b, nil) && !h.freeOwn(h.s, b) {
		h.freeWord(b)
	}
}

// freeOther does what Free does first, for the other run at hand; here is a variable
// of the caller's if the hands are a claim's.
//
//go:nosplit
func (hs *hands) freeOther(b []byte, here *byte) bool {
	// SAFETY: addresses are compared and used as an index only; nothing is called until
	// the turn ends.
	if !canBias || atomic.LoadUintptr(&hs.place) != uintptr(unsafe.Pointer(here))>>stackShift {
		return false
	}
	hs.turn = 1
	hd := hs.other[(uint(cap(b))+granule-1)/granule%handIndex]
	// SAFETY: as above.
	d := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(hd.slots)
	x := uint64(d) * hd.recip
	bit := uint64(1) << (x >> 32 % 64)
	ok := d < atomic.LoadUintptr(&hd.mine) && uint32(x) < uint32(hd.recip) && hd.avail&bit == 0
	if ok {
		hd.avail |= bit
		hs.done++
	}
	hs.turn = 0
	return ok
}

// freeBiased does the same for a slot of a biased run of class ci: Free looks in another
// hand when the caller has cut the block's capacity.
func (hs *hands) freeBiased(ci, run uintptr, bit uint64, here *byte) bool {
	hd := hs.holding(ci, run)
	// SAFETY: as in freeOther.
	if hd == nil || atomic.LoadUintptr(&hs.place) != uintptr(unsafe.Pointer(here))>>stackShift {
		return false
	}
	hs.turn = 1
	ok := atomic.LoadUintptr(&hd.mine) != 0 && hd.run == run && hd.avail&bit == 0
	if ok {
		setMask(&hd.avail, hd.avail|bit)
		hs.done++
	}
	hs.turn = 0
	return ok
}

// freeOwn frees b by a compare-and-swap of the run's word, if that run is at hand and
// not biased, and reports whether it did. No run in a hand is to be settled. Others may
// just be taking the hands of a claim away: then the word has changed since it was read,
// or the run is not at hand any more.
func (hs *hands) freeOwn(s *Shared, b []byte) bool {
	if canBias && hs.pause.Load() == 0 {
		return false // or it would be biased
	}
	// SAFETY: the address is compared and used as an index only.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	g := (uint(cap(b)) + granule - 1) / granule % handIndex
	hd := hs.now[g]
	d := addr - uintptr(hd.slots)
	if d >= hd.bytes {
		hd = hs.other[g]
		d = addr - uintptr(hd.slots)
		if d >= hd.bytes {
			return false
		}
	}
	x := uint64(d) * hd.recip
	run, bit := atomic.LoadUintptr(&hd.run), uint64(1)<<(x>>32%64)
	w, row := s.word(run)
	n := freeOne(w, bit)
	switch {
	case uint32(x) >= uint32(hd.recip) || w&bit == 0 || w&(heldBit|biasBit) != heldBit || hd.lent()&bit != 0:
		return false
	case atomic.LoadUintptr(&hd.run) != run || s.reach.Load() == 0 || !atomic.CompareAndSwapUint64(row, w, n):
		return false
	}
	if n&countMask == 0 {
		s.countFrees()
	}
	return true
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
	if raceEnabled && h.holding(k>>8, run) == nil {
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
	return h.freeBiased(c.index, run, bit, nil)
}

// frees returns how many blocks were freed by plain writes.
func (hs *hands) frees() uint64 { return atomic.LoadUint64(&hs.done) }

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
