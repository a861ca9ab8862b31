package alloc_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// A statsHeap is an allocator with figures and a check, to be locked.
type statsHeap interface {
	alloc.Allocator
	alloc.Checker
	Stats() alloc.Stats
	Close() error
}

// lockedHeaps returns heaps in Go-heap regions, where the race detector sees
// what is done to the metadata.
func lockedHeaps(t *testing.T) map[string]statsHeap {
	t.Helper()
	region := func() *arena.Region {
		r, err := arena.Reserve(16<<20, &arena.Options{Backing: arena.GoHeap})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		return r
	}
	list, err := fit.New(region(), nil)
	require.NoError(t, err)
	classes, err := segregated.New(region(), nil)
	require.NoError(t, err)
	return map[string]statsHeap{"fit": list, "segregated": classes}
}

// TestFaultLocked holds the rows about goroutines for any heap behind Locked.
func TestFaultLocked(t *testing.T) {
	t.Run("A42_concurrent_double_free", func(t *testing.T) {
		for name, h := range lockedHeaps(t) {
			t.Run(name, func(t *testing.T) { concurrentDoubleFree(t, h) })
		}
	})
	t.Run("A43_malloc_and_free_in_different_goroutines", func(t *testing.T) {
		for name, h := range lockedHeaps(t) {
			t.Run(name, func(t *testing.T) { freeElsewhere(t, h) })
		}
	})
}

// concurrentDoubleFree lets many goroutines free one block at once: exactly one
// of them succeeds, every time.
func concurrentDoubleFree(t *testing.T, h statsHeap) {
	const goroutines, rounds = 16, 100
	a := alloc.Locked(h)
	for i := range rounds {
		b, err := a.Malloc(1 + 37*i%3000)
		require.NoError(t, err)
		var freed, caught atomic.Int32
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				switch err := alloc.Try(func() { a.Free(b) }); {
				case err == nil:
					freed.Add(1)
				case errors.Is(err, alloc.ErrDoubleFree), errors.Is(err, alloc.ErrInvalidFree):
					// A block that has coalesced is no start of anything any more.
					caught.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, [2]int32{1, goroutines - 1}, [2]int32{freed.Load(), caught.Load()})
	}
	require.Zero(t, h.Stats().LiveBlocks)
	require.NoError(t, h.Check())
	require.NoError(t, h.Close())
}

// freeElsewhere lets 64 goroutines allocate and 64 others free what they are
// handed: no block is lost, none is handed out twice, the figures add up.
func freeElsewhere(t *testing.T, h statsHeap) {
	const pairs, each = 64, 50
	a := alloc.Locked(h)
	var wg sync.WaitGroup
	for g := range pairs {
		blocks := make(chan []byte, 8)
		wg.Go(func() {
			defer close(blocks)
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range each {
				b, err := a.Malloc(1 + rnd.IntN(2000))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range b {
					b[i] = byte(g)
				}
				blocks <- b
			}
		})
		wg.Go(func() {
			for b := range blocks {
				if !bytes.Equal(b, bytes.Repeat([]byte{byte(g)}, len(b))) {
					t.Errorf("a block of goroutine %d holds another's bytes", g)
				}
				a.Free(b)
			}
		})
	}
	wg.Wait()
	s := h.Stats()
	require.Zero(t, s.LiveBlocks)
	require.Equal(t, uint64(pairs*each), s.Mallocs)
	require.Equal(t, s.Mallocs, s.Frees)
	require.NoError(t, h.Check())
	require.NoError(t, h.Close())
}
