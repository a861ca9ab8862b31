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
	h.trade(10)
	require.Equal(t, before, h.committed)
	require.Equal(t, sound, *in)
}

// TestTradeStops: no more pages go than it takes, or a call is worth, and of many spans only the
// first are looked at.
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
		for g := h.hdr.bins[h.nextBin(binOf(tradeMin))]; g != 0; g = h.info(g).next {
			if h.info(g).gone != 0 {
				n++
			}
		}
		return n
	}
	before := h.committed
	h.trade(1)
	require.Equal(t, before-tradePages*h.pageSize, h.committed)
	some := paid()
	require.Less(t, some, tradeTries/2)
	h.trade(1 << 20)
	require.InDelta(t, some+tradeTries, paid(), 1, "one paid twice")
	require.NoError(t, h.Check())
}

// TestTradeIsForGrowth: to become as large as before costs no pages.
func TestTradeIsForGrowth(t *testing.T) {
	h, _ := holed(t, 20<<10)
	h.credit, h.credited = 0, ^uint64(0)
	top := must(t, h, 400<<10)
	h.credit = 1 << 20
	h.Free(top) // so much goes back when it is freed
	require.Less(t, h.hdr.commit, h.hdr.highest)
	commit, in := h.hdr.commit, h.info(h.hdr.bins[h.nextBin(binOf(infoMin))])
	must(t, h, 200<<10)
	require.Greater(t, h.hdr.commit, commit)
	require.Zero(t, in.gone)
}

// TestTradeSmall: a small free span keeps its pages.
func TestTradeSmall(t *testing.T) {
	h, before := holed(t, 12<<10)
	h.trade(10)
	h.trade(10)
	require.Equal(t, before, h.committed)
	growBy(t, h, 1<<19)
	require.NoError(t, h.Check())
	require.Zero(t, h.info(h.hdr.bins[h.nextBin(binOf(infoMin))]).gone)
}

// withGap returns a heap with a free span of 1 MiB that was given back, and a block that ends at
// the top, of less than goes back at once.
func withGap(t *testing.T) (h *Heap, last []byte) {
	h = freshIn(t, 64<<20, &arena.Options{}, nil)
	hole := must(t, h, 1<<20)
	must(t, h, 64<<10)
	last = must(t, h, 200<<10)
	h.Free(hole)
	require.Less(t, h.committed, h.peak-(1<<20)+2*h.pageSize)
	return h, last
}

// TestEconomize: when pages that were given back are used again, others go for them, of a free
// span here; what they do not make up for is the new peak.
func TestEconomize(t *testing.T) {
	h, last := withGap(t)
	must(t, h, 1<<20+64<<10) // after it
	h.Free(last)
	h.peak, h.credit = h.committed, 1000
	before := h.committed
	b := must(t, h, 100<<10) // best fit is the span of 200 KiB
	require.Equal(t, before, h.committed)
	c := must(t, h, 300<<10)
	require.Greater(t, h.committed, before)
	require.Equal(t, h.peak, h.committed)
	require.Less(t, h.committed, before+300<<10-80<<10, "100 KiB of the free span went for it")
	require.LessOrEqual(t, h.credit, uint64(1000-75-25), "for what came and what went")
	fill(b, 1)
	fill(c, 2)
	require.NoError(t, h.Check())
	require.Equal(t, int(h.committed), h.region.Stats().Committed)
}

// TestEconomizePastTop: what is past the top goes first, and is dirty again when the top is back.
func TestEconomizePastTop(t *testing.T) {
	h, last := withGap(t)
	h.Free(last)
	require.Greater(t, h.hdr.dirty, h.top)
	h.peak = h.committed
	before := h.committed
	fill(must(t, h, 600<<10), 1)
	require.Less(t, h.committed, before+600<<10-190<<10)
	require.Less(t, h.hdr.dirty-h.top, h.pageGranules)
	b, err := h.Calloc(1, 700<<10) // at the top
	require.NoError(t, err)
	require.NoError(t, filled(b, 0))
	require.LessOrEqual(t, h.top, h.hdr.dirty)
	require.LessOrEqual(t, h.hdr.dirty, h.hdr.commit)
	require.NoError(t, h.Check())
}

// TestEconomizeKept: a heap that is above its peak keeps nothing for speed, and one that is not
// does.
func TestEconomizeKept(t *testing.T) {
	h, bs := stillHeap(t)
	for _, b := range bs[100:120] {
		h.Free(b)
	}
	h.peak, h.credit = h.committed, 1000
	h.economize()
	require.NotZero(t, h.quick.total)
	h.peak--
	h.economize()
	require.NotZero(t, h.quick.total, "a part of a page is none")
	h.peak, h.credit = h.committed-1<<20, 0
	h.economize()
	require.NotZero(t, h.quick.total, "without credit it would be for nothing")
	h.peak, h.credit = h.committed-1<<20, 1000
	before := h.committed
	h.economize()
	require.Zero(t, h.quick.total)
	require.LessOrEqual(t, h.committed, before-20*8192+2*h.pageSize)

	h = fresh(t, 64<<20, nil)
	var slots [][]byte
	for range 200 {
		slots = append(slots, must(t, h, 48))
	}
	must(t, h, 1<<20)
	for _, b := range slots {
		h.Free(b)
	}
	ci := h.classOf[3]
	require.NotZero(t, h.classes[ci].cur)
	h.peak, h.credit = h.committed-1<<20, 1000
	h.economize()
	require.Zero(t, h.classes[ci].cur, "the empty run")
	require.NoError(t, h.Check())
}

