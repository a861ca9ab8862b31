package alloc

import "unsafe"

// addr returns the address of b's first byte, also when b is empty.
func addr(b []byte) uintptr {
	// SAFETY: the address is only compared, never turned back into a pointer.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
