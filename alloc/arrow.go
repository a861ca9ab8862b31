package alloc

// arrowAlign is the alignment that Apache Arrow recommends for its buffers: a
// cache line, and the width of the widest vector registers.
const arrowAlign = 64

// Arrow returns an allocator for Apache Arrow Go: it satisfies the interface
// memory.Allocator of github.com/apache/arrow-go by its methods alone. It is as
// safe for concurrent use as a is; Arrow shares allocators between goroutines.
func Arrow(a interface {
	Allocator
	Aligned
}) *ArrowAllocator {
	return &ArrowAllocator{a: a}
}

// An ArrowAllocator allocates Arrow's buffers off the Go heap; see [Arrow].
// Buffers are aligned to 64 bytes and zeroed, also the bytes that Reallocate
// adds.
//
// Arrow's interface has no errors: a call that fails panics with the error,
// which wraps [ErrNoMemory] or [ErrSize]; a buffer that is not live panics with
// a [*Fault].
type ArrowAllocator struct {
	a interface {
		Allocator
		Aligned
	}
}

// Allocate returns a zeroed buffer of size bytes. A buffer of no bytes takes no
// memory and need not be freed.
func (r *ArrowAllocator) Allocate(size int) []byte {
	if size == 0 {
		return []byte{}
	}
	b, err := r.a.MallocAligned(size, arrowAlign)
	if err != nil {
		panic(err)
	}
	clear(b)
	return b
}

// Reallocate changes the size of b, which may be a view of a buffer's start with
// another length, and returns the buffer, which may have moved. What b's
// capacity covers is kept, up to size; bytes beyond it are zero.
func (r *ArrowAllocator) Reallocate(size int, b []byte) []byte {
	switch {
	case cap(b) == 0:
		return r.Allocate(size)
	case size == 0:
		r.Free(b)
		return []byte{}
	}
	kept := cap(b)
	n, err := r.a.ReallocAligned(b, size, arrowAlign)
	if err != nil {
		panic(err)
	}
	if kept < size {
		clear(n[kept:])
	}
	return n
}

// Free takes a buffer back; b may be a view of its start with another length.
func (r *ArrowAllocator) Free(b []byte) {
	if cap(b) != 0 {
		r.a.Free(b)
	}
}
