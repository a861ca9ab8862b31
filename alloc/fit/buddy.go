package fit

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A Buddy is a binary buddy heap (Knowlton 1965; Knuth 1973, section 2.5): every
// block is a power of two of bytes, at a multiple of its size from the heap's
// start. A block splits into two buddies, and two free buddies join; the buddy
// of the block at distance d and of size s is at distance d XOR s.
//
// What a block is stands apart from it, in two bytes for each smallest block
// (buddy_state.go), so that a request of 64 bytes takes 64 bytes. While free a
// block holds the links of the list of its order. It implements what [Heap]
// implements, and is not safe for concurrent use either.
//
// Its laws, which [Buddy.Check] proves:
//
//	B1  blocks tile [start, end), each at a multiple of its size
//	B2  no two buddies are both free
//	B3  the list of each order holds exactly the free blocks of that order
//	B4  there is no state inside of a block
//	B5  the counters equal the walk
type Buddy struct {
	o    Options
	mem  memory
	base uintptr
	extent
	counters
	guard

	shift uint           // logarithm of the smallest block's size
	align int            // what the heap's start is a multiple of, as an address
	heads [maxOrders]int // the first free block of each order, 0 if none
	tails int            // bytes in words that keep requested sizes
}

// maxOrders is the number of block sizes: enough for maxHeap bytes of the smallest
// block, and on 32-bit systems for 128 MiB of it, so that no size overflows an
// int whatever the smallest block is.
const maxOrders = 40 - 17*((64-intBits)/32)

// intBits is the number of bits of an int.
const intBits = 32 << (^uint(0) >> 63)

// minBuddy is the size of the smallest block in bytes, with room for two links
// and their neighbour.
const minBuddy = 32

