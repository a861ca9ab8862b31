package segregated

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

func TestStockSizes(t *testing.T) {
	for n := uint64(stockFirst); n <= stockMax; n++ {
		i := stockBin(n)
		require.Less(t, i, uint(stockBuckets))
		require.LessOrEqual(t, stockSize(i), n)
		if n < stockMax {
			require.Greater(t, stockSize(i+1), n)
		}
		up := stockSize(stockBin(n-1) + 1)
		require.True(t, n <= up && up-n < max(n/8, 1)+1, "%d becomes %d", n, up)
	}
	require.False(t, isStockSize(stockFirst-1))
	require.False(t, isStockSize(stockMax+1))
	w := liveSpan(1<<40-1, stockMax)
	require.True(t, w.isLiveAt(1<<40-1) && !w.isLiveAt(1<<40-2) && !w.stocked().isLiveAt(1<<40-1))
	require.True(t, w.stocked().isOf(1<<40-1))
	require.Equal(t, uint64(stockMax), w.size())
	require.Equal(t, uint64(1<<40-1), w.stocked().start())
}

// TestStockMay: all stocks together are bounded by the region, or the limit if that is less, and each by
// its part of that.
func TestStockMay(t *testing.T) {
	for _, c := range []struct{ region, limit int }{{8 << 20, 0}, {64 << 20, 8 << 20}, {64 << 20, 0}} {
		s := freshSharedIn(t, c.region, &arena.Options{}, &Options{Limit: c.limit})
		must(t, s, 4<<20)
		all := uint64(c.region)
		if c.limit != 0 {
			all = uint64(c.limit)
		}
		all >>= granuleShift
		for _, n := range []int32{1, 2, 64} {
			s.stocks.Store(n)
			may := s.stockMay()
			require.LessOrEqual(t, may, all/stockRegion, "%v of %d", c, n)
			require.LessOrEqual(t, may, all/stocksRegion/uint64(max(n, 2)), "%v of %d", c, n)
			if c.region > 8<<20 && c.limit == 0 {
				require.GreaterOrEqual(t, may, min(uint64(stockLeast), all/stocksRegion/uint64(max(n, 2))*9/10))
			}
		}
		s.stocks.Store(0)
	}
}

// TestStockResize: a stock grows when it gave up much, shrinks when half of it is not used, and both
// within what it may.
func TestStockResize(t *testing.T) {
	const most = 4 * stockLeast
	for _, c := range []struct{ dropped, low, may, want uint64 }{
		{visitEvery / 2, 0, 100 * most, 2 * most},
		{visitEvery/2 - 1, 0, 100 * most, most},
		{0, most/2 + 1, 100 * most, most / 2},
		{0, most / 2, 100 * most, most},
		{visitEvery, most, most + 1, most + 1},
		{0, 0, stockLeast / 2, stockLeast / 2},
	} {
		st := &stock{most: most, dropped: c.dropped, low: c.low, total: 7}
		st.resize(c.may)
		require.Equal(t, c.want, st.most, "%+v", c)
		require.Equal(t, [2]uint64{0, 7}, [2]uint64{st.dropped, st.low})
	}
	st := &stock{}
	st.resize(most)
	require.EqualValues(t, stockLeast, st.most, "at first")
}

// TestStockShutWaits: who shuts a stock waits for the turn of its goroutine to end.
func TestStockShutWaits(t *testing.T) {
	if !canBias || !hasBarrier() {
		t.Skip("nobody can be waited for")
	}
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	h := s.Handle()
	h.Free(must(t, h, 5000))
	atomic.StoreUint64(&h.turn, 1)
	done := make(chan int)
	go func() { done <- h.shutStock(false) }()
	for range 100 {
		runtime.Gosched()
		select {
		case <-done:
			t.Fatal("it has not waited")
		default:
		}
	}
	require.EqualValues(t, 5120>>granuleShift, h.stock.holds(), "it is still there")
	atomic.StoreUint64(&h.turn, 0)
	require.Equal(t, 1, <-done)
	require.NoError(t, h.Close())
}

