package fit

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// An OSTEP is the free list of the homework program malloc.py that comes with
// chapter 17 of Arpaci-Dusseau and Arpaci-Dusseau, Operating Systems: Three Easy
// Pieces, operation for operation, so that homework seeds give homework
// answers. Like that program it manages addresses only: there is no memory
// behind them, sizes are in bytes of any number, and the list lies outside.
//
// Where it departs from what [Heap] does:
//
//   - there are no start bits and no smallest block: a block of 1 byte is fine,
//     and Header bytes are counted but hold nothing;
//   - the rest of a split stays where its block was, so that a list that is
//     sorted by size is out of order until the next free sorts it;
//   - coalescing joins only blocks that are neighbours on the list, in address
//     order: nothing but Order Address joins everything;
//   - Best and Worst always look at the whole list, and every search counts the
//     blocks it looked at, failed ones too;
//   - Free of an address that is not allocated is answered, not a fault;
//   - a block of 0 bytes, asked for without a header, is where the next block
//     will be. malloc.py ends with a failed assertion when an address is given
//     a second time; here the two are one block, which the first Free gives back.
//
// Malloc returns a block's start, or -1 when nothing fits. To what it answers for
// operations that it draws malloc.py adds Header, so that it prints Header-1 when
// nothing fits; to answers for a list that it is given it adds nothing. An OSTEP
// is not safe for concurrent use.
type OSTEP struct {
	o         OSTEPOptions
	free      []OSTEPBlock
	allocated map[int]int // address to size, header included
}

// OSTEPOptions are the options of malloc.py, named as in this package. Zero
// fields mean zero, except as said. No field may be negative, and Base+Size must
// not overflow an int.
type OSTEPOptions struct {
	Policy   Policy // First, Best or Worst; malloc.py has no Next
	Order    Order
	Coalesce bool // on each free
	Header   int  // bytes added to each request; at most Size
	Align    int  // bytes, at most Size; requests are rounded up to a multiple; 0: not
	Size     int  // bytes of the heap, at least 1; malloc.py has 100
	Base     int  // address of its first byte; malloc.py has 1000
}

// An OSTEPBlock is one free block.
type OSTEPBlock struct {
	Addr int // first byte
	Size int // bytes
}

// NewOSTEP returns a heap that is one free block. The error wraps [ErrOptions].
func NewOSTEP(o OSTEPOptions) (*OSTEP, error) {
	switch {
	case o.Policy != First && o.Policy != Best && o.Policy != Worst:
		return nil, fmt.Errorf("%w: malloc.py has no policy %v", ErrOptions, o.Policy)
	case int(o.Order) >= len(orderNames):
		return nil, fmt.Errorf("%w: order %d", ErrOptions, o.Order)
	case o.Size <= 0:
		return nil, fmt.Errorf("%w: size of %d bytes", ErrOptions, o.Size)
	case o.Header < 0 || o.Header > o.Size:
		return nil, fmt.Errorf("%w: header of %d bytes, want 0 to %d, the heap's size", ErrOptions, o.Header, o.Size)
	case o.Align < 0 || o.Align > o.Size:
		return nil, fmt.Errorf("%w: alignment %d, want 0 to %d, the heap's size", ErrOptions, o.Align, o.Size)
	case o.Base < 0 || o.Base > math.MaxInt-o.Size:
		return nil, fmt.Errorf("%w: base %d of a heap of %d bytes, want 0 to %d", ErrOptions, o.Base, o.Size, math.MaxInt-o.Size)
	}
	return &OSTEP{o: o, free: []OSTEPBlock{{o.Base, o.Size}}, allocated: map[int]int{}}, nil
}

// Malloc takes size bytes and the header from the free list and returns the
// block's address, header included, or -1, and how many blocks it looked at.
// O(free blocks).
func (h *OSTEP) Malloc(size int) (addr, searched int) {
	room := h.o.Size - h.o.Header // of a request; the sums below may be no int
	pad := 0
	if h.o.Align > 0 {
		pad = (h.o.Align - size%h.o.Align) % h.o.Align
	}
	if size < 0 || size > room || pad > room-size {
		return -1, len(h.free)
	}
	size += pad + h.o.Header
	best := -1
	for i, b := range h.free {
		searched++
		if b.Size < size {
			continue
		}
		if best < 0 || h.o.Policy == Best && b.Size < h.free[best].Size ||
			h.o.Policy == Worst && b.Size > h.free[best].Size {
			best = i
		}
		if h.o.Policy == First {
			break
		}
	}
	if best < 0 {
		return -1, searched
	}
	b := &h.free[best]
	addr = b.Addr
	h.allocated[addr] = max(size, h.allocated[addr]) // it may be there with 0 bytes, or the new one has none
	if b.Addr, b.Size = b.Addr+size, b.Size-size; b.Size == 0 {
		h.free = slices.Delete(h.free, best, best+1)
	}
	return addr, searched
}

// Free puts the block at addr, as Malloc returned it, back on the list and
// reports whether there was one. O(free blocks × log).
func (h *OSTEP) Free(addr int) bool {
	size, ok := h.allocated[addr]
	if !ok {
		return false
	}
	delete(h.allocated, addr)
	b := OSTEPBlock{addr, size}
	if h.o.Order == Front {
		h.free = slices.Insert(h.free, 0, b)
	} else {
		h.free = append(h.free, b)
		h.sort()
	}
	if h.o.Coalesce {
		h.coalesce()
	}
	return true
}

// sort sorts the list, where the order asks for it, with a stable sort as
// malloc.py's.
func (h *OSTEP) sort() {
	var compare func(a, b OSTEPBlock) int
	switch h.o.Order {
	case Address:
		compare = func(a, b OSTEPBlock) int { return a.Addr - b.Addr }
	case SizeAscending:
		compare = func(a, b OSTEPBlock) int { return a.Size - b.Size }
	case SizeDescending:
		compare = func(a, b OSTEPBlock) int { return b.Size - a.Size }
	default:
		return
	}
	slices.SortStableFunc(h.free, compare)
}

// coalesce joins each block with the next one on the list if that begins where
// it ends.
func (h *OSTEP) coalesce() {
	joined := h.free[:1]
	for _, b := range h.free[1:] {
		if last := &joined[len(joined)-1]; b.Addr == last.Addr+last.Size {
			last.Size += b.Size
		} else {
			joined = append(joined, b)
		}
	}
	h.free = joined
}

// FreeList returns a copy of the list, in its order.
func (h *OSTEP) FreeList() []OSTEPBlock { return slices.Clone(h.free) }

// Blocks implements [alloc.Walker]: free and allocated blocks, headers included,
// by address; Off is the address. Blocks of 0 bytes are left out. O(blocks ×
// log).
func (h *OSTEP) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		blocks := make([]alloc.Block, 0, len(h.free)+len(h.allocated))
		for _, b := range h.free {
			blocks = append(blocks, alloc.Block{Off: arena.Offset(b.Addr), Size: b.Size})
		}
		for addr, size := range h.allocated {
			blocks = append(blocks, alloc.Block{Off: arena.Offset(addr), Size: size, Used: true})
		}
		blocks = slices.DeleteFunc(blocks, func(b alloc.Block) bool { return b.Size == 0 })
		slices.SortFunc(blocks, func(a, b alloc.Block) int { return cmp.Compare(a.Off, b.Off) })
		for _, b := range blocks {
			if !yield(b) {
				return
			}
		}
	}
}
