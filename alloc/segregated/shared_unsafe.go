package segregated

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// This file is the small-size path of Shared: plain writes for a goroutine that has
// a claim (shared_claim.go), else one compare-and-swap for a Malloc and one for a
// Free, correct from any goroutine and without a lock.

// sharedFast is what the small path reads. It changes rarely, so that all
// cores keep it in their caches.
type sharedFast struct {
	base    unsafe.Pointer           // of the region
	kindTab unsafe.Pointer           // of the kinds
	wordTab unsafe.Pointer           // of the words of runs, see shared_word.go
	first   uintptr                  // bytes from base to the data: kinds and words of what lies before may not be read
	reach   atomic.Uintptr           // bytes of data whose kinds and words may be read; 0: every call takes the slow path
	maxSize uintptr                  // largest size that has a class
	owners  atomic.Pointer[[]*shard] // shards, desks, and the ones of handles, by their number in a run's second word
	seats   [numSeats]atomic.Pointer[shard]
	claims  [numSeats]*claim              // by places; read and written as whole words, see claimAt
	classOf [2 * MaxClass / granule]uint8 // by size in granules
	classes [maxClasses]sharedClass
}

// numSeats is how many places goroutines are told apart by.
const (
	seatBits = 8
	numSeats = 1 << seatBits
)

// seat returns a number that is the same for the calls of one goroutine, mostly,
// and different for different ones, mostly: it is made of where its stack is.
// Nothing but speed depends on it.
func seat() uintptr {
	var here byte
	// SAFETY: the address is hashed and never turned back.
	page := uintptr(unsafe.Pointer(&here)) >> 12
	return uintptr(uint32(page)*2654435769) >> (32 - seatBits)
}

// Malloc returns a block of size bytes with unspecified contents, as
// [Heap.Malloc] does. Any goroutine may call it and any may free the block.
// It waits for nobody but for one call in some dozens, and but for sizes above
// the largest class, which take a lock if the goroutine has none in stock.
//
//go:nosplit
func (s *Shared) Malloc(size int) ([]byte, error) {
	var here byte
	if uint(size) <= MaxClass {
		g := (uint(size) + granule - 1) / granule
		if canClaim {
			// SAFETY: the address is a number that says whose claim it may be.
			place := uintptr(unsafe.Pointer(&here)) >> stackShift
			if k := s.claims[place%numSeats]; k.place == place {
				hd := k.now[g]
				n := uintptr(hd.size)
				k.turn = 1
				if a := hd.avail; atomic.LoadUint32(&hd.mode) != handShut && a != 0 {
					hd.avail = a & (a - 1)
					// SAFETY: the slot is free, lent to this claim, and holds size bytes.
					p := unsafe.Add(hd.slots, uintptr(bits.TrailingZeros64(a))*n)
					k.turn = 0
					return bytesAt(p, size), nil
				}
				k.turn = 0
				return s.mallocSlow("malloc", size, &here)
			}
		}
		ci := s.classOf[g] % maxClasses
		at := &s.seats[seat()].Load().cur[ci]
		if cur := at.Load(); cur&curMask != 0 && at.CompareAndSwap(cur, cur&(cur-1)) {
			return s.take(cur, s.classes[ci].size, size), nil
		}
	}
	return s.mallocSlow("malloc", size, &here)
}

