package segregated

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStillAge: a heap is still when it has not grown for twice as many operations as it took
// to grow, for stillOps at least, and for stillMost at most.
func TestStillAge(t *testing.T) {
	for grew, want := range map[uint64]uint64{
		0: stillOps, stillOps / 2: stillOps, stillOps/2 + 1: stillOps + 2, 100_000: 200_000,
		stillMost / 2: stillMost, stillMost: stillMost, math.MaxUint64 / 4: stillMost,
	} {
		var q quickLists
		q.prepare()
		q.grown(1<<20, grew)
		require.False(t, q.rest(1<<20, want-1), "after %d", grew)
		require.True(t, q.rest(1<<20, 1), "after %d", grew)
		q.grown(1<<20+1<<20>>quickStirred, grew)
		require.True(t, q.rest(1<<20, 0), "it may grow a little by itself")
		q.grown(1<<20+1<<20>>quickStirred+1, 2*stillMost)
		require.False(t, q.rest(1<<20, want-1), "it has grown")
		require.True(t, q.rest(1<<20, 1), "as many operations as before")
	}
}

// TestCalmIsStill: a heap that has not grown for calmOps operations is not calm before it is
// still.
func TestCalmIsStill(t *testing.T) {
	var q quickLists
	q.prepare()
	q.grown(1<<20, stillMost)
	q.rest(1<<20, stillMost-1)
	require.Zero(t, q.calm)
	q.rest(1<<20, 1)
	require.EqualValues(t, 1, q.calm)
}

// TestBack: a heap is still at once when what it uses has fallen to less than half and come
// back, until it grows.
func TestBack(t *testing.T) {
	const grew = 1 << 20
	for _, c := range []struct {
		used []uint64
		want bool
	}{
		{nil, false},
		{[]uint64{grew}, false},
		{[]uint64{grew / 2, grew}, false},
		{[]uint64{grew/2 - 1}, false},
		{[]uint64{grew/2 - 1, grew - grew>>quickNear}, false},
		{[]uint64{grew/2 - 1, grew - grew>>quickNear + 1}, true},
		{[]uint64{0, grew * 3 / 4, grew, 0}, true},
	} {
		var q quickLists
		q.prepare()
		q.watch(0)
		q.grown(grew, 0)
		for _, n := range c.used {
			q.watch(n)
		}
		require.Equal(t, c.want, q.rest(grew, 1), "%d", c.used)
		q.grown(2*grew, 0)
		q.watch(2 * grew)
		require.False(t, q.rest(grew, 1), "it has grown")
	}
}

// TestBackHeap: a heap that frees all and takes as much again, over and over, is still sooner
// than one that stays as it is.
func TestBackHeap(t *testing.T) {
	still := func(sinks bool) uint64 {
		h := fresh(t, 64<<20, nil)
		var bs [4096][]byte
		for i := range bs {
			bs[i] = must(t, h, 100+i%50)
		}
		for i := 0; h.quick.share != quickStill; i++ {
			k := i % len(bs)
			h.Free(bs[k])
			if !sinks {
				bs[k] = must(t, h, 100+k%50)
			} else if k == len(bs)-1 {
				for i := range bs {
					bs[i] = must(t, h, 100+i%50)
				}
			}
		}
		require.NoError(t, h.Check())
		return h.mallocs + h.frees
	}
	require.Less(t, still(true), uint64(stillOps/2))
	require.Greater(t, still(false), uint64(stillOps))
}

// TestSearching: a heap is searching when in more than four of ten operations a span had to be
// looked for, and until no more than four of ten ask for spans.
func TestSearching(t *testing.T) {
	const ops = 1000
	for _, c := range []struct {
		before       bool
		hits, misses uint32
		want         bool
	}{
		{false, 0, 400, false},
		{false, 0, 401, true},
		{false, 500, 400, false},
		{true, 0, 400, false},
		{true, 401, 0, true},
		{true, 200, 201, true},
		{true, 255, 0, true}, // too few to tell
	} {
		var q quickLists
		q.prepare()
		q.grown(1<<20, 0)
		q.searching, q.ops, q.hits, q.misses = c.before, ops/2, c.hits, c.misses
		q.adapt(1<<20, ops/2)
		require.Equal(t, c.want, q.searching, "%+v", c)
		require.Equal(t, c.want, q.rest(1<<20, searchingOps), "%+v", c)
		require.Equal(t, c.want, q.most == 1<<20>>quickStill, "%+v", c)
		q.searching, q.scattered, q.calm = false, true, 1
		require.False(t, q.rest(1<<20, 0), "it was still because it was searching")
		require.Less(t, q.most, uint64(1<<20>>quickStill))
		require.Equal(t, !c.want, q.scattered)
		require.Equal(t, !c.want, q.calm == 1)
	}
}

