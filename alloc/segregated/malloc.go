package segregated

import (
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
)

// mallocSlow is Malloc for a size that has a class when that has no slot at hand, and when
// every call has to come here. Mostly Free has returned some meanwhile, else another run has
// room.
func (h *Heap) mallocSlow(size int) ([]byte, error) {
	if h.overdue() && !h.hooked {
		h.endRow()
		h.tick() // those who take slots alone do not come to it otherwise
	}
	if size <= tinySize && h.tiny.class != 0 && !h.hooked {
		if b, ok, err := h.mallocTiny(size); ok || err != nil {
			return b, err
		}
	}
	if ci := h.classFor(size); ci != 0 && !h.hooked {
		if c := &h.classes[ci]; c.cur != 0 {
			if c.refresh(); c.avail != 0 || h.takeOther(ci) {
				return h.takeSlot(c, size), nil
			}
		} else if h.endRow(); h.isSeldom(ci) {
			return h.mallocSmall(size, spanFor(size))
		}
		if !h.asSpan(ci) {
			return h.mallocRun(size, ci)
		}
	}
	return h.mallocQuick(size)
}

// classFor returns the class for size bytes, which is not too large, or 0; not the tiny one.
func (h *Heap) classFor(size int) uintptr {
	return uintptr(h.classOf[(uint(size)+granule-1)/granule]) % maxClasses
}

// mallocSmall is mallocQuick for a size that has a class, of n granules, when Free takes no notes:
// all spans in its bucket are large enough.
func (h *Heap) mallocSmall(size int, n uint64) ([]byte, error) {
	if h.mallocs+h.frees >= h.sweepAt {
		return h.mallocFar(size)
	}
	b := h.quick.at(int(n))
	if k := b.n - 1; k < quickSlots {
		e := *b.entry(k)
		h.quick.take(b, k, e)
		h.mallocs++
		h.demands(e.size(), 1)
		return h.reuse(e.start(), size), nil
	}
	return h.mallocOther(size, n)
}

// mallocQuick is Malloc for a span of up to exactBins granules, and for any when a row of
// notes has just ended: from the bucket where listOf says, if its newest span does.
func (h *Heap) mallocQuick(size int) ([]byte, error) {
	if h.wideSizes == 0 || uintptr(size) >= wideLeast+wideCount || h.mallocs+h.frees >= h.sweepAt {
		return h.mallocFar(size)
	}
	n := spanFor(size)
	i := h.quick.listOf(n)
	if e, ok := h.quick.takeNewest(h.quick.at(i), n); ok {
		h.mallocs++
		h.demands(e.size(), 1)
		return h.reuse(e.start(), size), nil
	}
	return h.mallocOther(size, n)
}

// mallocOther is Malloc for n granules, if the newest span of the bucket where that or
// mallocQuick looked does not do: from one of the next buckets, in a heap that is still, since
// of random sizes the others in its own are too small as often as not; else from its own; else
// from the best-fit space.
func (h *Heap) mallocOther(size int, n uint64) ([]byte, error) {
	e, q := quickEntry(0), &h.quick
	i := q.listOf(n)
	if b := q.at(i); b.n == 0 && b.more == 0 && q.share != quickStill {
		q.misses++
		return h.mallocFit(size, n, i)
	}
	q.heal(i)
	if q.share == quickStill {
		e = q.takeNear(i+1-int(q.calm), n) // all in bucket i of a calm heap are large enough
		if e != 0 && binOf(e.size()) != i {
			q.strayed++
		}
	}
	if e == 0 {
		if e = q.takeOwn(q.at(binOf(n)), n); e == 0 {
			q.misses++
			if i != binOf(n) {
				n, i = h.rounded(n, i)
			}
			return h.mallocFit(size, n, i)
		}
	}
	h.mallocs++
	h.demands(e.size(), 1)
	return h.reuse(e.start(), size), nil
}

