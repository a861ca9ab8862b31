package segregated

import (
	"math/bits"
	"unsafe"
)

// This file is the fast path: a Malloc and Free of a class that has a run with room touch a
// class, one word of metadata and nothing else; those of a span of more than 2 KiB that comes
// and goes touch a bucket of the quick lists and the span's row. It uses unsafe for what a
// benchmark shows: no bounds checks on rows and blocks. Malloc and Free leave it to the
// functions that they call to see whether the stack has room: they need some tens of bytes of
// it. Free has its three ways, of notes, slots and spans, in one function, though it is long:
// with that of notes in another, frees in no order took a third longer.

// smallState is what the fast path of slots reads; the rest of the Heap stays out of
// its cache lines. A class is one of them, as Go puts eight bytes before an object with
// pointers of this size.
type smallState struct {
	base      unsafe.Pointer // of the region
	kindTab   unsafe.Pointer // of h.kinds
	unitTab   unsafe.Pointer // of h.units
	data      dataTables
	near      uintptr // reach, or 0 while Free takes notes
	reach     uintptr // bytes of data that Free may look at without asking: to the top, or 0 when hooked, closed or corrupt
	mallocs   uint64
	frees     uint64
	maxSize   uintptr // largest size that has a class
	wideSizes uintptr // how many sizes from wideLeast on may be in the quick lists; 0 when hooked, and while Free takes notes
	notes     notes
	rounds    rounds                        // here as there is room
	_         [8]byte                       // so that a class is a cache line
	hooked    bool                          // every call takes the slow path
	hasSoon   bool                          // there may be used spans of soonGranules and more
	classOf   [MaxClass/granule + 1]uint8   // by size in granules; 0, which never has slots, if there is none; not the tiny class
	classAt   [MaxClass/tinySize + 1]uint16 // by size in words: bytes from classes to the class
	classes   [maxClasses]class
}

// dataTables are where the data begins, and its kinds and rows: those of what lies before
// it may not be looked at.
type dataTables struct {
	addr  uintptr        // of the first byte of data
	kinds unsafe.Pointer // of the first unit
	units unsafe.Pointer
	unit  uintptr // its number
}

// class is a size class: runs of up to 64 slots of one size.
//
// A run's live word has a bit for each slot. Malloc takes slots of the current
// run from avail, a copy of the free bits made when the copy before was used
// up, so that it does not wait for what Free has just written.
type class struct {
	avail uint64         // slots of the current run that Malloc may hand out
	live  *uint64        // the run's live word
	slots unsafe.Pointer // the run's first slot
	size  uintptr        // bytes of a slot
	recip uint64         // ceil(2^32 / size), see slotOf
	valid uint64         // bits of the slots that exist
	cur   uintptr        // first unit of the current run, 0 if none
	units uintptr        // units of a run
}

// Malloc returns a block of size bytes with unspecified contents.
// Blocks of 16 bytes and more are aligned to 16, all to at least 8.
// Malloc(0) is a unique, freeable block of no bytes. Errors: [alloc.ErrSize]
// for a negative size, [alloc.ErrNoMemory], [alloc.ErrClosed], and
// [alloc.ErrCorrupt] once damage was found. O(1) but for a bounded search.
//
//go:nosplit
func (h *Heap) Malloc(size int) ([]byte, error) {
	if uintptr(size) <= h.maxSize {
		// SAFETY: maxSize is MaxClass at most, so that classAt has the size, and what it
		// has is the place of a class.
		at := *(*uint16)(unsafe.Add(unsafe.Pointer(&h.classAt), (uintptr(size)+tinySize-1)/tinySize*2))
		c := (*class)(unsafe.Add(unsafe.Pointer(&h.classes), uintptr(at)))
		if c.avail != 0 {
			return h.takeSlot(c, size), nil
		}
		return h.mallocSlow(size)
	}
	if uintptr(size)-wideLeast < h.wideSizes && h.mallocs+h.frees < h.sweepAt {
		n, q := (uint64(size)+granule-1)>>granuleShift, &h.quick
		own := q.wideBin(n-q.calm) + int(q.calm) // as in listOf
		i := own
		if q.scattered {
			i = q.fromWide(i)
		}
		b := q.wide(i)
		if k := b.n - 1; k < quickSlots {
			if e := *b.newest(); e.size()-n <= n>>2 {
				if q.scattered {
					q.leaveWide(i, k, b.more)
					q.strayed += uint32(oneIf(i != own))
				}
				q.take(b, k, e)
				h.mallocs++
				return h.reuse(e.start(), size), nil
			}
		}
		return h.mallocOther(size, n)
	}
	return h.mallocFar(size)
}

