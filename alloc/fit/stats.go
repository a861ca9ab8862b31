package fit

import (
	"errors"

	"github.com/memlab-go/memlab/alloc"
)

// counters is what the heap counts as it goes; law L6.
type counters struct {
	liveBlocks int
	live       int // usable bytes of used blocks
	requested  int // of these, bytes asked for
	freeBytes  int // bytes of free blocks, words included
	freeBlocks int

	mallocs, frees, failed uint64
	searched               uint64 // free blocks looked at, ever
	lastSearched           int    // the same in the last search
}

// countUsed adds n blocks (1 or -1) of usable bytes, slack of them unasked for.
func (c *counters) countUsed(usable, slack, n int) {
	c.liveBlocks += n
	c.live += n * usable
	c.requested += n * (usable - slack)
}

// Stats returns the heap's figures. Requested is exact: each tag keeps it.
// Metadata counts start bits, tags of used blocks, the epilogue and padding; the
// words of free blocks are part of Retained. O(blocks), and one question to the
// kernel for Resident. After Close only the counters are left, and every block
// counts as freed.
func (h *Heap) Stats() alloc.Stats {
	s := alloc.Stats{
		LiveBlocks: h.liveBlocks,
		Live:       h.live,
		Requested:  h.requested,
		Retained:   h.freeBytes,
		FreeBlocks: h.freeBlocks,
		Mallocs:    h.mallocs,
		Frees:      h.frees,
		Searched:   h.searched,
		Failed:     h.failed,
		Resident:   -1,
	}
	if h.closed {
		return alloc.Stats{Mallocs: h.mallocs, Frees: h.mallocs, Searched: h.searched, Failed: h.failed}
	}
	s.Reserved = len(h.mem.bytes)
	s.Committed = h.committedBytes()
	s.Metadata = h.metaCommitted + h.start - h.commitFrom + h.liveBlocks*h.o.Header + wordSize
	s.LargestFree = h.largestFree()
	if n, err := h.region.Resident(); err == nil {
		s.Resident = n
	}
	return s
}

// Searched returns how many blocks the last Malloc looked at: free ones on a
// list, all it walked over where the list is implicit.
func (h *Heap) Searched() int { return h.lastSearched }

// largestFree returns the bytes of the largest free block, as far as the walk
// over the heap gets. O(blocks).
func (h *Heap) largestFree() int {
	largest := 0
	for off := h.start; off < h.end; {
		t, wrong := h.readTag(off)
		if wrong != "" {
			break
		}
		if !t.used {
			largest = max(largest, t.size)
		}
		off += t.size
	}
	return largest
}

// noMemory returns the error of a request of size bytes that finds no room.
func (h *Heap) noMemory(op string, size int, cause error) error {
	return &alloc.NoMemoryError{Op: op, Requested: size, Limit: h.o.limitOr(h.max - h.start), LargestFree: h.largestFree(), Err: cause}
}

// failure counts err if it says that memory ran out, and returns it.
func (h *Heap) failure(size int, err error) error {
	if errors.Is(err, alloc.ErrNoMemory) {
		h.failed++
		h.emit(alloc.Event{Kind: alloc.EventFailed, Size: size})
	}
	return err
}