// TestStock: what a handle frees it gets again, and meanwhile it is nobody's block.
func TestStock(t *testing.T) {
	for _, b := range []arena.Backing{arena.GoHeap, arena.Mmap} {
		t.Run(b.String(), func(t *testing.T) {
			s := freshSharedIn(t, 64<<20, &arena.Options{Backing: b}, nil)
			h := s.Handle()
			p, q := must(t, h, 5000), must(t, s, 5000)
			require.Equal(t, 5120, s.Usable(p))
			h.Free(p)
			require.Equal(t, uint64(5120>>granuleShift), h.stock.total)
			require.Equal(t, 1, s.Stats().LiveBlocks)
			require.Equal(t, 5120, s.Stats().Live)
			require.NoError(t, s.Check())
			for v := range s.Blocks() {
				require.Equal(t, v.Used, uintptr(v.Off) == addrOf(q)-uintptr(s.base))
			}
			for name, bad := range map[string]func(){
				"free":         func() { s.Free(p) },
				"handle":       func() { h.Free(p) },
				"cut":          func() { s.Free(p[:10:10]) },
				"realloc":      func() { _, _ = s.Realloc(p, 10_000) },
				"usable":       func() { s.Usable(p) },
				"handle moves": func() { _, _ = h.Realloc(p, 10) },
			} {
				require.ErrorIs(t, alloc.Try(bad), alloc.ErrDoubleFree, name)
			}
			for _, at := range []int{1, 16, 64, 1024, 4096} {
				require.ErrorIs(t, alloc.Try(func() { h.Free(q[at:]) }), alloc.ErrInvalidFree)
			}
			central := s.h.mallocs
			again := must(t, h, 4700)
			require.Equal(t, addrOf(p), addrOf(again))
			require.Equal(t, central, s.h.mallocs, "the best-fit space was asked")
			require.Equal(t, 2, s.Stats().LiveBlocks)
			s.Free(again)
			h.Free(q)
			st := s.Stats()
			require.Equal(t, [3]uint64{3, 3, 0}, [3]uint64{st.Mallocs, st.Frees, uint64(st.LiveBlocks)})
			require.NoError(t, h.Close())
			require.Zero(t, h.stock.total)
			require.Equal(t, s.h.mallocs, s.h.frees, "spans are left")
			require.Equal(t, st.Frees, s.Stats().Frees)
			require.NoError(t, s.Check())
			h = s.Handle()
			h.Free(must(t, h, 5000))
			require.NoError(t, s.Close())
			st = s.Stats()
			require.Equal(t, [3]uint64{4, 4, 0}, [3]uint64{st.Mallocs, st.Frees, uint64(st.LiveBlocks)})
		})
	}
}

// TestStockReallocs: a block that Realloc has changed goes where its size belongs.
func TestStockReallocs(t *testing.T) {
	s := freshSharedIn(t, 64<<20, nil, nil)
	h := s.Handle()
	b := must(t, h, 2000)
	for _, size := range []int{3000, 70_000, 500_000, 40_000, 1100, 900, 300_000, 20_000} {
		moved, err := h.Realloc(b, size)
		require.NoError(t, err)
		b = moved
		require.GreaterOrEqual(t, s.Usable(b), size)
		require.NoError(t, s.Check())
		require.Equal(t, 1, s.Stats().LiveBlocks)
	}
	h.Free(b)
	a, err := h.MallocAligned(5000, 4096)
	require.NoError(t, err)
	h.Free(a)
	z := must(t, h, 1<<20)
	h.Free(z)
	require.NoError(t, s.Check())
	require.Zero(t, s.Stats().LiveBlocks)
}

// TestStocksAreBounded: several handles in turn, each of which frees all that it has, keep no more
// than their share of what was in use: what one keeps does not count for the others.
func TestStocksAreBounded(t *testing.T) {
	const most = 512 << 10 // bytes in use, and a block
	s := freshSharedIn(t, 512<<20, nil, nil)
	var hs [8]*Handle
	for i := range hs {
		hs[i] = s.Handle()
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		for _, h := range hs {
			var live [][]byte
			for sum := 0; sum < most; {
				n := 1100 + r.IntN(8000)
				live = append(live, must(t, h, n))
				sum += n
			}
			for _, b := range live {
				h.Free(b)
			}
		}
	}
	total := uint64(0)
	for _, h := range hs {
		total += h.stock.holds()
	}
	require.NotZero(t, total)
	require.LessOrEqual(t, total, uint64(most)*stocksTimes>>granuleShift)
	require.NoError(t, s.Check())
}