// Free takes b back, as [Heap.Free] does and with the same panics, whichever
// goroutine allocated it. Of several calls for one block at the same time
// exactly one succeeds.
//
// A block of a run that the caller's claim has at hand is freed by a plain write if
// its slot is biased, see [Handle.Free], else by a compare-and-swap.
//
//go:nosplit
func (s *Shared) Free(b []byte) {
	var here byte
	if canClaim {
		// SAFETY: addresses are compared and used as an index only.
		place := uintptr(unsafe.Pointer(&here)) >> stackShift
		if k := s.claims[place%numSeats]; k.place == place {
			if cap(b) > MaxClass {
				k.freeLarge(b, &here)
				return
			}
			k.turn = 1
			hd := k.now[(uint(cap(b))+granule-1)/granule%handIndex]
			slot := hd.slotOf(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
			if slot < maxRunSlots {
				if a := hd.avail; (a|atomic.LoadUint64(&hd.unbiased))>>slot&1 == 0 {
					hd.avail = a | 1<<slot
					k.done++
					k.turn = 0
					return
				}
			}
			k.turn = 0
			if slot < uint64(hd.count) {
				k.freeOwn(b, &here, hd, slot)
				return
			}
			if hd.count != 0 {
				k.freeOther(b, &here)
				return
			}
			k.freeFar(b, &here)
			return
		}
	}
	s.nobody.freeFar(b, &here)
}

// freeFar is Free for whatever is not in the hand that hs, of the caller's handle or claim,
// takes slots of: mostly by a compare-and-swap of the run's word. A variable of the caller's
// is here, nil for a handle.
func (hs *hands) freeFar(b []byte, here *byte) {
	s := hs.s
	// SAFETY: the address is compared and used as an index only.
	off := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(s.base)
	if off-s.first >= s.reach.Load() || hs.closed {
		hs.freeRest(b)
		return
	}
	k := s.kindNow(off >> unitShift)
	if k < kindRun {
		hs.freeSpan(b, off, here)
		return
	}
	c, run := &s.classes[k>>8%maxClasses], off>>unitShift-k&runIndex
	if raceEnabled && hs.holding(k>>8, run) == nil {
		hs.freeSlow(b) // the row may be a span's by now, and be written as such
		return
	}
	slot := slotAfter(off-run<<unitShift, c.inverse, c.rot)
	w, row := s.word(run)
	if slot >= c.slots || w>>(slot%64)&1 == 0 || w>>classShift != c.tag {
		hs.freeSlow(b)
		return
	}
	lent := uint64(0) // slots that may be at hand
	if w&heldBit != 0 {
		lent = slotMask
		if w&biasBit == 0 && c.units > 1 {
			lent = atomic.LoadUint64(s.shown(run))
		}
	}
	if lent>>(slot%64)&1 != 0 {
		if !hs.freeHeld(c, run, w, slot%64, here) {
			hs.freeSlow(b)
		}
		return
	}
	n := freeOne(w, 1<<(slot%64))
	if !atomic.CompareAndSwapUint64(row, w, n) {
		hs.freeSlow(b)
		return
	}
	if n&countMask == 0 || c.isEdge(w, n) {
		s.freedEdge(c, run, w, n)
	}
}

// freeRest is Free for what is no slot, for slots that others are at, and for bad calls.
func (hs *hands) freeRest(b []byte) {
	if hs.closed && b != nil {
		panic(hs.s.h.badBlock("free", b, alloc.ErrClosed))
	}
	hs.freeSlow(b)
}

// freedEdge does what the Free that has changed the word of a run from w to n
// leaves over: to keep count, and to settle the run.
func (s *Shared) freedEdge(c *sharedClass, run uintptr, w, n uint64) {
	if n&countMask == 0 {
		s.countFrees()
	}
	if c.isEdge(w, n) {
		s.settle(c, run)
	}
}

// countFrees notes that the count in a run's word has begun again.
func (s *Shared) countFrees() { s.seats[seat()].Load().frees.Add(countWraps) }

// kind returns the kind of unit u, one of data that is in reach. It may be
// read while another goroutine writes it: then nobody owns a block there, and
// the word of the run decides.
func (s *Shared) kind(u uintptr) uintptr {
	// SAFETY: the table is committed for what is in reach.
	return uintptr(*(*uint16)(unsafe.Add(s.kindTab, u*kindSize)))
}

// kindNow is kind, but takes the lock in builds with the race detector, which does
// not know that it does not matter what a racing read of a bad block's kind sees.
func (s *Shared) kindNow(u uintptr) uintptr {
	if raceEnabled {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	return s.kind(u)
}

// word returns the word of the run at unit run, and where it is.
func (s *Shared) word(run uintptr) (w uint64, at *uint64) {
	// SAFETY: the words are committed for what is in reach, and those of unit 0, for no run, are;
	// for a bad kind see tables.starts.
	at = (*uint64)(unsafe.Add(s.wordTab, run*sharedRow))
	return atomic.LoadUint64(at), at
}

// bound returns the second word of the run at unit run.
func (s *Shared) bound(run uintptr) *uint64 {
	// SAFETY: as in word.
	return (*uint64)(unsafe.Add(s.wordTab, run*sharedRow+sharedRow/2))
}

// clearWords clears the words of the run of so many units at unit run, which is no run any more.
func (s *Shared) clearWords(run, units uintptr) {
	_, at := s.word(run)
	atomic.StoreUint64(at, 0)
	atomic.StoreUint64(s.bound(run), 0)
	if units > 1 {
		atomic.StoreUint64(s.shown(run), 0)
	}
}

// shown returns the word of the unit that follows the first of the run at unit run, which
// has more than one.
func (s *Shared) shown(run uintptr) *uint64 {
	// SAFETY: as in word; the unit is one of the run's.
	return (*uint64)(unsafe.Add(s.wordTab, (run+1)*sharedRow))
}

// setBases derives the base pointers from the central heap's view.
func (s *Shared) setBases() {
	v := &s.h.view
	// SAFETY: the bases of slices that the region keeps until the heap is unreachable.
	s.base = unsafe.Pointer(unsafe.SliceData(v.mem))
	s.kindTab = unsafe.Pointer(unsafe.SliceData(v.kinds))
	s.wordTab = unsafe.Add(s.base, s.h.tables().words)
	s.first = uintptr(s.h.first << granuleShift)
}

// take returns the view of size bytes of the first slot in cur, which is ours
// since cur was swapped for one without it.
func (s *Shared) take(cur uint64, slotSize uintptr, size int) []byte {
	i := uintptr(bits.TrailingZeros64(cur)) + uintptr(cur&curWindow>>32*windowShift)
	// SAFETY: the slot lies in a run of the region.
	return bytesAt(unsafe.Add(s.base, uintptr(cur>>curShift)<<unitShift+i*slotSize), size)
}

// bytesOf returns the view of size bytes at offset off, in a block that is the caller's.
func (s *Shared) bytesOf(off uintptr, size int) []byte {
	// SAFETY: the block lies in the region, and is nobody else's.
	return bytesAt(unsafe.Add(s.base, off), size)
}

// closeLater closes the region of a closed heap when nobody holds the heap any
// more: a call that began before Close may still look at a row.
func (s *Shared) closeLater() {
	runtime.AddCleanup(s, func(r *arena.Region) { _ = r.Close() }, s.h.region)
}

// A class is a cache line.
const _ = uint(64 - unsafe.Sizeof(sharedClass{}))
