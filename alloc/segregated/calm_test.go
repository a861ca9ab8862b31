package segregated

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// calmHeap returns a still heap that has gone on for so long that it is calm, after the
// given number of operations in which it did not grow, in a region of so many MiB, and its
// blocks, of 8 KiB.
func calmHeap(t *testing.T, mib int, still uint64) (*Heap, [][]byte) {
	h := freshIn(t, mib<<20, &arena.Options{}, &Options{Classes: []int{}})
	bs := make([][]byte, 512)
	for i := range bs {
		bs[i] = must(t, h, 8192)
	}
	becomeCalm(t, h, still)
	return h, bs
}

// becomeCalm makes h, which has not grown for the given number of operations, calm.
func becomeCalm(t *testing.T, h *Heap, still uint64) {
	h.quick.still = still
	for i := 0; h.quick.calm == 0; i++ {
		require.Less(t, i, 1<<20, "it never becomes calm")
		b, err := h.Malloc(8192)
		require.NoError(t, err)
		h.Free(b)
	}
}

// TestCalmOps: a heap is calm after calmOps operations in which it did not grow.
func TestCalmOps(t *testing.T) {
	h, _ := calmHeap(t, 64, 0)
	require.EqualValues(t, quickStill, h.quick.share)
	require.InDelta(t, calmOps, h.mallocs+h.frees, 2*restEvery)
	must(t, h, int(h.top-h.first)<<granuleShift/16)
	require.EqualValues(t, 1, h.quick.calm, "it has grown by less than an eighth")
	must(t, h, int(h.top-h.first)<<granuleShift/10)
	require.Zero(t, h.quick.calm, "and by more")
	require.NoError(t, h.Check())
}

// TestCalmSizes: a calm heap gives a request the least size of the next bucket, so that what
// is freed serves all others that have it, if there is a free span of it; else what it asks for.
func TestCalmSizes(t *testing.T) {
	h, bs := calmHeap(t, 64, calmOps-1)
	top := h.top
	own := must(t, h, 20_000&^15)
	require.Equal(t, 20_000&^15, h.Usable(own), "off the top")
	require.Greater(t, h.top, top)
	h.Free(own) // it is in the list of the next size, too, where it does if those above have none
	misses := h.quick.misses
	require.Equal(t, addrOf(own), addrOf(must(t, h, 19_000)))
	require.Equal(t, misses, h.quick.misses)

	slices.SortFunc(bs, func(a, b []byte) int { return cmp.Compare(addrOf(a), addrOf(b)) })
	for _, b := range bs[100:104] { // neighbours, which become one free span
		h.Free(b)
	}
	h.flushQuick()
	b := must(t, h, 16385)
	require.Equal(t, 18<<10, h.Usable(b))
	h.Free(b)
	for _, size := range []int{18 << 10, 17_000, 16385} {
		c := must(t, h, size)
		require.Equal(t, addrOf(b), addrOf(c), "%d bytes", size)
		h.Free(c)
	}
	require.NotEqual(t, addrOf(b), addrOf(must(t, h, 18<<10+1)))
	for _, size := range []int{2048, 2056, 100} { // those have lists of their own, or are one's least size
		c := must(t, h, size)
		require.Less(t, h.Usable(c)-size, max(granule, size/8), "%d bytes", size)
	}
	require.NoError(t, h.Check())
}

// TestCalmServesAll: the lists of a calm heap serve nearly all requests of random sizes, those
// of a still one miss more; neither grows by much.
func TestCalmServesAll(t *testing.T) {
	misses := func(calm bool) (n uint32) {
		h, bs := calmHeap(t, 64, calmOps-1)
		rng := rand.New(rand.NewPCG(1, 2))
		top := h.hdr.highest
		for round := range 200_000 {
			if !calm {
				h.quick.calm = 0
			}
			i := rng.IntN(len(bs))
			h.Free(bs[i])
			before := h.quick.misses
			bs[i] = must(t, h, 1+rng.IntN(12_000))
			if round >= 100_000 && h.quick.misses > before {
				n++
			}
		}
		require.Less(t, h.hdr.highest-h.first, (top-h.first)/8*9)
		require.EqualValues(t, quickStill, h.quick.share)
		require.NoError(t, h.Check())
		return n
	}
	calm, still := misses(true), misses(false)
	require.Less(t, calm, uint32(2000))
	require.Less(t, calm, still/2)
}

// TestCalmListOf: the bucket in which a calm heap looks is the first whose least size is
// that of the request or more.
func TestCalmListOf(t *testing.T) {
	still, calm := &quickLists{}, &quickLists{calm: 1}
	still.prepare()
	calm.prepare()
	for n := uint64(1); n <= quickMax; n++ {
		require.Equal(t, binOf(n), still.listOf(n))
		i := calm.listOf(n)
		require.Less(t, i, quickBuckets)
		least, before := uint64(i), uint64(i-1)
		if i >= exactBins {
			least, _ = sizesOf(i)
		}
		if i > exactBins {
			before, _ = sizesOf(i - 1)
		}
		require.True(t, before < n && n <= least, "%d granules, bucket %d of %d and more", n, i, least)
	}
}

