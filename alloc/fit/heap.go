package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A Heap is a textbook heap: blocks with boundary tags in one region, and an
// index of the free ones, which is a list ([New]) or the two-level lists of
// TLSF ([NewTLSF]). It implements [alloc.Allocator], [alloc.Aligned],
// [alloc.Sizer], [alloc.Walker], [alloc.Checker] and [alloc.Statser].
//
// A Heap is not safe for concurrent use; see [alloc.Locked].
//
// Its laws, which [Heap.Check] proves:
//
//	L1  blocks tile [start, end), each with a sound tag; the epilogue is at end
//	L2  no two neighbours are both free, where coalescing is immediate
//	L3  a free block's footer equals its tag, and p says whether the block before is used
//	L4  the index holds exactly the free blocks, in its order
//	L5  a start bit is set exactly where a used block's payload starts
//	L6  the counters equal the walk
type Heap struct {
	o     Options
	mem   memory
	base  uintptr // address of the region's first byte
	index index
	extent
	counters
	guard

	minBlock int // bytes of the smallest block: room for a free one's words
}

// An index knows the free blocks and finds one for a request.
type index interface {
	insert(off, size int)                      // a block became free
	remove(off, size int)                      // a free block goes away
	replace(old, oldSize, off, size int)       // the rest of a split takes the place of its block
	joined(off, size int)                      // [off, off+size) has become one used block
	find(need int) (off int)                   // a free block of at least need bytes, or 0
	reset()                                    // forget everything
	check(free map[int]int, report reportFunc) // law L4; free maps offsets to sizes
}

// reportFunc takes one broken law.
type reportFunc func(format string, args ...any)

// New returns a heap in region r with a free list as o says. With a nil r the
// heap reserves a region of its own, as much address space as is sensible, and
// Close releases it; a region that is passed in stays the caller's, must be
// used by nothing else meanwhile, and need not be committed or zero.
//
// The error wraps [ErrOptions], [alloc.ErrSize] (the region has no room for a
// block) or the system's.
func New(r *arena.Region, o *Options) (*Heap, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := newHeap(r, opts)
	if err != nil {
		return nil, err
	}
	if opts.Implicit {
		h.index = &walkIndex{h: h}
	} else {
		h.index = &listIndex{h: h}
	}
	return h.open()
}

