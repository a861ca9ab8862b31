package alloc

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
)

// Locked returns a with a mutex around every call, safe for concurrent use by
// any number of goroutines. a must not be used directly afterwards.
//
// The optional interfaces stay available: each method of the result asks a, and
// does what it says where a lacks it. [segregated.Shared] scales with
// cores where this does not.
//
// [segregated.Shared]: https://pkg.go.dev/github.com/memlab-go/memlab/alloc/segregated#Shared
func Locked(a Allocator) *LockedAllocator { return &LockedAllocator{a: a} }

// A LockedAllocator is an allocator behind a mutex; see [Locked]. It is safe
// for concurrent use.
type LockedAllocator struct {
	mu sync.Mutex
	a  Allocator
}

// Malloc is a's Malloc under the lock.
func (l *LockedAllocator) Malloc(size int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.a.Malloc(size)
}

// Calloc is a's Calloc under the lock.
func (l *LockedAllocator) Calloc(count, size int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.a.Calloc(count, size)
}

// Realloc is a's Realloc under the lock.
func (l *LockedAllocator) Realloc(b []byte, size int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.a.Realloc(b, size)
}

// Free is a's Free under the lock. The lock is released when it panics.
func (l *LockedAllocator) Free(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.a.Free(b)
}

// MallocAligned is a's, or an [errors.ErrUnsupported] if a is not [Aligned].
func (l *LockedAllocator) MallocAligned(size, align int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if al, ok := l.a.(Aligned); ok {
		return al.MallocAligned(size, align)
	}
	return nil, l.notAligned()
}

// ReallocAligned is a's, or an [errors.ErrUnsupported] if a is not [Aligned].
func (l *LockedAllocator) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if al, ok := l.a.(Aligned); ok {
		return al.ReallocAligned(b, size, align)
	}
	return nil, l.notAligned()
}

// notAligned is the error of a call with an alignment where a takes none.
func (l *LockedAllocator) notAligned() error {
	return fmt.Errorf("alloc: %T takes no alignment: %w", l.a, errors.ErrUnsupported)
}

// Usable is a's, or cap(b) if a is no [Sizer].
func (l *LockedAllocator) Usable(b []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Usable(l.a, b)
}

// Stats is a's, or zero if a is no [Statser].
func (l *LockedAllocator) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.a.(Statser); ok {
		return s.Stats()
	}
	return Stats{}
}

// Blocks returns an iterator over a snapshot of a's blocks, taken under the
// lock when the iteration starts: the loop's body may call the allocator. It is
// empty if a is no [Walker].
func (l *LockedAllocator) Blocks() iter.Seq[Block] {
	return func(yield func(Block) bool) {
		for _, b := range l.snapshot() {
			if !yield(b) {
				return
			}
		}
	}
}

func (l *LockedAllocator) snapshot() []Block {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w, ok := l.a.(Walker); ok {
		return slices.Collect(w.Blocks())
	}
	return nil
}

// Check is a's, or nil if a is no [Checker].
func (l *LockedAllocator) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.a.(Checker); ok {
		return c.Check()
	}
	return nil
}

// Close closes a if it is an [io.Closer]. Calls that wait for the lock then
// fail with whatever a says after Close.
func (l *LockedAllocator) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.a.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Unwrap returns the allocator behind the lock.
func (l *LockedAllocator) Unwrap() Allocator { return l.a }
