package segregated

import "unsafe"

// roomBelow returns how many bytes below here are in the same place.
func roomBelow(here *byte) uintptr {
	// SAFETY: a number that is compared only.
	return uintptr(unsafe.Pointer(here)) % (1 << stackShift)
}
