package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// churn makes n pairs of operations on spans pass.
func churn(t *testing.T, h *Heap, n int) {
	for range n {
		h.Free(must(t, h, 2100))
		h.Free(must(t, h, 3000))
	}
}

// TestGiveBack: what was freed in the middle and at the top goes back within a
// few sweeps, and comes back zero.
func TestGiveBack(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	low, keep, high := must(t, h, 200<<10), must(t, h, 100), must(t, h, 200<<10)
	fill(low, 1)
	fill(high, 1)
	full := h.region.Stats().Committed
	h.Free(low)
	h.Free(high)
	churn(t, h, 2000)
	require.Less(t, h.region.Stats().Committed, full-300<<10)
	require.NoError(t, h.Check())
	z, err := h.Calloc(1, 200<<10)
	require.NoError(t, err)
	require.NoError(t, filled(z, 0))
	h.Free(z)
	h.Free(keep)
}

// TestGiveBackWhileSlotsAreTaken: a program that has freed much and goes on with slots alone
// gets its pages back to the system, too.
func TestGiveBackWhileSlotsAreTaken(t *testing.T) {
	for name, o := range map[string]*Options{"plain": {}, "with a sink": {Sink: func(alloc.Event) {}}} {
		t.Run(name, func(t *testing.T) {
			h := freshIn(t, 64<<20, &arena.Options{}, o)
			heat(t, h, 40)
			low := must(t, h, 200<<10)
			fill(low, 1)
			must(t, h, 200<<10)
			full := h.region.Stats().Committed
			h.Free(low)
			for range 5 * restEvery {
				h.Free(must(t, h, 40))
			}
			require.Less(t, h.region.Stats().Committed, full-150<<10)
			require.NoError(t, h.Check())
		})
	}
}

func TestOverdue(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	must(t, h, 40)
	h.sweepAt = h.mallocs + h.frees
	require.False(t, h.overdue(), "a request for a span would tick")
	h.sweepAt -= restEvery - 1
	require.False(t, h.overdue())
	h.sweepAt--
	require.True(t, h.overdue())
	h.sweepAt, h.heldTo = h.mallocs+1, 1
	require.True(t, h.overdue(), "pages are held")
	h.heldTo = 0
}

// TestCreditEnds: a program that takes and frees the same megabytes over and
// over loses its pages a few times and then keeps them.
func TestCreditEnds(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	var decommits []uint64
	for range 12 {
		var bs [][]byte
		for range 200 {
			bs = append(bs, must(t, h, 10000))
		}
		for _, b := range bs {
			h.Free(b)
		}
		churn(t, h, 500)
		decommits = append(decommits, h.region.Stats().Decommits)
	}
	require.Positive(t, decommits[0])
	early, late := decommits[3]-decommits[0], decommits[11]-decommits[8]
	require.Less(t, late, max(early, 4), "%v", decommits)
}

// TestSweepWait: the less is free, the longer a sweep waits.
func TestSweepWait(t *testing.T) {
	for _, tc := range []struct{ all, free, want uint64 }{
		{100, 100, sweepEvery}, {100, 50, sweepEvery}, {1000, 250, 4 * sweepEvery}, {1024, 182, 2025},
		{1000, 170, sweepRarely}, {1000, 1, sweepRarely}, {1000, 0, sweepRarely}, {0, 0, sweepEvery}, {1 << 42, 1, sweepRarely},
	} {
		require.Equal(t, tc.want, waitFor(tc.all, tc.free), "%d of %d", tc.free, tc.all)
	}
}

// TestSweepsWhenMuchIsFree: pages go back soon when much is free, and later when
// little is.
func TestSweepsWhenMuchIsFree(t *testing.T) {
	for _, part := range []int{2, 20} {
		h := freshIn(t, 64<<20, &arena.Options{}, nil)
		var bs [][]byte
		for range 60 {
			bs = append(bs, must(t, h, 80<<10))
		}
		for i := 0; i < len(bs); i += part {
			h.Free(bs[i])
		}
		h.flushQuick()
		full := h.committed
		churn(t, h, 3*sweepEvery/4) // four operations each
		if part == 2 {
			require.Less(t, h.committed, full-1<<20)
			continue
		}
		require.Equal(t, full, h.committed)
		churn(t, h, sweepRarely/2)
		require.Less(t, h.committed, full-150<<10)
	}
}

// TestTrim gives everything back at once, also to a heap without credit.
func TestTrim(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	var bs [][]byte
	for i := range 3000 {
		bs = append(bs, must(t, h, 16+i%3000))
	}
	h.credit = 0
	for _, b := range bs {
		h.Free(b)
	}
	require.Positive(t, h.Trim())
	s := h.Stats()
	require.Zero(t, s.Retained)
	require.Zero(t, s.Live)
	require.Equal(t, s.Metadata, s.Committed)
	require.Zero(t, h.Trim())
}

// TestRemap: a large block that has to move keeps its contents, and where it
// was is free.
func TestRemap(t *testing.T) {
	for _, b := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		h := freshIn(t, 32<<20, &arena.Options{Backing: b}, nil)
		p := must(t, h, 1<<20+4000)
		fill(p, 0x5A)
		guard := must(t, h, 5000)
		q, err := h.Realloc(p, 3<<20)
		require.NoError(t, err)
		require.NotEqual(t, addrOf(p), addrOf(q))
		require.NoError(t, filled(q[:1<<20+4000], 0x5A))
		require.NoError(t, h.Check())
		r := must(t, h, 1<<20) // into the hole, which can be touched again
		fill(r, 1)
		require.NoError(t, filled(q[:1<<20+4000], 0x5A))
		h.Free(q)
		h.Free(guard)
		h.Free(r)
	}
}

// TestGrowInPlace: the last block grows into the top without moving.
func TestGrowInPlace(t *testing.T) {
	h := fresh(t, 16<<20, nil)
	p := must(t, h, 3000)
	at := addrOf(p)
	for n := 3000; n < 1<<20; n += 777 {
		fill(p, byte(n))
		q, err := h.Realloc(p, n)
		require.NoError(t, err)
		require.Equal(t, at, addrOf(q))
		require.NoError(t, filled(q[:len(p)], byte(n)))
		if n%37 == 0 {
			require.NoError(t, h.Check())
		}
		p = q
	}
	h.Free(p)
}

// TestTrimSmall: Trim gives back the pages of free spans that a sweep leaves alone, but for
// those that cannot remember it.
func TestTrimSmall(t *testing.T) {
	for _, n := range []uint64{infoMin + 256, infoMin - 1} {
		h := freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: []int{}})
		must(t, h, int(h.pageSize)-64)
		b := must(t, h, int(n)<<granuleShift)
		must(t, h, 64)
		h.Trim()
		before := h.committed
		h.Free(b)
		h.flushQuick()
		h.Trim()
		if n >= infoMin && n>>h.pageShift > 1 {
			require.Less(t, h.committed, before)
		} else if n < infoMin {
			require.Equal(t, before, h.committed)
		}
	}
}

// TestSweepsInRow: while Free takes notes there is no sweep for a page or two.
func TestSweepsInRow(t *testing.T) {
	h := fresh(t, 1<<20, nil)
	for _, c := range []struct {
		credit, end uint64
		want        bool
	}{
		{0, 0, false}, {1, 0, true}, {0, 64, false}, {1, 64, false}, {sweepLeast - 1, 64, false}, {sweepLeast, 64, true},
	} {
		h.credit, h.notes.end = c.credit, c.end
		require.Equal(t, c.want, h.sweeps(), "%+v", c)
	}
	h.notes.end = 0
}