// TestHeldByACalmHeap: a huge block keeps its pages when a calm heap frees it, inside and at
// the top, and gives them back after heldOps operations, when the data grows beyond what it
// ever was, and in Trim; also when blocks have been cut from it meanwhile, and joined again.
func TestHeldByACalmHeap(t *testing.T) {
	wait := func(h *Heap) {
		for range heldOps/2 + restEvery {
			h.Free(must(t, h, 40))
		}
	}
	for name, end := range map[string]func(h *Heap){
		"time": wait,
		"part": func(h *Heap) { must(t, h, 5000*h.region.PageSize()); wait(h) },
		"joined": func(h *Heap) {
			var bs [100][]byte
			for i := range bs {
				bs[i] = must(t, h, 70*h.region.PageSize())
			}
			for _, b := range bs {
				h.Free(b)
			}
			h.giveHeld(allPages)
		},
		"growth": func(h *Heap) {
			before := h.Stats().Retained
			must(t, h, int(h.hdr.highest-h.first)<<granuleShift)
			require.Less(t, h.Stats().Retained, before-8000*h.region.PageSize())
			h.giveHeld(allPages) // there may be no more than the growth takes
		},
		"trim": func(h *Heap) { h.Trim() },
	} {
		for _, last := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/last=%v", name, last), func(t *testing.T) { testHeld(t, end, last) })
		}
	}
}

// heldMiB is the size of a region that has room for 30000 pages.
func heldMiB() int { return os.Getpagesize() >> 5 }

// testHeld frees a huge block, the last one or not, and lets end come.
func testHeld(t *testing.T, end func(h *Heap), last bool) {
	h, _ := calmHeap(t, heldMiB(), calmOps-1)
	size := 9000 * h.region.PageSize()
	b := must(t, h, size) // the heap grows, and is calm no more
	if !last {
		must(t, h, 48)
	}
	h.credit = 0
	grown := h.Stats().Committed
	h.Free(b)
	require.Less(t, h.Stats().Committed, grown-8000*h.region.PageSize(), "it is not calm")
	becomeCalm(t, h, calmOps-1)
	h.Free(must(t, h, 1<<20))
	require.Zero(t, h.heldTo, "a smaller block is not held")
	h.credit = 0
	b = must(t, h, size)
	full := h.Stats().Committed
	decommits := h.region.Stats().Decommits
	for range 5 {
		h.Free(b)
		require.Equal(t, full, h.Stats().Committed)
		b = must(t, h, size)
	}
	h.Free(b)
	require.Equal(t, decommits, h.region.Stats().Decommits)
	require.NoError(t, h.Check())
	before := h.Stats()
	end(h)
	require.Less(t, h.Stats().Retained, before.Retained-8000*h.region.PageSize())
	require.Less(t, h.credit, uint64(1<<20))
	require.Zero(t, h.heldTo, "what is freed next is held as long")
	require.NoError(t, h.Check())
}

// TestHeldWhileSlotsAreTaken: that it is time to give back is also seen if only slots are
// taken and freed, which are at hand.
func TestHeldWhileSlotsAreTaken(t *testing.T) {
	for _, o := range []Options{{}, {Sink: func(alloc.Event) {}}, {Mode: Checked, Quarantine: -1}} {
		o.Classes = []int{64}
		h := freshIn(t, heldMiB()<<20, &arena.Options{}, &o)
		for range 200 {
			must(t, h, 20) // now its class has runs
		}
		b := must(t, h, 9000*h.region.PageSize())
		must(t, h, 5000)
		h.Trim()
		h.credit, h.quick.share, h.quick.calm = 0, quickStill, 1
		h.Free(b)
		require.NotZero(t, h.heldTo)
		before := h.Stats()
		require.Greater(t, before.Retained, len(b))
		for range heldOps/2 + restEvery {
			h.Free(must(t, h, 20))
		}
		require.Less(t, h.Stats().Retained, before.Retained-8000*h.region.PageSize(), "sink %v, %v", o.Sink != nil, o.Mode)
	}
}

// TestHeldMakesUpForThePeak: when memory comes above its peak, what is held goes back first, also
// while a settled heap saves its credit up.
func TestHeldMakesUpForThePeak(t *testing.T) {
	h := freshIn(t, heldMiB()<<20, &arena.Options{}, nil)
	b := must(t, h, 9000*h.region.PageSize())
	must(t, h, 5000)
	h.Trim()
	h.quick.share, h.quick.still, h.quick.calm, h.credit = quickStill, settledOps, 1, 0
	h.Free(b)
	require.NotZero(t, h.heldTo)
	before := h.committed
	h.peak = before - 2*h.pageSize
	h.economize()
	require.Equal(t, before-heldLeast*h.pageSize, h.committed)
	require.Zero(t, h.credit)
	require.Equal(t, before-2*h.pageSize, h.peak)
	require.NoError(t, h.Check())
}

