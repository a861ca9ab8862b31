package segregated

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// looksBytes is how much the goroutines of these tests allocate together.
const looksBytes = 32 << 20

// TestSharedLookGivesBack: what goroutines have freed before they ended goes back to the system, as far
// as a Heap gives it back, while one goroutine needs no more than it has at hand, and while nobody calls.
func TestSharedLookGivesBack(t *testing.T) {
	for _, size := range []int{100, 900, 5000} {
		plain := keptByHeap(t, size)
		for _, handle := range []bool{false, true} {
			if handle && size > MaxClass && (!canBias || !hasBarrier()) {
				continue // stocks stay
			}
			for _, busy := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%v/%v", size, handle, busy), func(t *testing.T) {
					s := freshSharedIn(t, 256<<20, &arena.Options{}, nil)
					s.keeper.every = 20 * time.Millisecond
					spread(t, s, size, handle)
					for end := time.Now().Add(20 * time.Second); s.committed() > plain+2<<20 && time.Now().Before(end); {
						if busy {
							s.Free(must(t, s, 64))
						} else {
							time.Sleep(s.keeper.every)
						}
					}
					require.LessOrEqual(t, s.committed(), plain+2<<20)
				})
			}
		}
	}
}

// keptByHeap returns what a Heap has committed that has done the same.
func keptByHeap(t *testing.T, size int) int {
	h := freshIn(t, 256<<20, &arena.Options{}, nil)
	allAndFree(t, h, size, looksBytes)
	for range 100_000 {
		h.Free(must(t, h, 64))
	}
	return int(h.committed)
}

// spread lets eight goroutines allocate blocks of so many bytes, and free them, by the heap or by
// handles that stay open.
func spread(t *testing.T, s *Shared, size int, handle bool) {
	var wg sync.WaitGroup
	for range 8 {
		var a alloc.Allocator = s
		if handle {
			a = s.Handle()
		}
		wg.Go(func() { allAndFree(t, a, size, looksBytes/8) })
	}
	wg.Wait()
}

// allAndFree allocates so many bytes in blocks of one size, and frees them.
func allAndFree(t *testing.T, a alloc.Allocator, size, bytes int) {
	var bs [][]byte
	for range bytes / size {
		b, err := a.Malloc(size)
		if !assert.NoError(t, err) {
			break
		}
		bs = append(bs, b)
	}
	for _, b := range bs {
		a.Free(b)
	}
}

// TestSharedLookStops: when there is nothing more to give back there are no looks, until somebody comes
// again for what the heap has: slots, by itself or by a handle, or a span.
func TestSharedLookStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
		h := s.Handle()
		stops := func() {
			t.Helper()
			time.Sleep(20 * lookEvery)
			synctest.Wait()
			require.False(t, s.keeper.wanted.Load())
		}
		stops()
		for _, a := range []alloc.Allocator{s, h} {
			for _, size := range []int{64, 5000, 1 << 20} {
				b := must(t, a, size)
				require.True(t, s.keeper.wanted.Load(), "%T %d", a, size)
				stops()
				a.Free(b)
				byShared, inStock := a == alloc.Allocator(s), size == 5000 && (!canBias || !hasBarrier())
				require.Equal(t, byShared || size > 64 && !inStock, s.keeper.wanted.Load(), "%T %d", a, size)
				stops()
			}
		}
	})
}

// TestSharedLookSerial: a heap of which every call takes the lock has no looks.
func TestSharedLookSerial(t *testing.T) {
	s := freshSharedIn(t, 64<<20, &arena.Options{}, &Options{Mode: Checked})
	s.Free(must(t, s, 100))
	require.False(t, s.keeper.wanted.Load())
}

// TestSharedLookCollected: a look that is to come does not keep a heap that nobody holds.
func TestSharedLookCollected(t *testing.T) {
	r, err := arena.Reserve(16<<20, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	gone := make(chan bool)
	func() {
		s, err := NewShared(r, nil)
		require.NoError(t, err)
		s.Free(must(t, s, 100))
		require.True(t, s.keeper.wanted.Load())
		runtime.AddCleanup(s, func(c chan bool) { close(c) }, gone)
	}()
	for done := false; !done; {
		runtime.GC()
		select {
		case <-gone:
			done = true
		case <-time.After(lookEvery / 1000):
		}
	}
	require.NoError(t, r.Close())
}

// TestSharedLookClose: looks that are under way while the heap is closed, and those that come afterwards,
// touch nothing of it; its region is closed at once.
func TestSharedLookClose(t *testing.T) {
	for _, backing := range []arena.Backing{arena.GoHeap, arena.Mmap} {
		for range 10 {
			r, err := arena.Reserve(16<<20, &arena.Options{Backing: backing})
			require.NoError(t, err)
			s, err := NewShared(r, nil)
			require.NoError(t, err)
			h := s.Handle()
			var begun, work, looks sync.WaitGroup
			for _, a := range []alloc.Allocator{s, s, h} {
				begun.Add(1)
				work.Go(func() { assert.ErrorIs(t, useUntilClosed(a, 900, begun.Done), alloc.ErrClosed) })
			}
			var end atomic.Bool
			for range 2 {
				looks.Go(func() {
					for !end.Load() {
						s.lookAround()
					}
				})
			}
			begun.Wait()
			_ = s.Close() // of leaks
			work.Wait()
			require.NoError(t, r.Close())
			s.lookAround()
			end.Store(true)
			looks.Wait()
		}
	}
}

// TestSharedLookLeavesBlocks: looks disturb no block of goroutines that are at work, or rest between
// two blocks.
func TestSharedLookLeavesBlocks(t *testing.T) {
	for name, open := range usersOf(freshSharedIn(t, 64<<20, &arena.Options{}, nil)) {
		t.Run(name, func(t *testing.T) {
			var work, looks sync.WaitGroup
			for i := range 4 {
				work.Go(func() {
					u := open()
					defer u.close()
					holdBlocks(t, u, byte(i+1))
				})
			}
			u := open()
			s := heapOf(u)
			var end atomic.Bool
			looks.Go(func() {
				for !end.Load() {
					s.lookAround()
					time.Sleep(lookEvery / 10000)
				}
			})
			work.Wait()
			end.Store(true)
			looks.Wait()
			u.close()
			require.NoError(t, s.Check())
			require.Zero(t, s.Stats().LiveBlocks)
		})
	}
}

// heapOf returns the heap that u is a user of.
func heapOf(u user) *Shared {
	if h, ok := u.Allocator.(*Handle); ok {
		return h.s
	}
	return u.Allocator.(*Shared)
}

// holdBlocks allocates and frees blocks that it fills with c, and compares what is in them.
func holdBlocks(t *testing.T, a alloc.Allocator, c byte) {
	var bs [100][]byte
	for i := range 200_000 / (1 + 9*raceFactor()) {
		at := &bs[i*7919%len(bs)]
		if *at != nil {
			if !assert.NoError(t, filled(*at, c)) {
				return
			}
			a.Free(*at)
		}
		size := []int{40, 100, 900, 5000}[i*31%100/26]
		b, err := a.Malloc(size)
		if !assert.NoError(t, err) {
			return
		}
		fill(b, c)
		if *at = b; i%1000 == 0 {
			time.Sleep(lookEvery / 1000)
		}
	}
	for _, b := range bs {
		assert.NoError(t, filled(b, c))
		a.Free(b)
	}
}

// raceFactor is 1 where everything takes longer.
func raceFactor() int {
	if raceEnabled || testing.Short() {
		return 1
	}
	return 0
}