// rounded returns what is cut for a request of n granules in a calm heap, and its bin: the
// least size of bucket i, if there is a free span of it.
func (h *Heap) rounded(n uint64, i int) (uint64, int) {
	if h.nextBin(i) == numBins {
		return n, binOf(n)
	}
	n, _ = sizesOf(i)
	return n, i
}

// mallocFar is Malloc for spans that are not looked for in the quick lists: too large ones,
// all when a sweep is due, and when every call has to come here.
func (h *Heap) mallocFar(size int) ([]byte, error) {
	if h.notes.end != 0 && !h.hooked { // that is why it comes here
		h.closeRow()
		return h.mallocQuick(size)
	}
	if h.hooked || uint64(size) >= h.end { // negative ones too
		return h.mallocRare(size)
	}
	if size < wideLeast && h.mallocs+h.frees < h.sweepAt {
		return h.mallocQuick(size) // in a heap of few classes
	}
	n := spanFor(size)
	return h.mallocFit(size, n, binOf(n))
}

// spanFor returns how many granules a span for size bytes has, which are not too many.
func spanFor(size int) uint64 { return max(minSpan, (uint64(size)+granule-1)>>granuleShift) }

// mallocFit is Malloc for n granules, fewer than the region has and whose bin is bin,
// from the best-fit space, as in allocSpan.
func (h *Heap) mallocFit(size int, n uint64, bin int) ([]byte, error) {
	h.takes()
	if s := h.hdr.binSet[uint(bin)/64] >> (uint(bin) & 63); s != 0 { // as in nextBin
		bin += bits.TrailingZeros64(s)
	} else {
		bin = h.nextWord(bin)
	}
	var g uint64
	switch {
	case bin >= numBins: // also of damaged bits
		g, n = h.allocTop(n)
	case bin < exactBins:
		g, n = h.allocExact(bin, n)
	default:
		g, n = h.allocFar(bin, n)
	}
	if g == 0 {
		return h.mallocRare(size)
	}
	h.demands(n, 1) // as countSpan
	h.mallocs++
	if h.mallocs+h.frees >= h.sweepAt {
		h.lookAround()
	}
	return h.at(g, size), nil
}

// mallocRun is mallocSlow for class ci, which is to have a run if there is one with room, or
// room for a new one.
func (h *Heap) mallocRun(size int, ci uintptr) ([]byte, error) {
	if ok, err := h.moreSlots(ci); err != nil {
		return nil, err
	} else if ok {
		b := h.takeSlot(&h.classes[ci%maxClasses], size)
		if h.committed > h.peak {
			h.economize() // now that the run is not empty
		}
		return b, nil
	}
	return h.mallocQuick(size)
}

// moreSlots is refill for a class that is to have runs.
func (h *Heap) moreSlots(ci uintptr) (ok bool, err error) {
	done := false
	defer func() {
		if !done {
			err = h.caught(recover())
		}
	}()
	ok = h.takeOther(ci) || h.err == nil && h.takeNew(ci)
	done = true
	return ok, nil
}

// countSpan counts a block that came from the best-fit space as a span of n granules.
func (h *Heap) countSpan(n uint64) {
	h.demands(n, 1)
	h.mallocs++
	if h.mallocs+h.frees >= h.sweepAt {
		h.lookAround()
	}
}

// mallocRare is mallocSlow for bad sizes, for heaps that report events, are
// closed or damaged, and for those that have run out of memory.
func (h *Heap) mallocRare(size int) (b []byte, err error) {
	defer h.catch("malloc", nil, &err)
	if h.chk != nil {
		return h.chk.malloc("malloc", size, 1, false)
	}
	off, err := h.malloc("malloc", size)
	if err != nil {
		return nil, err
	}
	h.handedOut(alloc.EventMalloc, off, size)
	return h.block(off, size), nil
}

