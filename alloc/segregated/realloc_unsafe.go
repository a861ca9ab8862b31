package segregated

import "unsafe"

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
	// start and size the row after its first one says.
	// SAFETY: the address is compared first and used as an index only.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if addr-h.data.addr < h.reach && addr%granule == 0 {
		g := uint64(addr-uintptr(h.base)) >> granuleShift
		u := g >> granuleBits
		k := *h.kind(u)
		if k >= kindRun && size > 0 {
			return h.reallocSlot(b, g, size)
		}
		if k == kindMarks && isMarked(*h.row(u), asUsed, g) {
			n := (uint64(size) + granule - 1) >> granuleShift
			if old := h.largeSize(g); old != 0 && old-n <= 4*(n/32) { // as in keptSlack, of large spans
				// SAFETY: the block is live and has old granules; with a negative size it
				// would have too many.
				return bytesAt(unsafe.Pointer(unsafe.SliceData(b)), size), nil
			}
		}
	}
	return h.reallocSlow(b, size)
}
