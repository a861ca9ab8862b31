package cache

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// newCache returns a cache whose heap is checked for leaks at the end.
func newCache(t testing.TB, budget, block, limit int) (*Cache, *alloc.LockedAllocator) {
	t.Helper()
	r, err := arena.Reserve(max(4<<20, 4*budget), &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	h, err := segregated.New(r, &segregated.Options{Limit: limit})
	require.NoError(t, err)
	locked := alloc.Locked(h)
	c, err := New(&Options{Heap: locked, Region: r, Budget: budget, BlockSize: block})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		require.NoError(t, h.Close())
		require.NoError(t, r.Close())
	})
	return c, locked
}

// fill makes h's block recognisable, and check recognises it.
func fill(b []byte, id int) {
	for i := range b {
		b[i] = byte(id + i)
	}
}

func check(t testing.TB, b []byte, id int) {
	t.Helper()
	for i := range b {
		if b[i] != byte(id+i) {
			t.Fatalf("block %d: byte %d is %d, want %d", id, i, b[i], byte(id+i))
		}
	}
}

// TestModel reads random blocks of random sizes through slots and compares the
// bytes; the budget is never passed.
func TestModel(t *testing.T) {
	for _, budget := range []int{0, 10_000, 100_000, 20 << 20} {
		c, _ := newCache(t, budget, 1000, 0)
		rng := rand.New(rand.NewPCG(uint64(budget), 1))
		slots := make([]Slot, 300)
		size := func(id int) int { return 1 + id*37%3000 }
		hits := 0
		var held []Handle
		var heldID []int
		for range 20_000 {
			id := rng.IntN(len(slots))
			h, ok := c.Get(&slots[id])
			if ok {
				hits++
			} else {
				h = c.Alloc(size(id))
				fill(h.Data(), id)
				c.Publish(&slots[id], &h)
			}
			require.Len(t, h.Data(), size(id))
			check(t, h.Data(), id)
			held, heldID = append(held, h), append(heldID, id)
			if len(held) > 3 {
				check(t, held[0].Data(), heldID[0])
				held[0].Release()
				held, heldID = held[1:], heldID[1:]
			}
			if rng.IntN(500) == 0 {
				lo := rng.IntN(len(slots))
				c.Drop(slots[lo:min(len(slots), lo+20)])
			}
		}
		st := c.Stats()
		require.LessOrEqual(t, st.Blocks+st.Pinned+st.Frames, max(st.Budget, st.Frames))
		if budget >= 20<<20 {
			require.Greater(t, hits, 15_000, "everything fits")
			require.Zero(t, st.Evictions+st.Overflow)
		}
		if budget == 0 {
			require.Zero(t, hits)
		}
		for i := range held {
			held[i].Release()
		}
		c.Drop(slots)
	}
}

// TestPinnedStays pins blocks until there is no room: the rest overflows to the
// Go heap, and what is pinned stays what it was.
func TestPinnedStays(t *testing.T) {
	c, _ := newCache(t, 100_000, 4096, 0)
	var hs []Handle
	slots := make([]Slot, 100)
	for i := range slots {
		h := c.Alloc(4096)
		fill(h.Data(), i)
		c.Publish(&slots[i], &h)
		hs = append(hs, h)
	}
	require.Positive(t, c.Stats().Overflow)
	require.LessOrEqual(t, c.Stats().Blocks, int64(100_000))
	for i := range hs {
		check(t, hs[i].Data(), i)
		hs[i].Release()
	}
}

// TestScanDoesNotFlush reads a hot set between the blocks of a long scan: the
// hot set stays.
func TestScanDoesNotFlush(t *testing.T) {
	c, _ := newCache(t, 64*4200, 4096, 0)
	hot, scan := make([]Slot, 20), make([]Slot, 2000)
	read := func(s *Slot) bool {
		h, ok := c.Get(s)
		if !ok {
			h = c.Alloc(4096)
			c.Publish(s, &h)
		}
		h.Release()
		return ok
	}
	misses := 0
	for i := range scan {
		read(&scan[i])
		if !read(&hot[i%len(hot)]) {
			misses++
		}
	}
	require.LessOrEqual(t, misses, 2*len(hot))
}

