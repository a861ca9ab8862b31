package segregated

import (
	"math/bits"
	"unsafe"
)

// Realloc changes the size of b to size bytes and returns the block, which may
// have moved. The first min(old, size) bytes are kept, where old is the size
// of the block, whatever part of it b shows; later ones are unspecified.
//
// A slot stays where it is while the class fits; a larger block shrinks by
// giving its tail back and grows into the free block after it, or into the
// top; one of 2 KiB and more may take up to 1/32 more than it needs, unless
// Options.Limit is set, and keep 1/8.
// Otherwise Realloc allocates, copies and frees; the pages of blocks of 256 KiB
// and more change their address, where the system can, instead of being copied.
//
// On error b is untouched and still the caller's; errors are those of
// [Heap.Malloc]. Realloc(nil, n) is Malloc(n), Realloc(b, 0) frees b and
// returns nil, nil. Realloc panics as [Heap.Free] does if b is not a live
// block. O(size) when the block moves, else O(1).
//
//go:nosplit
func (h *Heap) Realloc(b []byte, size int) ([]byte, error) {
	// A slot, or the way of a buffer that is appended to, and has slack: a large span, whose
	// start and size the row after its first one says, as in Free.
	// SAFETY: the address is compared first and used as an index only; below the top the kind and
	// row of a unit exist, and those of the next.
	off, kinds := uintptr(unsafe.Pointer(unsafe.SliceData(b)))-h.data.addr, h.data.kinds
	if off < h.reach && size > 0 {
		u := off >> unitShift
		if k := *(*uint16)(unsafe.Add(kinds, u*kindSize)); k >= kindRun && off%granule == 0 {
			return h.reallocSlot(b, h.first+uint64(off>>granuleShift), size)
		}
		row := h.dataRow(off)
		g, tag := uint64(off>>granuleShift), *(*uint64)(unsafe.Add(unsafe.Pointer(row), unitRow))
		old, n := bits.RotateLeft64(tag<<granuleShift^uint64(off%unitSize), -unitShift), (uint64(size)+granule-1)>>granuleShift
		if *(*uint16)(unsafe.Add(kinds, (u+1)*kindSize)) == kindLarge && *row>>(g&cellMask)&asUsed == asUsed &&
			old >= tagMin && old <= uint64(h.reach>>granuleShift)-g && n >= exactBins && old-n <= 4*(n/32) { // as in keptSlack
			// SAFETY: the block is live and has old granules.
			return bytesAt(unsafe.Pointer(unsafe.SliceData(b)), size), nil
		}
	}
	return h.reallocSlow(b, size)
}
