package vm

import (
	"fmt"
	"math"
	"math/bits"
)

// Frames is physical memory's frame allocator: a binary buddy system (Knuth,
// The Art of Computer Programming 1, section 2.5) over the frames of a [Memory],
// with a reference count and a reverse map for every frame.
//
//	order 0   ▒▒│  │▒▒│▒▒│        a block of order k is 2^k frames, aligned to
//	order 1   ▒▒▒▒▒│     │        its size in physical addresses
//	order 2              │
//
// Free blocks stand on one list for each order. An allocation takes the smallest
// block that is large enough and halves it; a free joins the block with its buddy
// (the other half of the block of the next order) while that is free as well.
// Both are O(log frames). [Frames.Check] states the laws.
//
// Frames is a [FrameSource] for page tables and a [FrameOwner] for an MMU. It is
// not safe for concurrent use.
type Frames struct {
	mem   *Memory
	shift uint8
	first uint64  // number of the first frame: its physical address >> shift
	frame []frame // by number - first
	head  []int32 // first free block of each order, or none
	free  int     // frames that are free
}

// A frame is what is known of one frame.
type frame struct {
	next, prev int32     // on the free list, if a free block begins here
	order      int8      // of the block that begins here, or inside
	used       bool      // the block that begins here is allocated
	shared     bool      // every address space owns it
	refs       uint16    // mappings of this frame
	maps       []Mapping // the reverse map: who they are
}

const (
	none   int32 = -1
	inside int8  = -1 // frame is not the first of its block
)

// NewFrames returns an allocator of all frames of mem, which are pageSize bytes
// (0 means 4096; a power of two of at least 8). Base and size of mem must be
// multiples of it. The memory must not be used but through the frames that the
// allocator gives out.
func NewFrames(mem *Memory, pageSize uint64) (*Frames, error) {
	if pageSize == 0 {
		pageSize = 4096
	}
	n := mem.Size() / pageSize
	switch {
	case pageSize < 8 || pageSize&(pageSize-1) != 0:
		return nil, fmt.Errorf("vm: frames of %#x bytes: want a power of two of at least 8", pageSize)
	case uint64(mem.Base())%pageSize != 0 || mem.Size()%pageSize != 0:
		return nil, fmt.Errorf("vm: memory of %#x bytes at %v is not made of frames of %#x bytes", mem.Size(), mem.Base(), pageSize)
	case n > math.MaxInt32:
		return nil, fmt.Errorf("vm: %d frames: want at most %d", n, math.MaxInt32)
	}
	shift := uint8(bits.TrailingZeros64(pageSize))
	f := &Frames{mem: mem, shift: shift, first: uint64(mem.Base()) >> shift, frame: make([]frame, n), free: int(n)}
	f.head = make([]int32, bits.Len64(n))
	for k := range f.head {
		f.head[k] = none
	}
	for i := range f.frame {
		f.frame[i].order = inside
	}
	for i := uint64(0); i < n; { // the largest aligned blocks, from the bottom
		k := bits.Len64(n-i) - 1
		if a := bits.TrailingZeros64(f.first + i); a < k {
			k = a
		}
		f.push(int32(i), k)
		i += 1 << k
	}
	return f, nil
}

// PageSize returns the size of a frame in bytes.
func (f *Frames) PageSize() uint64 { return 1 << f.shift }

// Len returns the number of frames.
func (f *Frames) Len() int { return len(f.frame) }

// Free returns how many frames are free.
func (f *Frames) Free() int { return f.free }

// Largest returns how many frames the largest free block has; 0 if none is free.
func (f *Frames) Largest() int {
	for k := len(f.head) - 1; k >= 0; k-- {
		if f.head[k] != none {
			return 1 << k
		}
	}
	return 0
}

// Memory returns the memory that the frames are of.
func (f *Frames) Memory() *Memory { return f.mem }

// AllocFrames returns n adjacent frames, n a power of two, aligned to their size
// together; what they hold is unspecified. They have no mappings. The error is a
// *[Fault]: OutOfFrames if no free block is large enough, BadLength if n is not a
// power of two. O(log frames).
func (f *Frames) AllocFrames(n int) (PhysAddr, error) {
	if n <= 0 || n&(n-1) != 0 {
		return 0, &Fault{Kind: BadLength, Level: -1, Note: fmt.Sprintf("%d frames: want a power of two", n)}
	}
	want := bits.TrailingZeros64(uint64(n))
	k := want
	for k < len(f.head) && f.head[k] == none {
		k++
	}
	if k >= len(f.head) {
		return 0, &Fault{Kind: OutOfFrames, Level: -1, Note: fmt.Sprintf("%d adjacent frames wanted, %d of %d free", n, f.free, len(f.frame))}
	}
	i := f.head[k]
	f.unlink(i)
	for k > want { // give the upper half back
		k--
		f.push(i+1<<k, k)
	}
	f.frame[i].order, f.frame[i].used = int8(want), true
	f.free -= n
	return f.addr(i), nil
}