// NewBuddy returns a buddy heap in region r, as [New] does. The smallest block
// is 32 bytes, or Options.Align if that is more. Policy, Order, Coalesce,
// Implicit and Header do not apply and must be zero.
func NewBuddy(r *arena.Region, o *Options) (*Buddy, error) {
	if err := o.onlyCommon("a buddy heap"); err != nil {
		return nil, err
	}
	if o != nil && o.Header != 0 {
		return nil, fmt.Errorf("%w: a buddy heap has no headers", ErrOptions)
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r, own, err := regionOrOwn(r)
	if err != nil {
		return nil, err
	}
	h := &Buddy{o: opts}
	h.mem = memory{bytes: r.Bytes(), seed: opts.Seed}
	if opts.Accesses {
		h.mem.access = opts.Sink
	}
	h.base = addr(h.mem.bytes)
	h.extent = extent{region: r, own: own, sink: opts.Sink, page: r.PageSize()}
	h.shift = uint(bits.Len(uint(max(minBuddy, opts.Align)))) - 1
	if err = h.layout(); err == nil {
		err = h.growTo(h.initial)
	}
	if err != nil {
		h.closeRegion()
		return nil, err
	}
	h.joinOwners(opts)
	return h, nil
}

// layout finds the places for states and blocks.
func (h *Buddy) layout() error {
	size := min(uint64(len(h.mem.bytes)), maxHeap)
	if h.o.Limit > 0 {
		size = min(size, uint64(h.o.Limit))
	}
	n, least := int(size), 1<<h.shift
	h.metaEnd = n >> h.shift * stateSize
	align := least
	if n >= 64*h.page {
		h.metaEnd = roundUp(h.metaEnd, h.page)
		align = h.page
		for align < n/64 && align < 1<<16 {
			align *= 2
		}
	}
	h.start = h.metaEnd + int(-(h.base+uintptr(h.metaEnd))&uintptr(align-1))
	if n >= 64*h.page {
		h.commitFrom = h.start &^ (h.page - 1)
	}
	if n-h.start < least {
		return fmt.Errorf("fit: region of %d bytes: %w: no room for a block of %d and %d bytes of metadata",
			n, alloc.ErrSize, least, h.start)
	}
	h.max = n - (n-h.start)%least
	h.initial = h.start + min(h.max-h.start, roundUp(h.o.Grow, least))
	first := h.base + uintptr(h.start)
	h.align = int(first & -first)
	return nil
}

// Malloc returns a block of size bytes; see [Heap.Malloc]. O(orders).
func (h *Buddy) Malloc(size int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	return h.malloc("malloc", alloc.EventMalloc, size, 1)
}

// Calloc returns a block of count*size zero bytes. It clears the whole block,
// usable bytes included.
func (h *Buddy) Calloc(count, size int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	n, err := alloc.CheckedSize(count, size)
	if err != nil {
		return nil, fmt.Errorf("fit: calloc of %d × %d bytes: %w", count, size, err)
	}
	if b, err = h.malloc("calloc", alloc.EventCalloc, n, 1); err == nil && !h.o.Zero {
		h.clearFrom(b, 0)
	}
	return b, err
}

// MallocAligned is Malloc with a base address that is a multiple of align. A
// block is as aligned as it is large, up to the alignment of the heap's start, a
// page or more except in small regions; beyond that the error is ErrAlign.
func (h *Buddy) MallocAligned(size, align int) (b []byte, err error) {
	defer h.returnCorrupt(&b, &err)
	if err := h.checkAlign(align); err != nil {
		return nil, err
	}
	return h.malloc("malloc", alloc.EventMalloc, size, align)
}

// Free takes b back and joins it with its buddy as long as that is free; see
// [Heap.Free] for what it detects. O(orders).
func (h *Buddy) Free(b []byte) {
	if b == nil {
		return
	}
	h.mustBeOpen("free", b)
	off, s := h.locate("free", b)
	h.mustBeStill("free", b)
	usable := h.usable(off, s)
	h.release(off, s)
	h.emit(alloc.Event{Kind: alloc.EventFree, Off: arena.Offset(off), Usable: usable})
	assertSound(h, h.liveBlocks+h.freeBlocks, h.end-h.start)
}

// Usable returns the bytes that b's block has room for. It panics as Free does.
func (h *Buddy) Usable(b []byte) int {
	h.mustBeOpen("usable", b)
	off, s := h.locate("usable", b)
	return h.usable(off, s)
}

// Realloc changes the size of b's block; see [Heap.Realloc]. A smaller size
// gives back upper halves, a larger one takes the buddies above if they are all
// free, else the block moves.
func (h *Buddy) Realloc(b []byte, size int) ([]byte, error) { return h.realloc(b, size, 1) }

// ReallocAligned is Realloc with a base address that is a multiple of align,
// whether or not the block moves.
func (h *Buddy) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	if err := h.checkAlign(align); err != nil {
		return nil, err
	}
	return h.realloc(b, size, align)
}

// Close ends the heap; see [Heap.Close].
func (h *Buddy) Close() error {
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
	if cerr := h.closeRegion(); cerr != nil {
		return cerr
	}
	return err
}

func (h *Buddy) checkAlign(align int) error {
	if align <= 0 || align&(align-1) != 0 || align > h.align && !h.closed {
		return fmt.Errorf("fit: alignment %d: %w", align, alloc.ErrAlign)
	}
	return nil
}

// need returns the order of a block for a request.
func (h *Buddy) need(op string, size, align int) (int, error) {
	if err := h.ready(); err != nil {
		return 0, fmt.Errorf("fit: %s of %d bytes: %w", op, size, err)
	}
	if size < 0 {
		return 0, fmt.Errorf("fit: %s of %d bytes: %w", op, size, alloc.ErrSize)
	}
	if size > h.max-h.start {
		return 0, h.noMemory(op, size, nil)
	}
	order := max(0, bits.Len(uint(max(size, align, 1)-1))-int(h.shift))
	if order >= maxOrders {
		return 0, h.noMemory(op, size, nil)
	}
	return order, nil
}

