package fit

import (
	"fmt"
	"slices"
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
//   - Free of an address that is not allocated is answered, not a fault.
//
// Malloc returns -1 when nothing fits; malloc.py prints Header-1 then, since it
// adds the header to every answer. An OSTEP is not safe for concurrent use.
type OSTEP struct {
	o         OSTEPOptions
	free      []OSTEPBlock
	allocated map[int]int // address to size, header included
}

// OSTEPOptions are the options of malloc.py, named as in this package. Zero
// fields mean zero, except as said.
type OSTEPOptions struct {
	Policy   Policy // First, Best or Worst; malloc.py has no Next
	Order    Order
	Coalesce bool // on each free
	Header   int  // bytes added to each request
	Align    int  // bytes; requests are rounded up to a multiple; 0: not
	Size     int  // bytes of the heap; malloc.py has 100
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
	case o.Header < 0 || o.Align < 0 || o.Size <= 0 || o.Base < 0:
		return nil, fmt.Errorf("%w: header %d, align %d, size %d, base %d", ErrOptions, o.Header, o.Align, o.Size, o.Base)
	}
	return &OSTEP{o: o, free: []OSTEPBlock{{o.Base, o.Size}}, allocated: map[int]int{}}, nil
}

// Malloc takes size bytes and the header from the free list and returns the
// block's address, header included, or -1, and how many blocks it looked at.
// O(free blocks).
func (h *OSTEP) Malloc(size int) (addr, searched int) {
	if size < 0 || size > h.o.Size {
		return -1, len(h.free)
	}
	if h.o.Align > 0 {
		size += (h.o.Align - size%h.o.Align) % h.o.Align
	}
	size += h.o.Header
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
	h.allocated[addr] = size
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