// TestSearchingHeap: blocks of many large sizes make a heap search, small ones do not.
func TestSearchingHeap(t *testing.T) {
	for least, want := range map[int]bool{3000: true, 64: false} {
		h := fresh(t, 64<<20, nil)
		bs := make([][]byte, 256)
		for i := range 4 * searchingOps {
			k := i * 7 % len(bs)
			h.Free(bs[k])
			bs[k] = must(t, h, least+i*i%61*(least>>4))
		}
		require.Equal(t, want, h.quick.share == quickStill, "from %d bytes", least)
		require.NoError(t, h.Check())
	}
}

// TestGrewAt: a heap remembers after how many operations it grew last, frees included.
func TestGrewAt(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	for range 1000 {
		h.Free(must(t, h, 3000))
	}
	must(t, h, 1<<20)
	require.EqualValues(t, 2000, h.quick.grewAt)
}

// TestNearPeak: a heap that has given back much of its pages grows without giving up what its
// lists hold; one that comes near its peak empties them first.
func TestNearPeak(t *testing.T) {
	h, bs := stillHeap(t)
	h.Free(must(t, h, 20<<20))
	require.Greater(t, h.peak, uint64(20<<20))
	h.Trim()
	committed := h.committed
	require.Equal(t, committed, h.peak)
	h.peak += 20 << 20
	h.Free(bs[0])
	kept := h.quick.total
	require.NotZero(t, kept)
	for granules, want := range map[uint64]bool{
		1: false, (h.peak - h.peak>>quickPeak - committed) >> granuleShift: false, (h.peak-h.peak>>quickPeak-committed)>>granuleShift + 1: true, 1 << 24: true,
	} {
		require.Equal(t, want, h.nearPeak(granules), "%d granules", granules)
	}
	was := h.quick
	h.quick.share, h.quick.still = quickStill, settledOps
	require.False(t, h.nearPeak((h.peak-committed)>>granuleShift), "a settled heap may come to its peak")
	require.True(t, h.nearPeak((h.peak-committed)>>granuleShift+1))
	h.quick = was
	require.False(t, h.reclaim(1))
	require.Equal(t, kept, h.quick.total)
	h.peak = committed
	require.True(t, h.reclaim(1))
	require.Zero(t, h.quick.total)
	require.NoError(t, h.Check())
}

// TestListsFit: how much the lists may hold, and the largest span that is always kept.
func TestListsFit(t *testing.T) {
	const data, less = 1 << 20, quickTotal << quickShare // granules
	for _, c := range []struct {
		data        uint64
		share       uint8
		still       uint64
		most, parts uint64
	}{
		{less - 1, quickShare, settledOps, quickTotal, quickPart},
		{2 * less, quickShare, settledOps, 2 * quickTotal, quickPart},
		{quickTiny - 4, quickStill, settledOps - 1, quickTinyMost, quickPart},
		{quickTiny - 4, quickStill, settledOps, (quickTiny - 4) / 4 * 3, quickHalf},
		{quickTinyMost, quickShare, 0, quickTinyMost, quickPart},
		{data, quickStill, settledOps - 1, data / 2, quickPart},
		{data, quickStill, settledOps, data / 4 * 3, quickHalf},
		{data, quickHits, settledOps, data >> quickHits, quickPart},
	} {
		q := quickLists{share: c.share, still: c.still}
		q.fit(c.data)
		require.Equal(t, c.most, q.most, "%+v", c)
		require.Equal(t, min(c.most>>c.parts, quickMax), q.part, "%+v", c)
	}
}

