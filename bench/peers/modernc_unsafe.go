package peers

import (
	"unsafe"

	"modernc.org/memory"
)

// freeAt frees the block that b starts, whose length may be 0: the library's
// own Free looks at the capacity and ignores such a block.
func freeAt(a *memory.Allocator, b []byte) error {
	// SAFETY: the pointer is the base of a block of a's; it is not kept.
	return a.UnsafeFree(unsafe.Pointer(unsafe.SliceData(b)))
}
