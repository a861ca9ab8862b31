package replay

import "unsafe"

// A table holds the base of each live block by slot. It is a third of the size
// of a table of slices, which matters when the replay itself must not disturb
// the caches it measures. Lengths come from the program.
type table []*byte

// base returns the address of b's first byte as a pointer, also for an empty b.
func base(b []byte) *byte {
	// SAFETY: SliceData only reads the header of b; the pointer keeps what b
	// points to alive as b does.
	return unsafe.SliceData(b)
}

// view returns the block of size bytes at p again.
func view(p *byte, size int) []byte {
	// SAFETY: p is what base returned for a live block of exactly size bytes, or
	// nil with size 0; both come from the same instruction stream. These are the words of
	// a slice: unsafe.Slice would check once more that it does not wrap around.
	s := struct {
		p        *byte
		len, cap int
	}{p, size, size}
	return *(*[]byte)(unsafe.Pointer(&s))
}

// address returns where b starts, for comparing only.
func address(b []byte) uintptr {
	// SAFETY: the number is compared and printed, never turned back.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
