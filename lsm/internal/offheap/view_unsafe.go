package offheap

import (
	"fmt"
	"unsafe"
)

// Slice views b, which must begin at an address aligned for T, as len(b)/sizeof(T)
// values. T must not hold pointers: the collector does not look into b. The
// view lives as long as b.
func Slice[T any](b []byte) []T {
	var zero T
	size, align := unsafe.Sizeof(zero), unsafe.Alignof(zero)
	n := len(b) / int(size)
	if n == 0 {
		return nil
	}
	// SAFETY: the address is only looked at, to check its alignment.
	if addr := uintptr(unsafe.Pointer(unsafe.SliceData(b))); addr%align != 0 {
		panic(fmt.Sprintf("offheap: memory at %#x is not aligned to %d", addr, align))
	}
	// SAFETY: b is aligned and holds n values of T; the slice ends inside b.
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}
