package segregated

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// reallocSlow is Realloc for all but slots, and large blocks that stay as they are.
func (h *Heap) reallocSlow(b []byte, size int) ([]byte, error) {
	if b == nil {
		return h.Malloc(size)
	}
	if addrOf(b)-h.data.addr >= h.reach || size <= 0 {
		return h.realloc(b, size, 1)
	}
	off := uint64(addrOf(b) - uintptr(h.base))
	u := off >> unitShift
	if g := off >> granuleShift; off%granule == 0 && *h.kind(u) == kindMarks && isMarked(*h.row(u), asUsed, g) {
		return h.reallocSpan(b, g, size)
	}
	return h.realloc(b, size, 1)
}

// reallocSlot is Realloc for a block at granule g in a run, by Malloc and Free where it has
// to move.
func (h *Heap) reallocSlot(b []byte, g uint64, size int) ([]byte, error) {
	u, off := g>>granuleBits, g<<granuleShift
	k := uint64(*h.kind(u))
	c := &h.classes[k>>8%maxClasses]
	run := u - k&runIndex
	x := (off - run<<unitShift) * c.recip // as in Free
	if uint32(x) >= uint32(c.recip) || *h.row(run)&c.valid>>(x>>32%64)&1 == 0 {
		return h.realloc(b, size, 1)
	}
	if h.fits(k>>8, size) {
		return h.at(g, size), nil
	}
	to, err := h.Malloc(size) // as in reallocFar, without a call that passes eight words
	if err != nil {
		return nil, asRealloc(err, size)
	}
	copy(to, h.at(g, int(c.size)))
	if h.near == 0 || uint64(*h.kind(u)) != k { // Malloc may have dissolved the run
		h.Free(b)
	} else {
		h.freeSlot(b, c, run, 1<<(x>>32%64))
	}
	return to, nil
}

// freeSlot is Free for b, which has been found to be a live slot of the run of c, while Free takes
// no notes.
func (h *Heap) freeSlot(b []byte, c *class, run, slot uint64) {
	live := h.row(run)
	m := *live
	*live = m &^ slot
	h.frees++
	if (m == ^uint64(0) || m&^slot&c.valid == 0) && uintptr(run) != c.cur {
		h.freeEdge(b, uintptr(run), m)
	}
}

// fits reports whether a slot of class ci stays the place of a block that is to have
// size bytes, one at least: if it is not more than twice as large, or no class is smaller.
func (h *Heap) fits(ci uint64, size int) bool {
	n := h.classes[ci%maxClasses].size
	return uintptr(size) <= n && (uintptr(size) > n/2 || n == tinySize || uint64(h.classOf[(size+granule-1)/granule]) == ci)
}

// reallocSpan is Realloc for the used span at g.
func (h *Heap) reallocSpan(b []byte, g uint64, size int) ([]byte, error) {
	n, old := spanFor(size), h.spanSize(g)
	switch {
	case old == 0 || uint64(size) >= h.end:
		return h.realloc(b, size, 1)
	case n <= old && old-n <= keptSlack(n), h.mayFit(g+old, old, n) && (h.growTop(g, old, n) || h.resizeSpan(g, old, n)):
		if h.err == nil {
			return h.at(g, size), nil
		}
	case old < remapMin>>granuleShift && h.err == nil:
		want := size
		if n-old <= slack(n) && h.limit == 0 {
			want = int((n + slack(n)) << granuleShift) // it grows by little each time
		}
		to, err := h.reallocFar(b, h.at(g, int(old<<granuleShift)), want, size)
		if err == nil {
			return to, nil
		}
		if h.err == nil {
			h.failed-- // once more: without slack, or in place, as nothing is kept for speed now
		}
	}
	return h.realloc(b, size, 1)
}

// reallocFar is Realloc for the used span b, whose contents are old, by Malloc of want
// bytes and Free.
func (h *Heap) reallocFar(b, old []byte, want, size int) ([]byte, error) {
	to, err := h.Malloc(want)
	if err != nil {
		return nil, asRealloc(err, size)
	}
	copy(to, old)
	h.Free(b)
	return to[:size:size], nil
}

// asRealloc makes the error of a Malloc that of a Realloc to size bytes.
func asRealloc(err error, size int) error {
	if e, ok := err.(*alloc.NoMemoryError); ok {
		e.Op, e.Requested = "realloc", size
	}
	return err
}