// SplitBlock makes n blocks of one frame each of the block that AllocFrames(n)
// returned at pa, so that each can be freed by itself. Faults: FrameDoubleFree if
// there is no such block in use. O(n).
func (f *Frames) SplitBlock(pa PhysAddr, n int) error {
	i, ok := f.index(pa)
	if !ok || !f.frame[i].used || f.frame[i].order == inside || n != 1<<f.frame[i].order {
		return &Fault{Kind: FrameDoubleFree, Level: -1, PA: pa, Note: fmt.Sprintf("no block of %d frames that is in use begins at %v", n, pa)}
	}
	for j := range int32(n) {
		f.frame[i+j].order, f.frame[i+j].used = 0, true
	}
	return nil
}

// FreeFrames takes back what AllocFrames(n) returned. It panics with a *[Fault]
// of kind FrameDoubleFree, before anything is changed, on anything else, and on
// frames that are still mapped. O(log frames + n).
func (f *Frames) FreeFrames(pa PhysAddr, n int) {
	if why := f.freeable(pa, n); why != "" {
		panic(&Fault{Kind: FrameDoubleFree, Level: -1, PA: pa, Note: why})
	}
	i, _ := f.index(pa)
	k := int(f.frame[i].order)
	f.free += n
	f.frame[i].used, f.frame[i].order = false, inside
	for ; k < len(f.head)-1; k++ {
		b := int64((f.first+uint64(i))^1<<k) - int64(f.first)
		if b < 0 || b >= int64(len(f.frame)) || f.frame[b].used || f.frame[b].order != int8(k) {
			break
		}
		f.unlink(int32(b))
		f.frame[b].order = inside
		i = min(i, int32(b))
	}
	f.push(i, k)
}

// freeable says why the block cannot be freed, or nothing.
func (f *Frames) freeable(pa PhysAddr, n int) string {
	i, ok := f.index(pa)
	switch {
	case !ok:
		return fmt.Sprintf("%v is no frame", pa)
	case !f.frame[i].used:
		return fmt.Sprintf("no block that is in use begins at %v", pa)
	case n != 1<<f.frame[i].order:
		return fmt.Sprintf("block at %v has %d frames, not %d", pa, 1<<f.frame[i].order, n)
	}
	for j := range f.frame[i : int(i)+n] {
		if r := f.frame[int(i)+j].refs; r != 0 {
			return fmt.Sprintf("frame %v has %d mappings", f.addr(i+int32(j)), r)
		}
	}
	return ""
}

// Allocated reports whether the frame that holds pa is in use.
func (f *Frames) Allocated(pa PhysAddr) bool {
	i, ok := f.index(pa &^ PhysAddr(f.PageSize()-1))
	if !ok {
		return false
	}
	for f.frame[i].order == inside { // back to the first frame of the block
		n := f.first + uint64(i)
		i -= int32(n & -n)
	}
	return f.frame[i].used
}

func (f *Frames) addr(i int32) PhysAddr { return PhysAddr((f.first + uint64(i)) << f.shift) }

// index returns the frame that begins at pa.
func (f *Frames) index(pa PhysAddr) (int32, bool) {
	i := uint64(pa)>>f.shift - f.first
	return int32(i), uint64(pa)%f.PageSize() == 0 && i < uint64(len(f.frame))
}

// push makes a free block of order k begin at i.
func (f *Frames) push(i int32, k int) {
	b := &f.frame[i]
	b.order, b.used, b.prev, b.next = int8(k), false, none, f.head[k]
	if b.next != none {
		f.frame[b.next].prev = i
	}
	f.head[k] = i
}

// unlink takes the free block at i from its list.
func (f *Frames) unlink(i int32) {
	b := &f.frame[i]
	if b.prev == none {
		f.head[b.order] = b.next
	} else {
		f.frame[b.prev].next = b.next
	}
	if b.next != none {
		f.frame[b.next].prev = b.prev
	}
}
