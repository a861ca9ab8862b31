package segregated

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestSharedCloseMeanwhile: who is in Calloc or Realloc, which write to memory, while
// another goroutine closes the heap gets a block or ErrClosed.
func TestSharedCloseMeanwhile(t *testing.T) {
	rounds := 6
	if raceEnabled || testing.Short() {
		rounds = 2
	}
	for _, backing := range []arena.Backing{arena.GoHeap, arena.Mmap} {
		for _, size := range []int{40, 900, 3000, 2 * fillBytes} {
			t.Run(fmt.Sprintf("%v/%d", backing, size), func(t *testing.T) {
				for range rounds {
					var r *arena.Region // the heap's own
					if backing == arena.GoHeap {
						var err error
						r, err = arena.Reserve(16<<20, &arena.Options{Backing: backing})
						require.NoError(t, err)
						defer r.Close()
					}
					s, err := NewShared(r, nil)
					require.NoError(t, err)
					h := s.Handle()
					var begun, all sync.WaitGroup
					for _, a := range []alloc.Allocator{s, s, h} {
						begun.Add(1)
						all.Go(func() { assert.ErrorIs(t, useUntilClosed(a, size, begun.Done), alloc.ErrClosed) })
					}
					begun.Wait()
					err = s.Close()
					if leak := (*alloc.LeakError)(nil); err != nil {
						require.ErrorAs(t, err, &leak)
					}
					all.Wait()
				}
			})
		}
	}
}

// useUntilClosed callocs, reallocs and frees blocks until that fails, and says why. It
// calls begun when it has done so once, or cannot.
func useUntilClosed(a alloc.Allocator, size int, begun func()) (err error) {
	var once sync.Once
	defer once.Do(begun)
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v", r))
			if f, ok := r.(*alloc.Fault); ok { // of Free, of a block that is dead
				err = f
			}
		}
	}()
	for {
		b, err := a.Calloc(1, size)
		if err != nil {
			return err
		}
		if b, err = a.Realloc(b, 2*size); err != nil {
			return err
		}
		a.Free(b)
		once.Do(begun)
	}
}

// TestRegionClosedFirst: whoever closes the region first has a heap that can be closed,
// and frees afterwards are refused without a look at the memory that is gone.
func TestRegionClosedFirst(t *testing.T) {
	for _, mode := range []Mode{Fast, Checked} {
		r, err := arena.Reserve(16<<20, nil)
		require.NoError(t, err)
		h, err := New(r, &Options{Mode: mode})
		require.NoError(t, err)
		b := must(t, h, 40)
		require.NoError(t, r.Close())
		require.ErrorIs(t, h.Close(), alloc.ErrClosed)
		require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrClosed)
	}
}

// TestSharedFreeAfterRegion: a Free after Close, and after the caller has closed the
// region, is refused, by a handle and by a goroutine with a claim.
func TestSharedFreeAfterRegion(t *testing.T) {
	for _, handle := range []bool{false, true} {
		r, err := arena.Reserve(16<<20, nil)
		require.NoError(t, err)
		s, err := NewShared(r, nil)
		require.NoError(t, err)
		var a alloc.Allocator = s
		if handle {
			a = s.Handle()
		}
		var b []byte
		for range 2000 { // so that the goroutine gets a claim
			b = must(t, a, 40)
		}
		require.Error(t, s.Close(), "there are live blocks")
		require.NoError(t, r.Close())
		require.ErrorIs(t, alloc.Try(func() { a.Free(b) }), alloc.ErrClosed)
	}
}
