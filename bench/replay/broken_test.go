package replay

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
)

// testHeap is the least allocator that keeps the contract: it bumps through one
// slice and frees nothing. The fields break it in ways an oracle must notice.
type testHeap struct {
	mem []byte
	off int

	skew      int                                      // added to every address
	sameBlock bool                                     // hand out the same block again and again
	lossy     bool                                     // realloc forgets the contents
	dirty     bool                                     // calloc does not clear
	roomy     bool                                     // cap exceeds len
	short     bool                                     // len is smaller than asked for
	scribble  func(b []byte)                           // sees every block at Malloc
	checkErr  error                                    // what Check says
	panicAt   int                                      // countdown to a panic in Free
	nilBlock  bool                                     // Malloc returns nil, nil
	keep      bool                                     // realloc to 0 returns a block
	frees     int                                      // calls to Free
	realloc   func(b []byte, size int) ([]byte, error) // instead of Realloc
}

func (h *testHeap) Malloc(size int) ([]byte, error) {
	if size < 0 {
		return nil, alloc.ErrSize
	}
	if h.nilBlock {
		return nil, nil
	}
	at := h.off + h.skew
	need := (max(size, 1) + 15) &^ 15
	if at+need > len(h.mem) {
		return nil, &alloc.NoMemoryError{Op: "malloc", Requested: size, Limit: len(h.mem), LargestFree: len(h.mem) - h.off}
	}
	if !h.sameBlock {
		h.off += need
	}
	b := h.mem[at : at+need]
	if h.scribble != nil {
		h.scribble(b)
	}
	switch {
	case h.roomy:
		return b[:size], nil
	case h.short && size > 1:
		return b[: size-1 : size-1], nil
	}
	return b[:size:size], nil
}

func (h *testHeap) Calloc(count, size int) ([]byte, error) {
	b, err := h.Malloc(count * size)
	if !h.dirty {
		clear(b)
	}
	return b, err
}

func (h *testHeap) Realloc(b []byte, size int) ([]byte, error) {
	if h.realloc != nil {
		return h.realloc(b, size)
	}
	if b != nil && size == 0 && !h.keep {
		return nil, nil
	}
	nb, err := h.Malloc(size)
	if !h.lossy {
		copy(nb, b)
	}
	return nb, err
}

func (h *testHeap) Free(b []byte) {
	h.frees++
	if h.panicAt > 0 {
		if h.panicAt--; h.panicAt == 0 {
			panic(&alloc.Fault{Op: "free", Err: alloc.ErrDoubleFree})
		}
	}
}

func (h *testHeap) Check() error { return h.checkErr }
func (h *testHeap) Close() error { return fmt.Errorf("test: %w", alloc.ErrLeak) }

func (h *testHeap) Stats() alloc.Stats {
	return alloc.Stats{Live: h.off, Requested: h.off, Committed: len(h.mem), Retained: len(h.mem) - h.off, LargestFree: len(h.mem) - h.off}
}

// entry wraps a test heap; change may break it.
func entry(change func(*testHeap)) Entry {
	return Entry{Name: "test", Align: 16, New: func(c Config) (Heap, error) {
		size := 1 << 20
		if c.Limit > 0 {
			size = c.Limit
		}
		h := &testHeap{mem: alignedBytes(size)}
		for i := range h.mem {
			h.mem[i] = 0xee
		}
		if change != nil {
			change(h)
		}
		return h, nil
	}}
}

// alignedBytes returns size bytes that start at a multiple of 64.
func alignedBytes(size int) []byte {
	b := make([]byte, size+64)
	skip := int(-address(b) & 63)
	return b[skip:][:size:size]
}

var errLaw = errors.New("law broken")