// TestStockGivesUp: a stock that may not hold more gives to others what it holds, and so
// does one without memory, and one that nobody uses any more.
func TestStockGivesUp(t *testing.T) {
	s := freshSharedIn(t, 16<<20, nil, nil)
	h := s.Handle()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var live [][]byte
		for range 100 {
			live = append(live, must(t, h, 1100+r.IntN(60_000)))
		}
		for _, b := range live {
			h.Free(b)
			require.LessOrEqual(t, h.stock.total, max(h.stock.most, stockLeast))
		}
	}
	require.NotZero(t, h.stock.total)
	require.NoError(t, s.Check())
	kept := h.stock.total
	for size := 8 << 20; size > 1<<10; size /= 2 {
		for {
			if _, err := h.Malloc(size); err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				break
			}
		}
	}
	require.Less(t, h.stock.total, max(kept, 1))
	require.NoError(t, s.Check())

	s = claimed(t)
	inPlace(t, func() {
		k := earn(t, s)
		b := must(t, s, 10_000)
		s.Free(b)
		require.NotZero(t, k.stock.total)
		require.ErrorIs(t, alloc.Try(func() { s.Free(b) }), alloc.ErrDoubleFree)
		s.Trim()
		require.Zero(t, k.stock.total)
		require.Equal(t, s.h.hdr.first, s.h.top, "spans are left")
		s.Free(must(t, s, 10_000))
		s.Free(must(t, s, 10_000))
		require.True(t, k == s.nobody || k.stock.isOpen(), "the stock stays shut")
	})
}

// TestStockRace: of goroutines that free one block at the same time one succeeds, whatever
// stock it goes to, and no block is somebody's twice.
func TestStockRace(t *testing.T) {
	const users, rounds = 4, 300
	s := freshSharedIn(t, 64<<20, &arena.Options{Backing: arena.GoHeap}, nil)
	var owner sync.Map
	for round := range rounds {
		blocks := make([][]byte, 20)
		for i := range blocks {
			blocks[i] = must(t, s, 1100+i*700)
			_, twice := owner.Swap(addrOf(blocks[i]), round)
			require.False(t, twice, "a block was handed out twice")
		}
		for _, b := range blocks {
			owner.Delete(addrOf(b))
		}
		var freed, faults atomic.Int32
		var all sync.WaitGroup
		for i := range users {
			all.Go(func() {
				free := s.Free
				if i%2 == 0 {
					h := s.Handle()
					defer h.Close()
					free = h.Free
				}
				for _, b := range blocks {
					if err := alloc.Try(func() { free(b) }); err == nil {
						freed.Add(1)
					} else {
						faults.Add(1)
					}
				}
			})
		}
		all.Wait()
		require.Equal(t, int32(len(blocks)), freed.Load())
		require.Equal(t, int32(len(blocks)*(users-1)), faults.Load())
		if round%50 == 0 {
			require.NoError(t, s.Check())
			require.Zero(t, s.Stats().LiveBlocks)
		}
	}
}

// TestStockDamage: damage of what a stock refers to is found, and ends the heap.
func TestStockDamage(t *testing.T) {
	s := freshSharedIn(t, 64<<20, nil, nil)
	h := s.Handle()
	p, q := must(t, h, 5000), must(t, h, 5000)
	off := addrOf(p) - uintptr(s.base)
	w, at := s.word(off >> unitShift)
	*at = w ^ 1<<spanSizeShift
	require.ErrorContains(t, s.h.look(), "word of the span")
	*at = w
	h.Free(p)
	*s.h.rowOf(uint64(off >> granuleShift)) = 0
	require.NoError(t, alloc.Try(func() { require.NoError(t, h.Close()) }))
	require.ErrorIs(t, s.Check(), alloc.ErrCorrupt)
	require.ErrorIs(t, alloc.Try(func() { s.Free(q) }), alloc.ErrCorrupt)
}

// TestStockFaultKinds: what was freed is reported as that, though it may just be taken again.
func TestStockFaultKinds(t *testing.T) {
	s := freshSharedIn(t, 64<<20, nil, nil)
	h := s.Handle()
	b := must(t, h, 5000)
	h.Free(b)
	for name, bad := range map[string]func(){
		"free":    func() { s.Free(b) },
		"realloc": func() { _, _ = s.Realloc(b, 0) },
		"usable":  func() { s.Usable(b) },
	} {
		t.Run(name, func(t *testing.T) {
			var stop atomic.Bool
			var other sync.WaitGroup
			other.Go(func() {
				for !stop.Load() {
					x, _ := h.Malloc(5000)
					_ = alloc.Try(func() { h.Free(x) }) // it may be freed by now
				}
			})
			for range 100_000 {
				if err := alloc.Try(bad); err != nil && !errors.Is(err, alloc.ErrDoubleFree) {
					t.Error(err)
					break
				}
			}
			stop.Store(true)
			other.Wait()
		})
	}
}