// resizeSpan is fitSpan; of damage that it meets h.err tells.
func (h *Heap) resizeSpan(g, old, n uint64) bool {
	done := false
	defer func() {
		if !done {
			h.caught(recover())
		}
	}()
	ok := h.fitSpan(g, old, n)
	done = true
	return ok
}

// mayFit reports whether a used span that ends at granule end may go from old to n
// granules in place: not if it is to grow, and what lies behind it is used, or a run while
// none wait to be joined.
func (h *Heap) mayFit(end, old, n uint64) bool {
	if n <= old || end >= h.top {
		return true
	}
	u := end >> granuleBits
	if *h.kind(u) != kindMarks {
		return len(h.deferred.list) != 0 || h.notes.n != 0
	}
	return !isMarked(*h.row(u), asUsed, end)
}

// growTop grows the used span at g from old to n granules if it is a large one that ends
// at the top and grows into what is committed: the way of a buffer that is appended to.
func (h *Heap) growTop(g, old, n uint64) bool {
	end := h.safe.commit
	if g+old != h.top || n <= old || old < tagMin || g+n > end {
		return false
	}
	if h.limit == 0 {
		n = min(n+slack(n), end-g)
	}
	clearMark(h.rowOf(h.top), h.top)
	h.tag(g, n)
	h.setTop(g + n)
	return true
}

// ReallocAligned is [Heap.Realloc] with a base address that is a multiple of
// align afterwards, whether or not the block moves. The error is
// [alloc.ErrAlign] if align is no power of two, or if no block of the region can have it; others,
// and the time it takes, are those of Realloc.
func (h *Heap) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	if b == nil {
		return h.MallocAligned(size, align)
	}
	if align <= 0 || align&(align-1) != 0 {
		return nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrAlign}
	}
	h.noteAlign(align)
	return h.realloc(b, size, align)
}

func (h *Heap) realloc(b []byte, size, align int) (moved []byte, err error) {
	if h.refused() {
		return nil, h.refusal("realloc")
	}
	defer h.catch("realloc", b, &err)
	if h.chk != nil {
		return h.chk.realloc(b, size, align)
	}
	off := h.locate("realloc", b)
	if size <= 0 {
		if size < 0 {
			return nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrSize}
		}
		h.Free(b)
		return nil, nil
	}
	if h.usable(off) == 0 {
		h.fail("span %#x has no end", off)
		return nil, h.refusal("realloc")
	}
	aligned := addrOf(b)&uintptr(align-1) == 0
	if !aligned || !h.resize(off, size) {
		moved, err := h.move(off, size, align)
		if !isNoMemory(err) || !aligned || !h.resize(off, size) {
			return moved, err
		}
		h.failed-- // in place after all, as all that was kept has been given back
	}
	if h.trace != nil {
		h.trace.resized(off, off, size)
	}
	if h.sink != nil {
		h.emitRealloc(off, off, size)
	}
	return h.block(off, size), nil
}

// resize changes the live block at off in place, if it can.
func (h *Heap) resize(off uint64, size int) bool {
	if uint64(size) >= h.end {
		return false
	}
	u := off >> unitShift
	if k := h.kinds[u]; k >= kindRun {
		return h.fits(uint64(k>>8), size)
	}
	g, n := off>>granuleShift, spanFor(size)
	return h.fitSpan(g, h.spanSize(g), n)
}

// fitSpan changes the used span at g from old to n granules, or a little more, in
// place, if it can.
func (h *Heap) fitSpan(g, old, n uint64) bool {
	switch {
	case n <= old && old-n <= keptSlack(n):
		return true
	case n > old:
		ok := h.growSpan(g, old, n)
		if h.committed > h.peak {
			h.economize()
		}
		return ok
	}
	h.shrinkSpan(g, old, n)
	return true
}

// slack is by how much more than n granules a block takes when it grows: many grow
// again, by little each time.
func slack(n uint64) uint64 {
	if n < exactBins {
		return 0
	}
	return n / 32
}

// keptSlack is by how much a block may be larger than the n granules it has to be
// before Realloc cuts it: more than it takes, or one that changes by little, up and
// down, would be cut and grown in turn; as much as a calm heap gives it at most; and what would
// be no span.
func keptSlack(n uint64) uint64 { return max(4*slack(n), minSpan-1) }

// shrinkSpan cuts the used span at g from old to n granules.
func (h *Heap) shrinkSpan(g, old, n uint64) {
	if h.zeroOnFree {
		h.clear((g+n)<<granuleShift, (g+old)<<granuleShift)
	}
	h.retag(g, old, n)
	h.freeSpan(g+n, old-n)
	h.tick()
}