// TestDamageFoundWhileSlotsAreTaken: a call that finds damage when it is time to give back
// what is held hands out no slot, nor does a closed heap look.
func TestDamageFoundWhileSlotsAreTaken(t *testing.T) {
	for _, sink := range []alloc.Sink{nil, func(alloc.Event) {}} {
		h := fresh(t, 4<<20, &Options{Classes: []int{48}, Sink: sink})
		heat(t, h, 48)
		b := must(t, h, 100<<10)
		must(t, h, 50<<10)
		h.Free(b)
		h.hdr.bins[h.nextBin(binOf(100<<10>>granuleShift))] ^= 1 << 40
		h.classes[h.classOf[48/granule]].avail = 0
		h.heldTo, h.credit, h.sweepAt, h.lastSweep = 1, 1000, 0, h.mallocs+h.frees-restEvery
		_, err := h.Malloc(48)
		require.ErrorIs(t, err, alloc.ErrCorrupt)

		h = fresh(t, 4<<20, &Options{Classes: []int{48}, Sink: sink})
		heat(t, h, 48)
		h.Close()
		h.heldTo, h.sweepAt = 1, 0
		_, err = h.Malloc(48)
		require.ErrorIs(t, err, alloc.ErrClosed)
	}
}

// TestCalmGivesUpOneSpan: a calm heap that would have to grow takes what it needs from one
// larger span of its lists, also for a run, and empties them if there is none.
func TestCalmGivesUpOneSpan(t *testing.T) {
	const run = 256 // granules; with what may be lost to alignment 327, in the bucket before that of 370
	h := freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: []int{}})
	var kept [][]byte
	for i := range 30 {
		for _, size := range []int{8192, 370 * granule, 60 << 10} {
			b := must(t, h, size)
			must(t, h, 8192)
			if size == 8192 || i%10 == 0 {
				kept = append(kept, b)
			}
		}
	}
	must(t, h, 8192)
	becomeCalm(t, h, calmOps-1)
	for _, b := range kept {
		h.Free(b)
	}
	useUp(t, h)
	q, top := &h.quick, h.top
	total := q.total
	gone := func(granules uint64) {
		t.Helper()
		require.Equal(t, top, h.top)
		require.Equal(t, total-granules, q.total)
		total = q.total
		useUp(t, h)
	}
	b := must(t, h, 30_000) // more than 1/4 less than the large ones have
	gone(60 << 10 / granule)
	g := h.reserveSpan(run, onUnit(), true)
	require.NotZero(t, g)
	h.markUsed(g, run)
	h.countSpan(run)
	gone(370)
	must(t, h, 60<<10) // from its list
	gone(60 << 10 / granule)
	require.NoError(t, h.Check())
	h.Free(b)
	must(t, h, 64<<10) // larger than all
	require.Zero(t, q.total)
	require.Greater(t, h.top, top)
	require.NoError(t, h.Check())
}

// TestFreeAbove: the span that is given up is one of the first bucket above that of the request.
func TestFreeAbove(t *testing.T) {
	h, _ := calmHeap(t, 64, calmOps-1)
	var bs [][]byte
	for _, size := range []int{16 << 10, 18 << 10, 20 << 10} {
		bs = append(bs, must(t, h, size))
		must(t, h, 2064)
	}
	h.flushQuick()
	for _, b := range bs {
		h.Free(b)
	}
	for _, size := range []uint64{18 << 10, 20 << 10} {
		total := h.quick.total
		require.True(t, h.freeAbove((16<<10+16)/granule))
		require.Equal(t, total-size/granule, h.quick.total)
	}
	require.False(t, h.freeAbove((16<<10+16)/granule))
	require.False(t, h.freeAbove(quickMax))
	require.NotZero(t, h.quick.total)
	require.NoError(t, h.Check())
}

// TestCalmAligned: what is given up for an aligned block is large enough wherever it starts.
func TestCalmAligned(t *testing.T) {
	h, _ := calmHeap(t, 64, calmOps-1)
	var bs [][]byte
	for range 4 {
		bs = append(bs, must(t, h, 8192+2*granule), must(t, h, 40<<10))
		must(t, h, 8192)
	}
	h.flushQuick()
	for _, b := range bs {
		h.Free(b)
	}
	useUp(t, h)
	top, total := h.top, h.quick.total
	b, err := h.MallocAligned(7<<10, 8<<10)
	require.NoError(t, err)
	require.Zero(t, addrOf(b)%(8<<10))
	require.Equal(t, top, h.top)
	require.EqualValues(t, total-40<<10/granule, h.quick.total)
	require.NoError(t, h.Check())
}

// useUp takes what h has in free spans, and what it may have before it grows by pages that were
// not touched.
func useUp(t *testing.T, h *Heap) {
	take := func(g, n uint64) {
		require.NotZero(t, g)
		h.countSpan(n)
	}
	for h.freeSum != 0 {
		n := uint64(0)
		for bin := h.nextBin(0); bin != numBins; bin = h.nextBin(bin + 1) {
			n = h.spanSize(h.hdr.bins[bin])
		}
		take(h.allocSpan(n))
	}
	for h.top < h.hdr.dirty {
		n := max(minSpan, min(h.hdr.dirty-h.top, quickMax))
		take(h.allocTop(n))
	}
}