// reuse marks the span at granule g, which was in a quick list, as used, and returns its
// first size bytes.
func (h *Heap) reuse(g uint64, size int) []byte {
	*h.rowOf(g) |= boundBit << (g & cellMask)
	return h.at(g, size)
}

// takeSlot takes the lowest slot that c has at hand and returns its first size
// bytes.
func (h *Heap) takeSlot(c *class, size int) []byte {
	i := bits.TrailingZeros64(c.avail)
	c.avail &^= 1 << (i & 63)
	*c.live |= 1 << (i & 63)
	h.mallocs++
	// SAFETY: slot i of the current run is ours, free, and holds size bytes.
	return bytesAt(unsafe.Add(c.slots, uintptr(i)*c.size), size)
}

// Free takes b back; any view of it is dead afterwards. Free(nil) does nothing.
//
// If b does not start at the base of a live block of h, Free panics with an
// [*alloc.Fault] before anything is changed: [alloc.ErrDoubleFree],
// [alloc.ErrInvalidFree], [alloc.ErrForeign]. Detection is exact as long as
// the address has not been handed out again. After Close it panics with
// [alloc.ErrClosed].
//
//go:nosplit
func (h *Heap) Free(b []byte) {
	// SAFETY: the address is compared first and used as an index only. Units count from
	// that of the first byte of data.
	off, kinds := uintptr(unsafe.Pointer(unsafe.SliceData(b)))-h.data.addr, h.data.kinds
	u := off >> unitShift
	if off >= h.near {
		if off >= h.reach {
			h.freeRare(b)
			return
		}
		// As below, for slots and spans alike. Class 0, that of spans, has slots of a granule,
		// so that the slot is the granule, and none of them are valid. The bit to clear is that
		// of the slot, and of a span the highest of its mark, all four bits of which are
		// compared. The remainder is that of slots.
		// SAFETY: as below; the table has room for notes.end, and there are fewer.
		k := uintptr(*(*uint16)(unsafe.Add(kinds, u*kindSize)))
		if h.hasSoon && k == kindMarks && h.isSoon(u) {
			h.freeRare(b)
			return
		}
		span, c, run := (uint64(k)-1)>>63, &h.classes[k>>8%maxClasses], u-k&runIndex
		x := uint64(off-run<<unitShift) * c.recip
		word := (*uint64)(unsafe.Add(h.data.units, run*unitRow))
		m, i, valid := *word, x>>32, c.valid
		slot := uint64(1) << ((i | placeMask&-span) % 64)
		bits, want := slot|(markMask&-span)<<(i&cellMask), slot|((asUsed|i&placeMask)&-span)<<(i&cellMask)
		if uint32(x) >= uint32(c.recip) || m&(valid|-span)&bits != want {
			h.freeTiny(b, off)
			return
		}
		left := m &^ slot
		*word = left
		h.frees++
		n, full := h.notes.n, oneIf(m == ^uint64(0))&^span
		*(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(h.notes.table)), uintptr(n)*8)) = (uint64(off) + span*isSpan) | full
		n += full | oneIf(left&valid == 0)
		h.notes.n = n
		if n >= h.notes.end {
			h.settleFree(b)
		}
		return
	}
	// SAFETY: u is below the top, so its kind and row exist, and so do 63 rows'
	// worth of bytes before any row, see tables.starts and tableEnds.
	k := uintptr(*(*uint16)(unsafe.Add(kinds, u*kindSize)))
	if k != kindMarks {
		c := &h.classes[k>>8%maxClasses]
		run := u - k&runIndex
		x := uint64(off-run<<unitShift) * c.recip
		// SAFETY: as above; where the unit is not a run, no slot is valid and the test fails.
		live := (*uint64)(unsafe.Add(h.data.units, run*unitRow))
		m, slot := *live, uint64(1)<<(x>>32%64)
		valid := c.valid // a row that is damaged, or no run's, may have any bits
		if uint32(x) >= uint32(c.recip) || m&valid&slot == 0 {
			h.freeTiny(b, off)
			return
		}
		*live = m &^ slot
		h.frees++
		if m == ^uint64(0) || m&^slot&valid == 0 {
			if run += h.data.unit; run != c.cur {
				h.freeEdge(b, run, m) // what is called here is called last: then b stays in registers
			}
		}
		return
	}

	// A span. If it is large, the row after its first says where it starts and how large it is, so
	// that of the mark only the state is compared, and it is put into a bucket that has room, as in
	// putQuick: it is counted and marked first, as then less is to be remembered; few buckets have no
	// room. Small ones, which only heaps of few classes have many of, and all else are left to freeSpanAt.
	// SAFETY: there are rows and kinds past those of the top.
	row, q := h.dataRow(off), &h.quick
	g, m := uint64(off>>granuleShift), *row
	tag := *(*uint64)(unsafe.Add(unsafe.Pointer(row), unitRow))
	// Where the tag and off differ, in the granule or below it, n gets one of the highest bits.
	n := bits.RotateLeft64(tag<<granuleShift^uint64(off%unitSize), -unitShift)
	if *(*uint16)(unsafe.Add(kinds, (u+1)*kindSize)) == kindLarge && n-tagMin < q.large && m>>(g&cellMask)&asUsed == asUsed &&
		n <= uint64(h.reach>>granuleShift)-g && q.total+n <= q.most && h.deferred.row < deferAfter {
		*row = m ^ boundBit<<(g&cellMask)
		h.frees++
		q.total += n
		i := q.wideBin(n)
		q.filled[wideWord] |= 1 << (i & 63) // of a full one, it is
		into := q.wide(i)
		if into.n < quickSlots {
			into.n++
			*into.newest() = newQuickEntry(h.first+g, n)
			return
		}
		h.freeFull(b, off)
		return
	}
	h.freeSpanAt(b, off)
}

