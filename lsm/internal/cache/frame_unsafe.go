package cache

import "unsafe"

// SAFETY: Sizeof and arithmetic on constants; nothing is addressed.
const (
	_ = uint(SlotSize-int(unsafe.Sizeof(Slot{}))) + uint(int(unsafe.Sizeof(Slot{}))-SlotSize)     // SlotSize is right
	_ = uint(frameSize-int(unsafe.Sizeof(frame{}))) + uint(int(unsafe.Sizeof(frame{}))-frameSize) // frameSize is right
)
