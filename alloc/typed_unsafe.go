package alloc

import "unsafe"

// newT is New without the check of T.
func newT[T any](a Allocator) (*T, error) {
	b, err := a.Calloc(1, sizeOf[T]())
	if err != nil {
		return nil, err
	}
	// SAFETY: b is a live block of sizeof(T) bytes, aligned to 8 or more as the
	// contract says, which is enough for every Go type; T holds no pointers.
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), nil
}

// makeT is Make without the check of T.
func makeT[T any](a Allocator, n int) ([]T, error) {
	b, err := a.Calloc(n, sizeOf[T]())
	if err != nil {
		return nil, err
	}
	return sliceOf[T](b, n), nil
}

// appendT is Append without the check of T.
func appendT[T any](a Allocator, s []T, vs ...T) ([]T, error) {
	if len(vs) <= cap(s)-len(s) {
		if s == nil {
			return nil, nil // nothing appended to nothing
		}
		return append(s, vs...), nil
	}
	if len(vs) > int(maxInt)-len(s) {
		return s, ErrSize
	}
	c := growCap(cap(s), len(s)+len(vs))
	size, err := CheckedSize(c, sizeOf[T]())
	if err != nil {
		return s, err
	}
	var old []byte
	if s != nil {
		old = bytesOfSlice(s[:cap(s)])
	}
	if size == 0 { // T has no size: the block of no bytes serves any length
		if old == nil {
			if old, err = a.Malloc(0); err != nil {
				return s, err
			}
		}
		return append(sliceOf[T](old, c)[:len(s)], vs...), nil
	}
	at := indexIn(s[:cap(s)], vs)
	b, err := a.Realloc(old, size)
	if err != nil {
		return s, err
	}
	grown := sliceOf[T](b, c)
	if at >= 0 { // vs was a part of s and is where s is now
		vs = grown[at:][:len(vs)]
	}
	return append(grown[:len(s)], vs...), nil
}

// indexIn returns where in s the non-empty vs begins, or -1 if it is no part of s.
func indexIn[T any](s, vs []T) int {
	// SAFETY: the addresses are compared and never turned back.
	off := uintptr(unsafe.Pointer(unsafe.SliceData(vs))) - uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	if off >= uintptr(len(s)*sizeOf[T]()) {
		return -1
	}
	return int(off) / sizeOf[T]()
}

// sizeOf returns the bytes of a T.
func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t)) // SAFETY: a constant of the type.
}

// sliceOf views block b as n values of T.
func sliceOf[T any](b []byte, n int) []T {
	// SAFETY: b is a live block of at least n*sizeof(T) bytes, aligned to 8 or
	// more, and T holds no pointers.
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// bytesOf views *p as bytes.
func bytesOf[T any](p *T) []byte {
	// SAFETY: the view is as large as the T that p points to.
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), sizeOf[T]())
}

// bytesOfSlice views s as bytes; an empty s keeps its address.
func bytesOfSlice[T any](s []T) []byte {
	// SAFETY: the view is as large as the len(s) values of s.
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*sizeOf[T]())
}