// setClassAt derives classAt from classOf and the tiny class.
func (h *Heap) setClassAt() {
	for w := range h.classAt {
		ci := uintptr(h.classOf[(w*tinySize+granule-1)/granule])
		if w <= 1 && h.tiny.class != 0 {
			ci = uintptr(h.tiny.class)
		}
		// SAFETY: a number only.
		h.classAt[w] = uint16(ci * unsafe.Sizeof(h.classes[0]))
	}
}

// setBases derives the base pointers from the view and the first granule of the data, or
// clears them if the view is empty.
func (h *Heap) setBases() {
	// SAFETY: the bases of slices that h keeps as long as the pointers.
	h.base = unsafe.Pointer(unsafe.SliceData(h.mem))
	h.kindTab = unsafe.Pointer(unsafe.SliceData(h.kinds))
	h.unitTab = unsafe.Pointer(unsafe.SliceData(h.units))
	h.data = dataTables{}
	if len(h.mem) > 0 {
		u := h.first >> granuleBits
		// SAFETY: as above; the data begins with a unit.
		h.data = dataTables{
			addr:  addrOf(h.mem[h.first<<granuleShift:]),
			kinds: unsafe.Pointer(&h.kinds[u]),
			units: unsafe.Pointer(&h.units[u]),
			unit:  uintptr(u),
		}
	}
}

// setCurrent makes run, which is one, the current one of c.
func (h *Heap) setCurrent(c *class, run uintptr) {
	c.cur = run
	c.live = h.row(uint64(run))
	h.setSlots(c, run<<unitShift)
}

// setSlots makes the slots of c those from offset off on, where its current run lies.
func (h *Heap) setSlots(c *class, off uintptr) {
	// SAFETY: a byte of the region, as the run lies in it; it is used while that is current.
	c.slots = unsafe.Add(h.base, off)
}
