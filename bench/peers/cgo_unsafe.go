//go:build cgomalloc && cgo

package peers

// #include <stdlib.h>
import "C"

import (
	"errors"
	"unsafe"

	"github.com/memlab-go/memlab/bench/replay"
)

// cgoPeers returns the C library's malloc called through cgo.
func cgoPeers() []Peer {
	return []Peer{{Name: "cgo", Go: &replay.Entry{Name: "cgo", About: "C.malloc through cgo", Align: 16, New: func(replay.Config) (replay.Heap, error) {
		return cMalloc{}, nil
	}}, Shared: func() (*crowd, error) { return all(cMalloc{}), nil }}}
}

// cMalloc is C's malloc behind alloc.Allocator.
type cMalloc struct{}

var errNoMemory = errors.New("peers: C.malloc returned NULL")

func view(p unsafe.Pointer, size int) ([]byte, error) {
	if p == nil {
		return nil, errNoMemory
	}
	// SAFETY: C handed out size bytes at p, or more.
	return unsafe.Slice((*byte)(p), size), nil
}

// Malloc returns a block.
func (cMalloc) Malloc(size int) ([]byte, error) {
	return view(C.malloc(C.size_t(max(size, 1))), size)
}

// Calloc returns a zeroed block.
func (cMalloc) Calloc(count, size int) ([]byte, error) {
	return view(C.calloc(C.size_t(max(count, 1)), C.size_t(max(size, 1))), count*size)
}

// Realloc changes the size of b.
func (c cMalloc) Realloc(b []byte, size int) ([]byte, error) {
	if b != nil && size == 0 {
		c.Free(b)
		return nil, nil
	}
	// SAFETY: b is nil or what C handed out.
	return view(C.realloc(unsafe.Pointer(unsafe.SliceData(b)), C.size_t(max(size, 1))), size)
}

// Free takes b back.
func (cMalloc) Free(b []byte) {
	// SAFETY: b is nil or what C handed out.
	C.free(unsafe.Pointer(unsafe.SliceData(b)))
}

// Close does nothing.
func (cMalloc) Close() error { return nil }
