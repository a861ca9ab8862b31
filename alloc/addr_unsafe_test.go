package alloc_test

import "unsafe"

// address returns the address of b's first byte.
func address(b []byte) uintptr {
	// SAFETY: the address is only looked at, never turned back into a pointer.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
