package peers

import (
	"unsafe"

	"github.com/memlab-go/memlab/alloc"
)

// The patterns keep of a block what a program in C keeps, the address, and the size,
// which Go's slices have besides: two bytes instead of sixteen, so that what moves
// between the processors' caches is much the same on both sides.

// freeKept frees the block of that size at p, unless p is nil.
func freeKept(a alloc.Allocator, p *byte, size uint16) {
	if p != nil {
		// SAFETY: the block that touched was given is live, and as large.
		a.Free((*[1 << 16]byte)(unsafe.Pointer(p))[:size:size])
	}
}

// touched writes the first byte of b, which is not empty, and returns where it is. It faults
// if there was no memory, as the C side does, which does not ask either.
func touched(b []byte) *byte {
	p := unsafe.SliceData(b)
	*p = 1
	return p
}