// NewTLSF returns a heap whose free blocks are on two-level segregated lists:
// Malloc and Free take constant time, and a block is at most 1/16 larger than
// the best one (Masmano, Ripoll, Crespo and Real, TLSF: a New Dynamic Memory
// Allocator for Real-Time Systems, 2004). It is the "good fit" of the paper:
// the request is rounded up to the next list, whose first block is taken. Only
// before the heap grows or fails the request's own list is searched, block by
// block.
//
// Policy, Order, Coalesce and Implicit do not apply and must be zero; the rest
// is as for [New].
func NewTLSF(r *arena.Region, o *Options) (*Heap, error) {
	if err := o.onlyCommon("TLSF"); err != nil {
		return nil, err
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := newHeap(r, opts)
	if err != nil {
		return nil, err
	}
	h.index = &tlsfIndex{h: h}
	return h.open()
}

// newHeap returns a heap that has its region but no blocks.
func newHeap(r *arena.Region, opts Options) (*Heap, error) {
	r, own, err := regionOrOwn(r)
	if err != nil {
		return nil, err
	}
	h := &Heap{o: opts}
	h.mem = memory{bytes: r.Bytes(), seed: opts.Seed}
	h.extent = extent{region: r, own: own, sink: opts.Sink, page: r.PageSize(), beyond: wordSize}
	if opts.Accesses {
		h.mem.access = opts.Sink
	}
	h.base = addr(h.mem.bytes)
	h.minBlock = roundUp(opts.Header+3*wordSize, opts.Align)
	return h, nil
}

// open lays out the region and makes the first free block.
func (h *Heap) open() (*Heap, error) {
	err := h.layout()
	if err == nil {
		err = h.fresh()
	}
	if err != nil {
		h.closeRegion()
		return nil, err
	}
	h.joinOwners(h.o)
	return h, nil
}

// regionOrOwn returns r, or a region of the heap's own if r is nil, of the size
// that package arena finds sensible on this system.
func regionOrOwn(r *arena.Region) (_ *arena.Region, own bool, err error) {
	if r != nil {
		return r, false, nil
	}
	if r, err = arena.Reserve(0, nil); err != nil {
		return nil, false, fmt.Errorf("fit: no address space: %w", err)
	}
	return r, true, nil
}

// Malloc returns a block of size bytes with unspecified contents (zero with
// Options.Zero); see [alloc.Allocator]. O(free blocks) for a list, O(blocks) for
// an implicit one, O(1) for TLSF, and the growth of the heap when nothing fits.
//
// The error is [alloc.ErrSize], [alloc.ErrNoMemory] with figures,
// [alloc.ErrClosed], [alloc.ErrBusy] inside a loop over Blocks, or
// [alloc.ErrCorrupt].
func (h *Heap) Malloc(size int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	if b, err = h.malloc("malloc", size, 1); err == nil {
		h.allocated(alloc.EventMalloc, b)
	}
	return b, err
}

// Calloc returns a block of count*size zero bytes. It clears the whole block,
// usable bytes included. Errors as Malloc; a product that overflows is ErrSize.
func (h *Heap) Calloc(count, size int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	n, err := alloc.CheckedSize(count, size)
	if err != nil {
		return nil, fmt.Errorf("fit: calloc of %d × %d bytes: %w", count, size, err)
	}
	if b, err = h.malloc("calloc", n, 1); err == nil {
		h.clearTail(b, 0)
		h.allocated(alloc.EventCalloc, b)
	}
	return b, err
}

// MallocAligned is Malloc with a base address that is a multiple of align, a
// power of two, else [alloc.ErrAlign]. An alignment beyond the region's size is
// ErrAlign too. Bytes skipped in front of the block become a free block.
func (h *Heap) MallocAligned(size, align int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	if err := h.checkAlign(align); err != nil {
		return nil, err
	}
	if b, err = h.malloc("malloc", size, align); err == nil {
		h.allocated(alloc.EventMalloc, b)
	}
	return b, err
}

// Free takes b back, and joins it with its free neighbours if coalescing is
// immediate; see [alloc.Allocator]. Free(nil) does nothing. O(1) on unsorted
// lists, O(free blocks) on sorted ones.
//
// Free panics with a [*alloc.Fault] if no live block starts at b's address:
// every double, interior, misaligned and foreign free is found, by a bit per
// possible start that lies apart from the blocks. The limit of it is that an
// address cannot be told from its next incarnation.
func (h *Heap) Free(b []byte) {
	if b == nil {
		return
	}
	h.mustBeOpen("free", b)
	off := h.locate("free", b)
	t := h.usedTag("free", off)
	h.mustBeStill("free", b)
	h.release(off, t)
	h.emit(alloc.Event{Kind: alloc.EventFree, Off: arena.Offset(off + h.o.Header), Usable: t.size - h.o.Header})
	h.trim()
	assertSound(h, h.liveBlocks+h.freeBlocks, h.end-h.start)
}

// Usable returns the bytes that b's block has room for, at least len of the
// block. It panics as Free does.
func (h *Heap) Usable(b []byte) int {
	h.mustBeOpen("usable", b)
	off := h.locate("usable", b)
	return h.usedTag("usable", off).size - h.o.Header
}

// Close ends the heap and every view of its blocks. The first call returns nil,
// or an [*alloc.LeakError] that lists the blocks that were live; later calls
// return nil. A region of the heap's own is released, one that was passed in
// stays as it is.
func (h *Heap) Close() error {
	if h.closed {
		return h.closeAgain()
	}
	var err error
	if h.bad == nil && h.liveBlocks > 0 {
		err = alloc.NewLeakError(h)
	}
	h.closed = true
	h.disown()
	h.mem.bytes = nil
	h.index.reset()
	if cerr := h.closeRegion(); cerr != nil {
		return cerr
	}
	return err
}