// growSpan grows the used span at g from old to n granules, into the top or
// the free span after it, also one in a quick list, if it has room.
func (h *Heap) growSpan(g, old, n uint64) bool {
	end, more := g+old, n-old
	if end == h.top {
		if more > h.endGranule()-end || !h.grow(end+more) {
			return false
		}
		clearMark(h.rowOf(end), end)
		h.retag(g, old, n)
		h.setTop(g + n)
		return true
	}
	h.coalesce()
	if !h.isFree(end) && !h.freeQuick(end) {
		return false
	}
	if end == h.top { // what was freed has gone there
		return h.growSpan(g, old, n)
	}
	size := h.spanSize(end)
	if size < more {
		return false
	}
	if extra := min(size-more, slack(n)); h.limit == 0 {
		more, n = more+extra, n+extra
	}
	if rest := size - more; !isPiece(rest) {
		more, n = size, n+rest
	}
	if !h.carve(end, size, end, more) {
		return false
	}
	h.retag(g, old, n)
	return true
}

// retag changes the rows inside the used span at g from old to n granules, and what
// classes it counts for.
func (h *Heap) retag(g, old, n uint64) {
	h.demands(old, -1)
	h.demands(n, 1)
	if old >= tagMin {
		h.untag(g)
	}
	if n >= tagMin {
		h.tag(g, n)
	}
}

// move gives the live block at off a new place.
func (h *Heap) move(off uint64, size, align int) ([]byte, error) {
	old := h.usable(off)
	if old >= remapMin && size > old && align == 1 {
		return h.remap(off, old, size)
	}
	to, err := h.mallocAligned("realloc", size, align)
	if err != nil {
		return nil, err
	}
	h.copy(to, off, min(old, size))
	return h.moved(off, to, old, size), nil
}

// moved frees the block of old bytes at off, whose contents are at to now.
func (h *Heap) moved(off, to uint64, old, size int) []byte {
	if h.trace != nil {
		h.trace.resized(off, to, size)
	}
	if h.sink != nil {
		h.emitRealloc(off, to, size)
	}
	if h.zeroOnFree {
		h.clear(off, off+uint64(old))
	}
	h.release(off)
	return h.block(to, size)
}

// remapMin is the least block in bytes whose pages change their address rather
// than being copied: a system call costs as much as copying some tens of KiB.
const remapMin = 256 << 10

// remap is move for large blocks: the new one lies in its first page as the old
// one does, so that whole pages can be moved; the ends are copied. Pages that the new
// place has are given up for those that are moved, and somebody touches them again
// where these were: that takes credit, as in a sweep.
func (h *Heap) remap(off uint64, old, size int) ([]byte, error) {
	if uint64(size) >= h.end {
		return nil, h.badSize("realloc", size)
	}
	pg := h.pageGranules
	n := spanFor(size)
	dirty := h.safe.dirty << granuleShift
	h.restored = gap{}
	to, err := h.mallocSpan("realloc", size, n, grid{align: pg, bias: -(off >> granuleShift) & (pg - 1)})
	if err != nil {
		return nil, err
	}
	resident := to+uint64(old) <= dirty && h.restored.size() == 0
	if resident && !h.afford(uint64(old)/h.pageSize) {
		h.copy(to, off, old)
	} else if !h.carry(to, off, old) {
		return nil, h.err
	}
	return h.moved(off, to, old, size), nil
}

// carry makes the old bytes at off those at to, which lies in its page as off
// does: whole pages change their address. It reports whether the pages could be
// had again that the bytes came from.
func (h *Heap) carry(to, off uint64, old int) bool {
	lo, hi := roundUp(off, h.pageSize), (off+uint64(old))&^(h.pageSize-1)
	dst := to + lo - off
	if h.region.Move(arena.Offset(dst), arena.Offset(lo), int(hi-lo)) != nil {
		h.copy(to, off, old)
		return true
	}
	h.copy(to, off, int(lo-off))
	h.copy(dst+hi-lo, hi, int(off+uint64(old)-hi))
	h.committed -= min(h.committed, hi-lo) // the pages left their place; they are had again here
	if h.sink != nil {
		h.sink(alloc.Event{Kind: alloc.EventMove, Old: offset(lo), Off: offset(dst), Size: int(hi - lo)})
		h.emitPages(lo, hi, false)
	}
	return h.commitBytes(lo, hi) || h.fail("pages from %#x to %#x are lost", lo, hi)
}
