package segregated

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// exhaust allocates sizes of next until one fails, and returns the blocks and
// the error.
func exhaust(t testing.TB, h *Heap, next func() int) (bs [][]byte, nm *alloc.NoMemoryError) {
	t.Helper()
	for {
		b, err := h.Malloc(next())
		if err != nil {
			require.ErrorAs(t, err, &nm)
			return bs, nm
		}
		fill(b, byte(len(bs)))
		bs = append(bs, b)
		require.Less(t, len(bs), 1<<20)
	}
}

// TestExhaustion fills small regions with one size or many, frees in several
// orders and finds the heap as it was when it was fresh, round after round.
func TestExhaustion(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	orders := map[string]func(n int) []int{
		"forward": func(n int) []int { return rangeOf(n) },
		"backward": func(n int) []int {
			o := rangeOf(n)
			slices.Reverse(o)
			return o
		},
		"random": rng.Perm,
		"comb": func(n int) []int {
			var odd, even []int
			for i := range n {
				if i%2 == 0 {
					even = append(even, i)
				} else {
					odd = append(odd, i)
				}
			}
			return append(even, odd...)
		},
	}
	next := map[string]func() int{
		"16": func() int { return 16 }, "100": func() int { return 100 }, "1000": func() int { return 1000 },
		"5000": func() int { return 5000 }, "mixed": func() int { return rng.IntN(1 << rng.IntN(14)) },
	}
	for _, ro := range []*arena.Options{{}, {Backing: arena.GoHeap}} {
		for name, size := range next {
			for order, permute := range orders {
				t.Run(ro.Backing.String()+"/"+name+"/"+order, func(t *testing.T) {
					h := freshIn(t, 192<<10, ro, nil)
					virgin := h.Stats()
					for range 2 {
						bs, _ := exhaust(t, h, size)
						require.NoError(t, h.Check())
						for _, i := range permute(len(bs)) {
							require.NoError(t, filled(bs[i], byte(i)))
							h.Free(bs[i])
						}
						require.NoError(t, h.Check())
						h.Trim()
						s := h.Stats()
						require.Zero(t, s.Live)
						require.Zero(t, s.LiveBlocks)
						require.Zero(t, s.FreeBlocks)
						require.Zero(t, s.Retained)
						require.Equal(t, virgin.LargestFree, s.LargestFree)
						require.Equal(t, h.hdr.first, h.hdr.top)
					}
				})
			}
		}
	}
}

// rangeOf returns 0 to n-1.
func rangeOf(n int) []int {
	o := make([]int, n)
	for i := range o {
		o[i] = i
	}
	return o
}

// TestFillsTheRegion: blocks of one size fill a region but for what is
// documented: 18 bytes of metadata a unit, pages to round to, and the tail.
func TestFillsTheRegion(t *testing.T) {
	for _, size := range []int{16, 48, 240, 256, 272, 1024, 4000, 30000} {
		const region = 1 << 20
		h := fresh(t, region, nil)
		bs, nm := exhaust(t, h, func() int { return size })
		require.Equal(t, size, nm.Requested)
		require.Less(t, nm.LargestFree, size)
		require.Equal(t, region, nm.Limit)
		got := len(bs) * spanned(size)
		want := region - region/unitSize*18 - 5*4096 - size
		require.GreaterOrEqual(t, got, want-want/8, "%d blocks of %d", len(bs), size)
		if size > 256 {
			require.GreaterOrEqual(t, got, want, "%d blocks of %d", len(bs), size)
		}
	}
}

// TestNoMemoryFigures: the error's figures are the request, the heap's limit
// and the size of a block that can be had.
func TestNoMemoryFigures(t *testing.T) {
	for _, limit := range []int{0, 128 << 10, 300_000, 1 << 20} {
		for _, used := range []int{0, 1000, 50_000} {
			h := fresh(t, 2<<20, &Options{Limit: limit})
			limit := limit
			must(t, h, used)
			hole := must(t, h, 20_000)
			must(t, h, 16)
			h.Free(hole)
			_, err := h.Malloc(4 << 20)
			var nm *alloc.NoMemoryError
			require.ErrorAs(t, err, &nm)
			require.Equal(t, "malloc", nm.Op)
			require.Equal(t, 4<<20, nm.Requested)
			if limit == 0 {
				limit = 2 << 20 // the region's
			}
			require.Equal(t, limit, nm.Limit)
			require.NoError(t, nm.Err)
			require.GreaterOrEqual(t, nm.LargestFree, 20_000)
			require.Less(t, nm.LargestFree, limit)
			s := h.Stats() // of the memory that is there, while the error counts what could come
			require.LessOrEqual(t, s.LargestFree, s.Retained)
			require.LessOrEqual(t, s.LargestFree, nm.LargestFree)
			require.GreaterOrEqual(t, s.LargestFree, 20_000)
			// All but the rows that so many more bytes need, and page ends.
			b, err := h.Malloc(nm.LargestFree - nm.LargestFree/50 - 3*4096)
			require.NoError(t, err, "limit %d, used %d: %d are free", limit, used, nm.LargestFree)
			fill(b, 1)
			_, err = h.Malloc(nm.LargestFree + 16)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.NoError(t, h.Check())
		}
	}
}