// TestStockStats: others may ask for figures while a goroutine is at its stock.
func TestStockStats(t *testing.T) {
	s := freshSharedIn(t, 64<<20, nil, nil)
	var done atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		defer done.Store(true)
		h := s.Handle()
		defer h.Close()
		for range 2000 {
			h.Free(must(t, h, 5000))
		}
	})
	for !done.Load() {
		s.Stats()
		s.Trim()
		runtime.Gosched()
	}
	other.Wait()
	require.NoError(t, s.Check())
	require.Zero(t, s.Stats().LiveBlocks)
}

// TestStocksOfManyHandles: what they hold is no more than a part of a small heap, and is found when
// there is no other memory.
func TestStocksOfManyHandles(t *testing.T) {
	s := freshSharedIn(t, 8<<20, nil, nil)
	for range 64 {
		h := s.Handle()
		var bs [][]byte
		for range 8 {
			b, err := h.Malloc(15 << 10)
			if err != nil {
				break
			}
			bs = append(bs, b)
		}
		for _, b := range bs {
			h.Free(b)
		}
	}
	require.Zero(t, s.Stats().LiveBlocks)
	n := 0
	for ; ; n += 30 << 10 {
		if _, err := s.Malloc(30 << 10); err != nil {
			break
		}
	}
	require.Greater(t, n, 6<<20)

	for name, call := range map[string]func(h *Handle) ([]byte, error){
		"malloc":  func(h *Handle) ([]byte, error) { return h.Malloc(8000) },
		"calloc":  func(h *Handle) ([]byte, error) { return h.Calloc(1, 8000) },
		"aligned": func(h *Handle) ([]byte, error) { return h.MallocAligned(4096, 64) },
		"run":     func(h *Handle) ([]byte, error) { return h.Malloc(128) },
		"realloc": func(h *Handle) ([]byte, error) { return h.Realloc(nil, 8000) },
	} {
		t.Run(name, func(t *testing.T) {
			s := freshSharedIn(t, 64<<20, nil, nil)
			h := s.Handle()
			var mine [][]byte
			for range 8 {
				mine = append(mine, must(t, h, 14000))
			}
			for size := 8 << 20; size >= 16; size /= 2 {
				for {
					if _, err := s.Malloc(size); err != nil {
						break
					}
				}
			}
			for _, b := range mine {
				h.Free(b)
			}
			require.NotZero(t, h.stock.total)
			_, err := call(h)
			require.NoError(t, err)
			require.NoError(t, s.Check())
		})
	}
}

// TestStockFailed: a call that fails is counted once, whatever was tried.
func TestStockFailed(t *testing.T) {
	s := freshSharedIn(t, 4<<20, nil, nil)
	errs := uint64(0)
	for size := 256 << 10; size > 2048; size = size * 15 / 16 {
		for {
			if _, err := s.Malloc(size); err != nil {
				errs++
				break
			}
		}
	}
	require.Equal(t, errs, s.Stats().Failed)
}

// TestSharedAlignedWithoutRuns: a block that has a class, but no room for a run, is aligned as well.
func TestSharedAlignedWithoutRuns(t *testing.T) {
	s := freshSharedIn(t, 512<<10, nil, nil)
	var all [][]byte
	for {
		b, err := s.Malloc(1100)
		if err != nil {
			break
		}
		all = append(all, b)
	}
	for i := 0; i < len(all); i += 2 {
		s.Free(all[i])
	}
	for range 100 {
		b, err := s.MallocAligned(100, 256)
		if err != nil {
			return
		}
		require.Zero(t, addrOf(b)%256)
	}
}

// TestStockDamageIsTold: the Free that finds damage when its block goes to the best-fit space says so.
func TestStockDamageIsTold(t *testing.T) {
	s := freshSharedIn(t, 64<<20, nil, nil)
	must(t, s, 5000)
	p := must(t, s, 5000)
	must(t, s, 5000)
	*s.h.rowOf(uint64((addrOf(p) - uintptr(s.base)) >> granuleShift)) = 0
	require.ErrorIs(t, alloc.Try(func() { s.Free(p) }), alloc.ErrCorrupt)

	s = freshSharedIn(t, 64<<20, nil, nil)
	b := must(t, s, 5000)
	_, at := s.word((addrOf(b) - uintptr(s.base)) >> unitShift)
	*at ^= 1
	require.ErrorContains(t, s.Check(), "no span that begins there")
	*at ^= 1
}
