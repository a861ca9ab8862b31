package alloc

import "math/bits"

// Sizer is implemented by allocators that can say how large a block really is.
type Sizer interface {
	// Usable returns the bytes that block b occupies and that Realloc may give
	// out without moving it, at least len of the block. It panics as Free does
	// if b is not a live block.
	Usable(b []byte) int
}

// Statser is implemented by allocators that count what they do.
type Statser interface {
	// Stats returns the figures of this moment.
	Stats() Stats
}

// Usable returns the usable bytes of b, a live block of a, or cap(b) where a is
// no [Sizer].
func Usable(a Allocator, b []byte) int {
	if s, ok := a.(Sizer); ok {
		return s.Usable(b)
	}
	return cap(b)
}

// CheckedSize returns count*size, or [ErrSize] when a factor is negative or the
// product is no int. It is what Calloc and [Make] size their blocks with.
func CheckedSize(count, size int) (int, error) {
	if count < 0 || size < 0 {
		return 0, ErrSize
	}
	hi, lo := bits.Mul64(uint64(count), uint64(size))
	if hi != 0 || lo > maxInt {
		return 0, ErrSize
	}
	return int(lo), nil
}

// maxInt is the largest int of this system.
const maxInt = uint64(^uint(0) >> 1)

// FreeZero wipes b's bytes and then frees it, for secrets. Only b[:len(b)] is
// wiped: pass the whole block. FreeZero(a, nil) does nothing.
//
// The view is wiped before Free looks at it, so b must be a live block.
func FreeZero(a Allocator, b []byte) {
	clear(b)
	a.Free(b)
}
