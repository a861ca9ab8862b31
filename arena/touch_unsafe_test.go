package arena_test

import "unsafe"

// touch writes the byte at mem[i], also outside mem: to meet a guard page.
func touch(mem []byte, i int) {
	// SAFETY: reaches one byte beyond the slice on purpose, into a page that faults.
	*(*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), i)) = 1
}

// addressOf returns the address of b's first byte.
func addressOf(b []byte) uintptr {
	// SAFETY: a number for the test to look at.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}
