package peers

import "unsafe"

// The patterns keep of a block what a program in C keeps, the address, and the size,
// which Go's slices have besides: two bytes instead of sixteen, so that what moves
// between the processors' caches is much the same on both sides.

// blockAt returns the block of that size at p; nil and 0 are nil.
func blockAt(p *byte, size uint16) []byte {
	// SAFETY: the block that touched was given is live, and as large.
	return unsafe.Slice(p, size)
}

// touched writes the first byte of b, which is not empty, and returns where it is.
func touched(b []byte) *byte {
	p := unsafe.SliceData(b)
	*p = 1
	return p
}