// handedOut tells the tracer and the sink of a new block.
func (h *Heap) handedOut(k alloc.EventKind, off uint64, size int) {
	if h.trace != nil {
		h.trace.allocated(off, size)
	}
	if h.sink != nil {
		h.emitBlock(k, off, size)
	}
}

// malloc finds a block of size bytes and returns its offset.
func (h *Heap) malloc(op string, size int) (off uint64, err error) {
	if uint64(size) >= h.end { // negative ones too
		return 0, h.badSize(op, size)
	}
	if uint(size) <= MaxClass && !h.refused() {
		ci := h.classFor(size)
		if c := &h.classes[ci]; ci != 0 && (c.avail != 0 || h.refill(ci)) {
			off := uint64(addrOf(h.takeSlot(c, size)) - addrOf(h.mem))
			if h.hooked {
				c.avail = 0
			}
			return off, nil
		}
	}
	n := spanFor(size)
	return h.mallocSpan(op, size, n, anywhere())
}

// mallocSpan finds a block of n granules in the best-fit space, after giving
// pages back and dropping empty runs if need be.
func (h *Heap) mallocSpan(op string, size int, n uint64, a grid) (off uint64, err error) {
	if h.refused() {
		return 0, h.refusal(op)
	}
	h.endRow()
	g := h.spanOrPurge(n, a)
	if g == 0 {
		if h.err != nil {
			return 0, h.refusal(op)
		}
		return 0, h.noMemory(op, size)
	}
	return g << granuleShift, nil
}

// spanOrPurge is takeSpan that gives up what the heap keeps for speed if there is no room, and counts
// the block.
func (h *Heap) spanOrPurge(n uint64, a grid) uint64 {
	g := h.takeSpan(n, a)
	if g == 0 && h.err == nil && h.purge() {
		g = h.takeSpan(n, a)
	}
	if g != 0 {
		h.countSpan(h.spanSize(g)) // one from a quick list may be larger
	}
	return g
}

// takeSpan returns a used span of n granules placed on a, or 0.
func (h *Heap) takeSpan(n uint64, a grid) uint64 {
	if a.align == 1 {
		return h.quickOrFit(n)
	}
	g := h.reserveSpan(n, a, true)
	if g != 0 {
		h.markUsed(g, n)
	}
	return g
}

// quickOrFit returns a used span of n granules or a little more, or 0.
func (h *Heap) quickOrFit(n uint64) uint64 {
	if n <= quickMax {
		if e := h.takeQuick(n); e != 0 {
			return e.start()
		}
	}
	g, _ := h.allocSpan(n)
	return g
}

// Calloc returns a block of count*size bytes that are all zero, up to the
// usable size. Pages that were never touched are not cleared again, but for a heap in
// a file, which somebody may have written to. Errors:
// [alloc.ErrSize] for a negative factor or a product that overflows, else as
// [Heap.Malloc]. O(bytes cleared).
func (h *Heap) Calloc(count, size int) (b []byte, err error) {
	defer h.catch("calloc", nil, &err)
	total, err := alloc.CheckedSize(count, size)
	if err != nil {
		return nil, &alloc.Fault{Op: "calloc", Size: size, Err: err}
	}
	if h.chk != nil {
		return h.chk.malloc("calloc", total, 1, true)
	}
	dirty := h.dirtyEnd()
	h.restored = gap{}
	off, err := h.malloc("calloc", total)
	if err != nil {
		return nil, err
	}
	end, err := h.endOf("calloc", off, total)
	if err != nil {
		return nil, err
	}
	h.clearDirty(off, end, dirty)
	h.handedOut(alloc.EventCalloc, off, total)
	return h.block(off, total), nil
}

// endOf returns the offset behind the block at off, which was made for so many bytes just now. The error
// is that its size makes no sense, so that nobody knows what is to be cleared.
func (h *Heap) endOf(op string, off uint64, size int) (uint64, error) {
	end := off + uint64(h.usable(off))
	if end < off+uint64(size) {
		h.fail("the block at %#x, made for %d bytes, has %d", off, size, end-off)
		return 0, h.refusal(op)
	}
	return end, nil
}

