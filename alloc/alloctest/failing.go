package alloctest

import (
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// Failing returns an allocator that is a, except that the n-th call of Malloc,
// Calloc or growing Realloc, counted from 1, fails with [alloc.ErrNoMemory].
// With n = 1, 2, 3, … until [FailingAllocator.Failed] is false, a workload is
// taken through each of its failures.
func Failing(a alloc.Allocator, n int) *FailingAllocator {
	return &FailingAllocator{Allocator: a, N: n}
}

// A FailingAllocator fails one allocation; see [Failing]. It has the four
// verbs only, whatever its allocator has. It is not safe for concurrent use.
type FailingAllocator struct {
	alloc.Allocator
	N     int  // the call to fail, from 1
	After bool // fail the calls after it too

	calls  int
	failed bool
}

// Malloc fails if it is the call to fail.
func (f *FailingAllocator) Malloc(size int) ([]byte, error) {
	if err := f.fail("malloc", size); err != nil {
		return nil, err
	}
	return f.Allocator.Malloc(size)
}

// Calloc fails if it is the call to fail.
func (f *FailingAllocator) Calloc(count, size int) ([]byte, error) {
	if err := f.fail("calloc", size); err != nil {
		return nil, err
	}
	return f.Allocator.Calloc(count, size)
}

// Realloc fails if it asks for more bytes than b has and is the call to fail.
func (f *FailingAllocator) Realloc(b []byte, size int) ([]byte, error) {
	if b == nil || size > len(b) {
		if err := f.fail("realloc", size); err != nil {
			return nil, err
		}
	}
	return f.Allocator.Realloc(b, size)
}

// Calls returns how many calls could have failed so far.
func (f *FailingAllocator) Calls() int { return f.calls }

// Failed reports whether a call was made to fail.
func (f *FailingAllocator) Failed() bool { return f.failed }

func (f *FailingAllocator) fail(op string, size int) error {
	f.calls++
	if f.calls != f.N && !(f.After && f.calls > f.N) {
		return nil
	}
	f.failed = true
	return &alloc.NoMemoryError{Op: op, Requested: size}
}

// NoLeaks fails t at its end, with a list, if a has live blocks then that it
// did not have when NoLeaks was called. a must be a Walker or a Statser.
func NoLeaks(t testing.TB, a alloc.Allocator) {
	t.Helper()
	before := map[alloc.Block]bool{}
	w, walks := a.(alloc.Walker)
	if walks {
		for b := range w.Blocks() {
			before[b] = true
		}
	}
	s, counts := a.(alloc.Statser)
	if !walks && !counts {
		t.Fatalf("NoLeaks: %T can neither walk nor count its blocks", a)
	}
	live := 0
	if counts {
		live = s.Stats().LiveBlocks
	}
	t.Cleanup(func() {
		if counts {
			if now := s.Stats().LiveBlocks; now > live {
				t.Errorf("leak: %d live blocks more than at the start", now-live)
			}
		}
		if !walks {
			return
		}
		for b := range w.Blocks() {
			if b.Used && !before[b] {
				t.Errorf("leak: %d bytes at %#x", b.Size, uint64(b.Off))
			}
		}
	})
}