// TestFailuresAreCounted: each call that returned ErrNoMemory, of whatever
// verb, is in Stats().Failed, and reported to the sink; refusals of another kind are not.
func TestFailuresAreCounted(t *testing.T) {
	events := 0
	h := fresh(t, 1<<20, &Options{Sink: func(e alloc.Event) {
		if e.Kind == alloc.EventFailed {
			events++
		}
	}})
	b := must(t, h, 1000)
	calls := []func() error{
		func() error { _, err := h.Malloc(1 << 20); return err },
		func() error { _, err := h.Calloc(1<<10, 1<<10); return err },
		func() error { _, err := h.Realloc(b, 1<<20); return err },
		func() error { _, err := h.MallocAligned(1<<20, 64); return err },
		func() error { _, err := h.ReallocAligned(b, 1<<20, 64); return err },
		func() error { _, err := h.Malloc(1 << 30); return err },
	}
	for i, call := range calls {
		require.ErrorIs(t, call(), alloc.ErrNoMemory, "call %d", i)
		require.EqualValues(t, i+1, h.Stats().Failed)
		require.Equal(t, i+1, events)
	}
	_, err := h.Malloc(-1)
	require.ErrorIs(t, err, alloc.ErrSize)
	_, err = h.MallocAligned(1, 3)
	require.ErrorIs(t, err, alloc.ErrAlign)
	require.EqualValues(t, len(calls), h.Stats().Failed)
}

// TestLimitIsKept: committed memory never passes the limit, at any moment of a
// long run, and what was refused can be had after frees.
func TestLimitIsKept(t *testing.T) {
	for _, limit := range []int{200 << 10, 777_777, 2 << 20} {
		h := freshIn(t, 16<<20, &arena.Options{}, &Options{Limit: limit})
		o := alloctest.NewOracle(h)
		refused, served := 0, 0
		for i, op := range alloctest.RandomOps(uint64(limit), alloctest.Mix{Ops: 3000, MaxSize: limit / 2, MaxLive: 60}) {
			switch err := o.Do(op); {
			case errors.Is(err, alloc.ErrNoMemory):
				refused++
			case err != nil:
				t.Fatalf("operation %d: %v", i, err)
			case refused > 0 && op.Kind == alloctest.OpMalloc:
				served++
			}
			if c := h.region.Stats().Committed; c > limit {
				t.Fatalf("operation %d, %v: %d bytes committed, the limit is %d", i, op, c, limit)
			}
		}
		require.Positive(t, refused, "limit %d", limit)
		require.Positive(t, served, "limit %d", limit)
		require.NoError(t, o.FreeAll())
	}
}

// TestMemoryOfOneWayServesAnother: what was slots can become spans, and the
// other way round, without Trim by the caller.
func TestMemoryOfOneWayServesAnother(t *testing.T) {
	h := fresh(t, 512<<10, nil)
	for round := range 4 {
		for _, size := range []int{32, 20000, 256, 1500, 100000} {
			bs, _ := exhaust(t, h, func() int { return size })
			require.Greater(t, len(bs)*size, 300<<10, "round %d, %d bytes", round, size)
			for _, b := range bs {
				h.Free(b)
			}
			require.NoError(t, h.Check())
		}
	}
}

// TestNoMemoryIsTheLastWord drives heaps that are nearly full at random: what has
// failed fails again after Trim, so that nothing that could have been given up was
// kept, and what Calloc returns is zero whatever pages were given back and refused.
func TestNoMemoryIsTheLastWord(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o, region := &Options{}, 64<<10+rng.IntN(300<<10)
		if seed%2 == 0 {
			o.Classes = []int{}
		}
		if seed%3 == 0 {
			o.Limit, region = 80<<10+rng.IntN(200<<10), 1<<20
		}
		tight := &tightHeap{Heap: fresh(t, region, o), rng: rng, most: 1 << (5 + rng.IntN(11))}
		for range 1500 {
			op := tight.op()
			err := op()
			if err == nil {
				continue
			}
			require.ErrorIs(t, err, alloc.ErrNoMemory, "seed %d", seed)
			require.NoError(t, tight.Check(), "seed %d", seed)
			tight.Trim()
			require.ErrorIs(t, op(), alloc.ErrNoMemory, "seed %d: after Trim", seed)
			for range min(5, len(tight.live)) {
				tight.drop(rng.IntN(len(tight.live)))
			}
		}
		require.NoError(t, tight.Check(), "seed %d", seed)
	}
}

// A tightHeap is a heap, its blocks, and the most bytes that one may have.
type tightHeap struct {
	*Heap
	rng  *rand.Rand
	live [][]byte
	most int
}

// op returns a call that takes memory, or a Free, of blocks and sizes that are drawn.
func (h *tightHeap) op() func() error {
	size, i := h.rng.IntN(h.most), h.rng.IntN(max(1, len(h.live)))
	switch k := h.rng.IntN(9); {
	case k < 3 && len(h.live) > 0:
		return func() error {
			b, err := h.Realloc(h.live[i], size+1)
			if err == nil {
				fill(b, 0xEE)
				h.live[i] = b
			}
			return err
		}
	case k < 5 && len(h.live) > 0:
		return func() error { h.drop(i); return nil }
	case k == 5:
		return func() error {
			b, err := h.Calloc(1, size)
			if err != nil {
				return err
			}
			return h.keep(b, filled(b, 0))
		}
	}
	return func() error {
		b, err := h.Malloc(size)
		if err != nil {
			return err
		}
		return h.keep(b, nil)
	}
}

// keep fills a new block and returns err.
func (h *tightHeap) keep(b []byte, err error) error {
	fill(b, 0xEE)
	h.live = append(h.live, b)
	return err
}

// drop frees block i.
func (h *tightHeap) drop(i int) {
	h.Free(h.live[i])
	h.live[i] = h.live[len(h.live)-1]
	h.live = h.live[:len(h.live)-1]
}