// TestCreditOfGrowth: growth that fails brings no credit; that which comes brings it once, however
// often the data shrinks and grows.
func TestCreditOfGrowth(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, &Options{Limit: 8 << 20})
	must(t, h, 100<<10)
	credit, credited := h.credit, h.credited
	_, err := h.Malloc(16 << 20)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.Equal(t, []uint64{credit, credited}, []uint64{h.credit, h.credited})
	h.credited = ^uint64(0) // as if it had been large
	_, err = h.Malloc(16 << 20)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.Equal(t, credit, h.credit, "what fails costs none")
	h.credited = credited
	b := must(t, h, 2<<20)
	require.EqualValues(t, credit+growPages*(h.credited>>h.pageShift-credited>>h.pageShift), h.credit)
	require.InDelta(t, credit+growPages*(2<<20)/h.pageSize, h.credit, 2*growPages)
	for credit = h.credit; credit > 0; credit = h.credit {
		h.Free(b) // goes back at once
		require.Less(t, h.credit, credit)
		b = must(t, h, 2<<20)
	}
	require.NoError(t, h.Check())
}

// TestEconomizeEnough: no more goes than what is above the peak, not what is held in particular.
func TestEconomizeEnough(t *testing.T) {
	h, last := withGap(t)
	h.Free(last)
	h.heldTo, h.credit = ^uint64(0), 1000
	h.peak = h.committed - 4*h.pageSize
	h.economize()
	require.EqualValues(t, 1000-4, h.credit)
	require.NotZero(t, h.heldTo)
	h.peak = h.committed - 1
	h.economize()
	require.EqualValues(t, 1000-4, h.credit)
	require.NoError(t, h.Check())
}

// TestEconomizeAfter: also a request for a slot, and a block that grows in place, may need pages
// again.
func TestEconomizeAfter(t *testing.T) {
	for what, op := range map[string]func(h *Heap, b []byte) []byte{
		"slot": func(h *Heap, _ []byte) (b []byte) {
			for ci := h.classOf[4]; h.hdr.runs[ci] == 0; {
				b = must(t, h, 64)
			}
			return b
		},
		"realloc": func(h *Heap, b []byte) []byte {
			b, err := h.Realloc(b, 800<<10)
			require.NoError(t, err)
			return b
		},
	} {
		t.Run(what, func(t *testing.T) {
			h := freshIn(t, 64<<20, &arena.Options{}, nil)
			before, hole := must(t, h, 300<<10), must(t, h, 1<<20)
			must(t, h, 64<<10)
			last := must(t, h, 200<<10)
			must(t, h, 2<<20)
			h.Free(hole)
			h.Free(last)
			_, err := h.Calloc(1, 190<<10) // so that best fit is the gap for what is larger
			require.NoError(t, err)
			h.Free(must(t, h, 100<<10))
			h.peak, h.credit = h.committed, 1000
			fill(op(h, before), 3)
			require.LessOrEqual(t, h.committed, h.peak)
			require.NoError(t, h.Check())
		})
	}
}

// TestLastBin: the last bin that has spans, before any.
func TestLastBin(t *testing.T) {
	h := fresh(t, 1<<20, nil)
	has := map[int]bool{}
	for _, bin := range []int{1, 2, 62, 63, 64, 65, 200, numBins - 1} {
		h.hdr.addBin(uint(bin))
		has[bin] = true
	}
	for before := numBins; before > 0; before-- {
		want := before - 1
		for want > 0 && !has[want] {
			want--
		}
		require.Equal(t, want, h.lastBin(before), "before %d", before)
	}
	h.hdr.binSet[binWords-1] = ^uint64(0)
	require.Equal(t, numBins-1, h.lastBin(numBins), "of damaged bits")
	for bin := range numBins {
		h.hdr.binSet[bin/64] = 0
	}
	h.hdr.wordSet = 0
}

// TestInUse: blocks in use are what is not free, nor in the lists.
func TestInUse(t *testing.T) {
	h := fresh(t, 64<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for i := range 3000 {
		bs = append(bs, must(t, h, 16+i*7%5000))
		if i%3 == 0 {
			h.Free(bs[i/2])
			bs[i/2] = must(t, h, 2000)
		}
		h.coalesce()
		require.EqualValues(t, h.Stats().Live>>granuleShift, h.inUse())
	}
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
