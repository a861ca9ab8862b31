package table

import "unsafe"

// SAFETY: Sizeof and arithmetic on constants; nothing is addressed.
const _ = uint(entrySize-int(unsafe.Sizeof(entry{}))) + uint(int(unsafe.Sizeof(entry{}))-entrySize) // entrySize is right
