package replay

import (
	"math/bits"
	"runtime"
	"runtime/debug"

	"github.com/memlab-go/memlab/alloc"
)

// goHeap is Go's own heap behind the Allocator interface: Malloc is make, Free
// forgets, and the collector does the rest. It detects no misuse.
type goHeap struct {
	committed, live uint64 // of the process before the heap was made
}

func newGoHeap(Config) (Heap, error) {
	debug.FreeOSMemory()
	var h goHeap
	h.committed, h.live = goMemory()
	return h, nil
}

// goMemory returns the bytes that the Go runtime holds and has not given back,
// and those of its heap that are in use or not yet collected.
func goMemory() (committed, live uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased, m.HeapAlloc
}

// Stats returns how the runtime's own figures have grown since the heap was
// made. Blocks are not counted.
func (h goHeap) Stats() alloc.Stats {
	committed, live := goMemory()
	return alloc.Stats{Committed: grown(committed, h.committed), Live: grown(live, h.live), Requested: grown(live, h.live), Resident: -1}
}

func grown(now, before uint64) int { return int(max(now, before) - before) }

// goLargest is the largest block in bytes that is asked of make: as much as the
// other heaps have address space for.
const goLargest = 1 << (30 + 6*(^uint(0)>>63))

// Malloc returns a fresh slice. It is zeroed, since make cannot do otherwise.
// More than goLargest bytes are ErrNoMemory, for a make that the system cannot
// serve ends the process.
func (goHeap) Malloc(size int) ([]byte, error) {
	if size <= 0 {
		if size < 0 {
			return nil, alloc.ErrSize
		}
		return make([]byte, 1)[:0:0], nil // a base of its own, as the contract asks
	}
	if uint64(size) > goLargest {
		return nil, &alloc.NoMemoryError{Op: "malloc", Requested: size, Limit: goLargest, LargestFree: goLargest}
	}
	return make([]byte, size), nil
}

// Calloc returns a fresh slice of count*size bytes.
func (h goHeap) Calloc(count, size int) ([]byte, error) {
	hi, lo := bits.Mul(uint(count), uint(size))
	if count < 0 || size < 0 || hi != 0 || int(lo) < 0 {
		return nil, alloc.ErrSize
	}
	return h.Malloc(int(lo))
}

// Realloc shrinks in place and grows by copying.
func (h goHeap) Realloc(b []byte, size int) ([]byte, error) {
	switch {
	case b == nil:
		return h.Malloc(size)
	case size == 0:
		return nil, nil
	case size > 0 && size <= len(b):
		return b[:size:size], nil
	}
	grown, err := h.Malloc(size)
	copy(grown, b)
	return grown, err
}

// Free leaves b to the collector.
func (goHeap) Free([]byte) {}

// Close does nothing.
func (goHeap) Close() error { return nil }
