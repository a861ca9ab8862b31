package segregated

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// holed returns a heap of 2 MiB with a free span of hole bytes in it, and how much was
// committed before that was freed.
func holed(t *testing.T, hole int) (h *Heap, committed uint64) {
	h = freshIn(t, 64<<20, &arena.Options{}, nil)
	must(t, h, 1<<20)
	b := must(t, h, hole)
	fill(b, 7)
	must(t, h, 1<<20)
	h.Free(b)
	h.flushQuick()
	require.NotZero(t, h.credit)
	return h, h.committed
}

// growBy makes the data grow by about n bytes, in blocks that do not fit in a hole of 20 KiB.
func growBy(t *testing.T, h *Heap, n int) {
	for ; n > 0; n -= 30 << 10 {
		must(t, h, 30<<10)
	}
}

// TestTrade: the pages of a free span pay for those that the data grows by, and are zero
// when they come back.
func TestTrade(t *testing.T) {
	h, before := holed(t, 20<<10)
	growBy(t, h, 60<<10)
	require.Less(t, h.committed, before+60<<10+h.pageSize-12<<10)
	require.Equal(t, int(h.committed), h.region.Stats().Committed)
	require.NoError(t, h.Check())
	top := h.top
	b, err := h.Calloc(1, 20<<10)
	require.NoError(t, err)
	require.Equal(t, top, h.top, "it is in the hole")
	require.NoError(t, filled(b, 0))
	require.NoError(t, h.Check())
}

// TestTradeNeedsCredit: without credit nothing goes back.
func TestTradeNeedsCredit(t *testing.T) {
	h, before := holed(t, 20<<10)
	in := h.info(h.hdr.bins[h.nextBin(binOf(infoMin))])
	sound := *in
	h.credit = 0
	h.traded = 0
	h.trade(10)
	require.Equal(t, before, h.committed)
	require.Equal(t, sound, *in, "nor is it found out what has been free for long")
	require.Zero(t, h.traded)
}

// TestTradeStops: no more spans pay than it takes, and of many only the first are looked at.
func TestTradeStops(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	var holes [][]byte
	for range 2 * tradeTries {
		holes = append(holes, must(t, h, 20<<10))
		must(t, h, 30<<10)
	}
	for _, b := range holes {
		h.Free(b)
	}
	h.flushQuick()
	h.credit = 1 << 20
	paid := func() (n int) {
		for g := h.hdr.bins[h.nextBin(binOf(sweepMin))]; g != 0; g = h.info(g).next {
			if in := h.info(g); in.goneLo < in.goneHi {
				n++
			}
		}
		return n
	}
	h.trade(1)
	require.Equal(t, 1, paid())
	h.trade(1 << 20)
	require.Equal(t, tradeTries, paid())
	require.NoError(t, h.Check())
}

// TestTradeIsForGrowth: to become as large as before costs no pages.
func TestTradeIsForGrowth(t *testing.T) {
	h, _ := holed(t, 20<<10)
	h.credit = 0
	top := must(t, h, 400<<10)
	h.credit = 1 << 20
	h.Free(top) // so much goes back when it is freed
	require.Less(t, h.hdr.commit, h.hdr.highest)
	commit, in := h.hdr.commit, h.info(h.hdr.bins[h.nextBin(binOf(infoMin))])
	must(t, h, 200<<10)
	require.Greater(t, h.hdr.commit, commit)
	require.Zero(t, in.goneHi)
}

// TestTradeSmall: a small free span keeps its pages until it has been free for a while.
func TestTradeSmall(t *testing.T) {
	h, before := holed(t, 12<<10)
	h.traded = h.top - h.first
	h.trade(10)
	h.trade(10)
	require.Equal(t, before, h.committed)
	growBy(t, h, 1<<19)
	require.NoError(t, h.Check())
	require.NotZero(t, h.info(h.hdr.bins[h.nextBin(binOf(infoMin))]).goneLo, "it did not go back")
}

// misledBin returns a heap with a small free span at granule at, to which the bin of its
// hole may be led.
func misledBin(t *testing.T) (h *Heap, bin *uint64, at uint64) {
	h, _ = holed(t, 20<<10)
	small := must(t, h, 100) // from the end of the hole
	at = uint64(addrOf(small)-addrOf(h.mem)) >> granuleShift
	must(t, h, 100)
	h.Free(small)
	h.flushQuick()
	require.True(t, h.isFree(at))
	return h, &h.hdr.bins[h.nextBin(binOf(infoMin))], at
}

// TestTradeDamaged: a bin that leads nowhere, or to a span that remembers nothing, ends it.
func TestTradeDamaged(t *testing.T) {
	h, bin, at := misledBin(t)
	sound, before := *bin, h.committed
	for _, g := range []uint64{h.top + 5, at} {
		*bin = g
		h.trade(10)
		h.markIdle()
		require.Equal(t, before, h.committed)
	}
	*bin = sound
}

// TestSweepDamaged: a sweep that such a bin leads astray says so, and writes nothing there.
func TestSweepDamaged(t *testing.T) {
	for _, far := range []bool{false, true} {
		h, bin, g := misledBin(t)
		if far {
			g = h.top + 5
		}
		*bin = g
		u := g >> granuleBits
		rows := slices.Clone(h.units[u : u+6])
		h.Trim()
		require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
		require.Equal(t, rows, h.units[u:u+6])
	}
}
