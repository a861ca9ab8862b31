package arena

import "unsafe"

// offsetIn returns the distance of b's base from the start of mem, and whether
// it lies in mem. Nothing is dereferenced. The end of mem counts as inside for
// an empty b only.
func offsetIn(mem, b []byte) (Offset, bool) {
	// SAFETY: the addresses are compared as numbers and not turned back into pointers.
	base, p := uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if p < base || b == nil || mem == nil {
		return 0, false
	}
	off := p - base
	return Offset(off), off < uintptr(len(mem)) || off == uintptr(len(mem)) && len(b) == 0
}

// address returns the address of b's base as a number, for aligning and for
// system calls.
func address(b []byte) uintptr {
	// SAFETY: a number from here on; never turned back into a pointer.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
