package segregated

import (
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
)

// mallocSlow is Malloc when the class has no slot at hand, when the size has
// no class, and when every call has to come here.
func (h *Heap) mallocSlow(size int) ([]byte, error) {
	off, err := h.malloc("malloc", size, 1)
	if err != nil {
		return nil, err
	}
	if h.sink != nil {
		h.emit(alloc.Event{Kind: alloc.EventMalloc, Off: off, Size: size, Usable: h.usable(uint64(off))})
	}
	return h.block(uint64(off), size), nil
}

// malloc finds a block of size bytes at a multiple of align granules.
func (h *Heap) malloc(op string, size int, align uint64) (off arenaOffset, err error) {
	if size < 0 {
		return 0, sizeError(op, size)
	}
	if err := h.usableState(op); err != nil {
		return 0, err
	}
	if uint64(size) > h.hdr.end<<granuleShift {
		h.sysErr = nil
		return 0, h.noMemory(op, size)
	}
	n := max(1, (uint64(size)+granule-1)>>granuleShift)
	if align == 1 && uintptr(size) <= h.maxSize {
		if off := h.mallocClass(uintptr(h.classOf[n]), n); off != 0 {
			return off, nil
		}
	}
	g := h.allocSpan(n, align)
	if g == 0 {
		if g = h.retryAfterPurge(n, align); g == 0 {
			if h.err != nil {
				return 0, h.err
			}
			return 0, h.noMemory(op, size)
		}
	}
	h.tick()
	h.mallocs++
	return arenaOffset(g << granuleShift), nil
}

// mallocClass takes a slot of class ci, or returns 0 if the class has no run
// and is to have none yet.
func (h *Heap) mallocClass(ci uintptr, n uint64) arenaOffset {
	c := &h.classes[ci]
	if c.cur == 0 && h.hdr.partial[ci] == 0 {
		if h.demand[ci]++; h.demand[ci] < classHot {
			return 0
		}
	}
	if c.avail == 0 && !h.refill(ci) {
		return 0
	}
	a := c.avail
	c.avail = a & (a - 1)
	if h.hooked {
		c.avail = 0
	}
	*c.live |= a & -a
	h.mallocs++
	return arenaOffset(uint64(c.cur)<<unitShift + uint64(bits.TrailingZeros64(a))*uint64(c.size))
}

// Calloc returns a block of count*size bytes that are all zero, up to the
// usable size. Pages that were never touched, or have been given back since,
// are not cleared again. Errors: [alloc.ErrSize] for a negative factor or a
// product that overflows, else as [Heap.Malloc]. O(bytes cleared).
func (h *Heap) Calloc(count, size int) ([]byte, error) {
	hi, lo := bits.Mul64(uint64(count), uint64(size))
	if count < 0 || size < 0 || hi != 0 || lo > uint64(maxInt) {
		return nil, sizeError("calloc", min(count, size))
	}
	return h.calloc(int(lo))
}
