package fit

import "unsafe"

// addr returns the address of b's first byte, also when b is empty.
func addr(b []byte) uintptr {
	// SAFETY: the address is only compared, never turned back into a pointer.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// emptyView returns the empty slice whose address is that of mem[off]. Slicing
// mem to capacity 0 would yield the address of mem[0].
func emptyView(mem []byte, off int) []byte {
	// SAFETY: &mem[off] is bounds-checked, and a view of no bytes reads none.
	return unsafe.Slice(&mem[off], 0)
}