// TestSettledLists: a settled heap that frees more than half of its data serves it again from
// its lists, one that is only still in part.
func TestSettledLists(t *testing.T) {
	const size, blocks, freed = 5000, 400, 220
	for still, want := range map[uint64]bool{settledOps: true, settledOps - 1: false} {
		h := fresh(t, 64<<20, nil)
		var bs [blocks][]byte
		for i := range bs {
			bs[i] = must(t, h, size)
		}
		q := &h.quick
		q.share, q.still, h.sweepAt = quickStill, still, ^uint64(0)
		q.fit(h.top - h.first)
		for _, b := range bs[:freed] {
			h.Free(b)
		}
		q.hits, q.misses = 0, 0
		for i := range bs[:freed] {
			bs[i] = must(t, h, size)
		}
		require.Equal(t, want, q.misses == 0)
		require.NotZero(t, q.hits)
		require.NoError(t, h.Check())
	}
}

// TestSettledSweepsSeldom: a heap that has been still for long sweeps when there is credit for
// some pages, others when there is any.
func TestSettledSweepsSeldom(t *testing.T) {
	h, bs := stillHeap(t)
	q := &h.quick
	for _, c := range []struct {
		share         uint8
		still, credit uint64
		want          bool
	}{
		{quickStill, settledOps, 1, false},
		{quickStill, settledOps, sweepLeast - 1, false},
		{quickStill, settledOps, sweepLeast, true},
		{quickStill, settledOps - 1, 1, true},
		{quickStill, settledOps - 1, 0, false},
		{quickHits, settledOps, 1, true},
	} {
		q.share, q.still, h.credit = c.share, c.still, c.credit
		require.Equal(t, c.want, h.sweeps(), "%+v", c)
	}

	// A free span of many pages stays as it is until there is credit for so many at once.
	q.share, q.still, q.turn, h.credit, h.earned = quickStill, settledOps, quickBack, 0, 0
	for _, b := range bs {
		h.Free(b)
	}
	h.flushQuick()
	before := h.committed
	slots := func(ops uint64) {
		for range ops / 2 {
			h.Free(must(t, h, 100))
		}
	}
	slots((sweepLeast - 1) * opsPerPage)
	require.Equal(t, before, h.committed)
	slots(3 * opsPerPage)
	require.Less(t, h.committed, before)
	require.NoError(t, h.Check())

	// Nor do a block of many pages, or memory above its peak, have it give back a page or two.
	for _, c := range []struct {
		still, credit uint64
		gives         bool
	}{{settledOps, sweepLeast - 1, false}, {settledOps, sweepLeast, true}, {settledOps - 1, 1, true}} {
		b := must(t, h, int(h.soonGranules())<<granuleShift)
		q.share, q.still, h.credit = quickStill, c.still, c.credit
		before = h.committed
		h.Free(b)
		require.Equal(t, c.gives, h.committed < before, "a block, %+v", c)

		h.peak, h.credit = h.committed-2*h.pageSize, c.credit
		before = h.committed
		h.economize()
		require.Equal(t, c.gives, h.committed < before, "the peak, %+v", c)
	}
	require.NoError(t, h.Check())
}

// TestLittleInLists: a heap that grows empties its lists, unless they hold little.
func TestLittleInLists(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	b := must(t, h, 2048)
	for h.top-h.first < 2<<quickLittle*uint64(2048>>granuleShift) {
		must(t, h, 30<<10)
	}
	h.Free(b)
	kept := h.quick.total
	require.NotZero(t, kept)
	require.False(t, h.isMuch())
	highest := h.hdr.highest
	must(t, h, 30<<10)
	require.Greater(t, h.hdr.highest, highest)
	require.Equal(t, kept, h.quick.total)

	h.quick.total = (h.top - h.first) >> quickLittle
	require.False(t, h.isMuch())
	h.quick.total++
	require.True(t, h.isMuch())
	h.quick.total--
	h.idle.sum = 1
	require.True(t, h.isMuch())
	h.quick.total, h.idle.sum = kept, 0
}