// malloc finds, splits and marks a block.
func (h *Buddy) malloc(op string, kind alloc.EventKind, size, align int) ([]byte, error) {
	order, err := h.need(op, size, align)
	if err != nil {
		return nil, h.failure(size, err)
	}
	off, have := h.find(order)
	if off == 0 {
		if err := h.grow(op, order, size); err != nil {
			return nil, h.failure(size, err)
		}
		if off, have = h.find(order); off == 0 {
			return nil, h.failure(size, h.noMemory(op, size, nil))
		}
	}
	h.unlink(off, have)
	h.cut(off, have, order)
	h.mark(off, order, size)
	h.mallocs++
	b := h.view(off, size)
	fill(b, freshByte)
	if h.o.Zero {
		h.clearFrom(b, 0)
	}
	assertSound(h, h.liveBlocks+h.freeBlocks, h.end-h.start)
	if kind != alloc.EventRealloc && h.o.Sink != nil {
		h.emit(h.event(kind, b))
	}
	return b, nil
}

// find returns the first block of the smallest order that fits, and the order.
func (h *Buddy) find(order int) (off, have int) {
	h.lastSearched = 0
	for have = order; have < maxOrders; have++ {
		if off = h.heads[have]; off != 0 {
			h.lastSearched = 1
			h.searched++
			return off, have
		}
	}
	return 0, 0
}

// cut frees the upper halves of the block off until it has the order.
func (h *Buddy) cut(off, have, order int) {
	if have > order {
		h.emit(alloc.Event{Kind: alloc.EventSplit, Off: arena.Offset(off), Size: h.size(order), Usable: h.size(have)})
	}
	for have > order {
		have--
		h.link(off+h.size(have), have)
	}
}

// mark makes the block off, which is on no list, a used one.
func (h *Buddy) mark(off, order, size int) {
	slack := h.size(order) - size
	s := state{order: order, used: true}
	if slack >= wordSize {
		s.tail = true
		h.mem.put(off+h.size(order)-wordSize, tailWord, uint64(size))
		h.tails += wordSize
	} else {
		s.slack = slack
	}
	h.setState(off, s)
	h.countUsed(h.usable(off, s), h.usable(off, s)-size, 1)
	h.peak = max(h.peak, off+h.size(order))
}

// unmark takes the used block off out of the counters.
func (h *Buddy) unmark(off int, s state) {
	h.countUsed(h.usable(off, s), h.usable(off, s)-h.requestedOf(off, s), -1)
	if s.tail {
		h.tails -= wordSize
	}
}

// release makes the used block off free and gives memory back when it is time.
func (h *Buddy) release(off int, s state) {
	h.unmark(off, s)
	fill(h.mem.bytes[off:off+h.size(s.order)], freedByte)
	h.frees++
	h.join(off, s.order)
	h.trim()
}

// join makes the block off, which is on no list, free, together with as many
// buddies as are free.
func (h *Buddy) join(off, order int) {
	from := order
	for order < maxOrders-1 {
		buddy := h.buddyOf(off, order)
		if buddy+h.size(order) > h.end {
			break
		}
		if s := h.stateAt(buddy); !s.present || s.used || s.order != order {
			break
		}
		h.unlink(buddy, order)
		h.clearState(max(off, buddy))
		off = min(off, buddy)
		order++
	}
	if order > from {
		h.emit(alloc.Event{Kind: alloc.EventCoalesce, Off: arena.Offset(off), Size: h.size(order)})
	}
	h.link(off, order)
}

// size returns the bytes of a block of the order.
func (h *Buddy) size(order int) int { return 1 << (uint(order) + h.shift) }

// buddyOf returns the buddy of the block off.
func (h *Buddy) buddyOf(off, order int) int { return h.start + ((off - h.start) ^ h.size(order)) }

func (h *Buddy) emit(e alloc.Event) {
	if h.o.Sink != nil {
		h.o.Sink(e)
	}
}

// event is about the live block b, of which b is the whole view.
func (h *Buddy) event(kind alloc.EventKind, b []byte) alloc.Event {
	off := int(addr(b) - h.base)
	return alloc.Event{Kind: kind, Off: arena.Offset(off), Size: len(b), Usable: h.usable(off, h.stateAt(off))}
}

// failure counts err if it says that memory ran out, and returns it.
func (h *Buddy) failure(size int, err error) error {
	if errors.Is(err, alloc.ErrNoMemory) {
		h.failed++
		h.emit(alloc.Event{Kind: alloc.EventFailed, Size: size})
	}
	return err
}
