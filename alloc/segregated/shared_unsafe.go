package segregated

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/memlab-go/memlab/arena"
)

// This file is the small-size path of Shared: one compare-and-swap for a Malloc
// and one for a Free, correct from any goroutine and without a lock.

// sharedFast is what the small path reads. It changes rarely, so that all
// cores keep it in their caches.
type sharedFast struct {
	base    unsafe.Pointer // of the region
	kindTab unsafe.Pointer // of the kinds
	unitTab unsafe.Pointer // of the units
	first   uintptr        // bytes from base to the data
	reach   atomic.Uintptr // bytes of data whose kinds and rows may be read; 0: every call takes the slow path
	maxSize uintptr        // largest size that has a class
	seats   [numSeats]atomic.Pointer[shard]
	classOf [128]uint8 // by size in granules
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
// the largest class, which take a lock.
func (s *Shared) Malloc(size int) ([]byte, error) {
	if uintptr(size) <= s.maxSize {
		ci := uintptr(s.classOf[uintptr(size+granule-1)/granule%128]) % maxClasses
		at := &s.seats[seat()].Load().cur[ci]
		if cur := at.Load(); cur&curMask != 0 && at.CompareAndSwap(cur, cur&(cur-1)) {
			return s.take(cur, s.classes[ci].size, size), nil
		}
	}
	return s.mallocSlow(size)
}

// Free takes b back, as [Heap.Free] does and with the same panics, whichever
// goroutine allocated it. Of several calls for one block at the same time
// exactly one succeeds.
func (s *Shared) Free(b []byte) {
	// SAFETY: the address is compared first and used as an index only.
	off := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(s.base)
	if off-s.first < s.reach.Load() && !raceEnabled {
		k := s.kind(off >> unitShift)
		c := &s.classes[k>>8%maxClasses]
		run := off>>unitShift - k&runIndex
		x := uint64(off-run<<unitShift) * c.recip
		bit := c.valid & (1 << (x >> 32 % 64))
		w, row := s.word(run)
		if w&bit != 0 && w>>classShift == c.tag && uint32(x) < uint32(c.recip) {
			n := freeOne(w, bit)
			if n&countMask == 0 {
				s.freeSlow(b)
				return
			}
			if w&heldBit != 0 {
				// The shard's own run: are the slots at hand others?
				cur := s.seats[seat()].Load().cur[k>>8%maxClasses].Load()
				lent := cur & curMask << (cur & curWindow >> 32 * windowShift)
				if cur>>(curShift-1) == uint64(run)<<1 && lent&bit == 0 && atomic.CompareAndSwapUint64(row, w, n) {
					runtime.KeepAlive(s)
					return
				}
			} else if atomic.CompareAndSwapUint64(row, w, n) {
				if isFull(w) || c.isEmpty(n) {
					s.settle(c, run)
				}
				runtime.KeepAlive(s)
				return
			}
		}
	}
	s.freeSlow(b)
}

// kind returns the kind of unit u, one of those that reach covers. It may be
// read while another goroutine writes it: then nobody owns a block there, and
// the word of the run decides.
func (s *Shared) kind(u uintptr) uintptr {
	// SAFETY: the table is committed as far as reach goes.
	return uintptr(*(*uint16)(unsafe.Add(s.kindTab, u*kindSize)))
}

// word returns the word of the run at unit run, and where it is.
func (s *Shared) word(run uintptr) (w uint64, row *uint64) {
	// SAFETY: the rows are committed as far as reach goes, and row 0, for no run, is.
	row = (*uint64)(unsafe.Add(s.unitTab, run*unitRow))
	return atomic.LoadUint64(row), row
}

// bound returns the second word of the run at unit run.
func (s *Shared) bound(run uintptr) *uint64 {
	// SAFETY: as in word.
	return (*uint64)(unsafe.Add(s.unitTab, run*unitRow+unitRow/2))
}

// setBases derives the base pointers from the central heap's view.
func (s *Shared) setBases() {
	v := &s.h.view
	// SAFETY: the bases of slices that the region keeps until the heap is unreachable.
	s.base = unsafe.Pointer(unsafe.SliceData(v.mem))
	s.kindTab = unsafe.Pointer(unsafe.SliceData(v.kinds))
	s.unitTab = unsafe.Pointer(unsafe.SliceData(v.units))
	s.first = uintptr(v.hdr.first) << granuleShift
}

// take returns the view of size bytes of the first slot in cur, which is ours
// since cur was swapped for one without it.
func (s *Shared) take(cur uint64, slotSize uintptr, size int) []byte {
	i := uintptr(bits.TrailingZeros64(cur)) + uintptr(cur&curWindow>>32*windowShift)
	// SAFETY: the slot lies in a run of the region.
	return unsafe.Slice((*byte)(unsafe.Add(s.base, uintptr(cur>>curShift)<<unitShift+i*slotSize)), size)
}

// slotAt returns the view of size bytes at offset off, in a run.
func (s *Shared) slotAt(off uintptr, size int) []byte {
	// SAFETY: the slot is the caller's.
	return unsafe.Slice((*byte)(unsafe.Add(s.base, off)), size)
}

// closeLater closes the region of a closed heap when nobody holds the heap any
// more: a call that began before Close may still look at a row.
func (s *Shared) closeLater() {
	runtime.AddCleanup(s, func(r *arena.Region) { _ = r.Close() }, s.h.region)
}

// A class is a cache line.
const _ = uint(64 - unsafe.Sizeof(sharedClass{}))