// TestHeapRunsOut gives the cache a heap with less room than its budget: it
// evicts until blocks fit.
func TestHeapRunsOut(t *testing.T) {
	c, _ := newCache(t, 2<<20, 4096, 1<<20)
	slots := make([]Slot, 1000)
	for i := range slots {
		h := c.Alloc(3000 + i)
		fill(h.Data(), i)
		c.Publish(&slots[i], &h)
		h.Release()
	}
	require.Positive(t, c.Stats().Evictions)
	require.Zero(t, c.Stats().Overflow)
	_, err := c.AllocPinned(3 << 20)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	b, err := c.AllocPinned(300_000)
	require.NoError(t, err, "blocks give way")
	require.Len(t, b, 300_000)
	c.FreePinned(b)
	require.Zero(t, c.Stats().Pinned)
}

// TestEmptyBlock caches blocks of no bytes: their memory goes back with them.
func TestEmptyBlock(t *testing.T) {
	c, locked := newCache(t, 1<<20, 4096, 0)
	before := locked.Stats().LiveBlocks
	for range 3 {
		var slots [2]Slot
		for i := range slots {
			h := c.Alloc(i)
			require.Len(t, h.Data(), i)
			c.Publish(&slots[i], &h)
			h.Release()
		}
		c.Drop(slots[:])
	}
	require.Equal(t, before, locked.Stats().LiveBlocks)
}

// TestPinnedTakesFromBlocks shows the one budget: what tables pin, blocks lose.
func TestPinnedTakesFromBlocks(t *testing.T) {
	c, _ := newCache(t, 1<<20, 4096, 0)
	slots := make([]Slot, 400)
	for i := range slots {
		h := c.Alloc(4096)
		c.Publish(&slots[i], &h)
		h.Release()
	}
	before := c.Stats().Blocks
	b, err := c.AllocPinned(600_000)
	require.NoError(t, err)
	st := c.Stats()
	require.Less(t, st.Blocks, before)
	require.LessOrEqual(t, st.Blocks+st.Pinned+st.Frames, int64(1<<20))
	c.FreePinned(b)
	c.Drop(slots)
	require.Zero(t, c.Stats().Blocks)
	require.Zero(t, c.Stats().NumBlocks)
}

func TestMark(t *testing.T) {
	c, _ := newCache(t, 1<<20, 4096, 0)
	slots := make([]Slot, 1)
	require.False(t, slots[0].Marked())
	slots[0].Mark()
	require.True(t, slots[0].Marked())
	_, ok := c.Get(&slots[0])
	require.False(t, ok)
	c.Drop(slots)
	require.False(t, slots[0].Marked())
}

func TestCloseReportsPins(t *testing.T) {
	r, err := arena.Reserve(4<<20, &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	h, err := segregated.New(r, nil)
	require.NoError(t, err)
	c, err := New(&Options{Heap: h, Region: r, Budget: 1 << 20})
	require.NoError(t, err)
	var s Slot
	p := c.Alloc(100)
	c.Publish(&s, &p)
	require.ErrorIs(t, c.Close(), alloc.ErrLeak)
	require.NoError(t, c.Close())
	require.ErrorIs(t, h.Close(), alloc.ErrLeak)
	require.NoError(t, r.Close())
}

// TestConcurrent lets goroutines read, drop and pin at once over few frames.
// Under the race detector it sees the memory, which is on the Go heap.
func TestConcurrent(t *testing.T) {
	c, _ := newCache(t, 60_000, 1000, 0)
	const ids = 100
	shared := make([]Slot, ids)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 9))
			for range 3000 {
				id := rng.IntN(ids)
				h, ok := c.Get(&shared[id])
				if !ok {
					h = c.Alloc(500 + id)
					fill(h.Data(), id)
					c.Publish(&shared[id], &h)
				}
				if len(h.Data()) != 500+id {
					t.Errorf("block %d has %d bytes", id, len(h.Data()))
				}
				check(t, h.Data(), id)
				h.Release()
				switch rng.IntN(100) {
				case 0:
					if b, err := c.AllocPinned(2000); err == nil {
						c.FreePinned(b)
					}
				case 1:
					c.Drop(shared[id : id+1])
				}
			}
		})
	}
	wg.Wait()
	c.Drop(shared)
}

func BenchmarkHit(b *testing.B) {
	c, _ := newCache(b, 1<<20, 4096, 0)
	slots := make([]Slot, 100)
	for i := range slots {
		h := c.Alloc(4096)
		c.Publish(&slots[i], &h)
		h.Release()
	}
	b.Run("pattern=round", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			h, _ := c.Get(&slots[i%100])
			h.Release()
			i++
		}
	})
	b.Run("pattern=parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			i := 0
			for pb.Next() {
				h, _ := c.Get(&slots[i%100])
				h.Release()
				i++
			}
		})
	})
}