// dirtyEnd returns the offset past which all committed pages are zero.
func (h *Heap) dirtyEnd() uint64 {
	switch {
	case h.refused():
		return 0
	case h.durable:
		return h.end
	}
	return h.safe.dirty << granuleShift
}

// clearDirty clears [off, end) but for what is known to be zero: what lies
// past dirty, and pages that were given back and have just been committed.
func (h *Heap) clearDirty(off, end, dirty uint64) {
	restored := h.restored
	if h.durable {
		restored = gap{}
	}
	for _, g := range dirtyParts(off, end, dirty, restored) {
		h.clear(g.lo, g.hi)
	}
}

// dirtyParts returns what of the bytes [off, end) is not known to be zero: not what lies
// past dirty, nor the pages restored.
func dirtyParts(off, end, dirty uint64, restored gap) (parts [2]gap) {
	lo, hi := restored.lo<<granuleShift, restored.hi<<granuleShift
	if lo < hi && lo < end && hi > off {
		if lo > off {
			parts[0] = gap{off, min(lo, end)}
		}
		off = min(hi, end)
	}
	if end = min(end, dirty); off < end {
		parts[1] = gap{off, end}
	}
	return parts
}

// clear clears [off, end).
func (h *Heap) clear(off, end uint64) {
	if h.sink != nil && off < end {
		h.access(alloc.EventWrite, off, int(end-off))
	}
	clear(h.mem[off:end])
}

// MallocAligned is [Heap.Malloc] with a base address that is a multiple of
// align. The error is [alloc.ErrAlign] if align is no power of two, or if no
// block of the region can have it.
func (h *Heap) MallocAligned(size, align int) (b []byte, err error) {
	defer h.catch("malloc", nil, &err)
	h.noteAlign(align)
	if h.chk != nil {
		return h.chk.malloc("malloc", size, align, false)
	}
	off, err := h.mallocAligned("malloc", size, align)
	if err != nil {
		return nil, err
	}
	h.handedOut(alloc.EventMalloc, off, size)
	return h.block(off, size), nil
}

// mallocAligned is malloc with an alignment in bytes.
func (h *Heap) mallocAligned(op string, size, align int) (off uint64, err error) {
	if align <= 0 || align&(align-1) != 0 {
		return 0, &alloc.Fault{Op: op, Size: size, Err: alloc.ErrAlign}
	}
	if align <= granule {
		return h.malloc(op, size)
	}
	if h.refused() {
		return 0, h.refusal(op)
	}
	a := grid{align: uint64(align) >> granuleShift}
	a.bias = h.baseGranule() & (a.align - 1)
	if a.up(h.first) >= h.endGranule() {
		return 0, &alloc.Fault{Op: op, Size: size, Err: alloc.ErrAlign}
	}
	if uint64(size) >= h.end {
		return 0, h.badSize(op, size)
	}
	n := spanFor(size)
	return h.mallocSpan(op, size, n, a)
}

// badSize is the error for a size that is negative or more than the region.
func (h *Heap) badSize(op string, size int) error {
	if h.refused() {
		return h.refusal(op)
	}
	if size < 0 {
		return &alloc.Fault{Op: op, Size: size, Err: alloc.ErrSize}
	}
	h.sysErr = nil
	return h.noMemory(op, size)
}

// noMemory is the error for a request that found no room.
func (h *Heap) noMemory(op string, size int) error {
	h.failed++
	if h.sink != nil {
		h.sink(alloc.Event{Kind: alloc.EventFailed, Size: size})
	}
	limit := int(h.limit)
	if limit == 0 {
		limit = h.region.Size()
	}
	return &alloc.NoMemoryError{
		Op: op, Requested: size, Limit: limit, LargestFree: h.largestFree(), Err: h.sysErr,
	}
}
