package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// stillHeap returns a heap without classes of some MiB that has been in the same state
// for so long that its quick lists may hold much, and blocks of it.
func stillHeap(t *testing.T) (*Heap, [][]byte) {
	h := fresh(t, 64<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 512 {
		bs = append(bs, must(t, h, 8192))
	}
	for i := 0; h.quick.share != quickStill; i++ {
		require.Less(t, i, 1<<22, "it never comes to rest")
		h.Free(bs[i%len(bs)])
		bs[i%len(bs)] = must(t, h, 8192)
	}
	return h, bs
}

func TestQuickListsOfAStillHeap(t *testing.T) {
	h, bs := stillHeap(t)
	data := h.top - h.first
	require.Equal(t, data>>quickStill, h.quick.most)

	h.Free(bs[100])
	near := must(t, h, 6560) // 410 granules and a quarter are 512
	require.Equal(t, addrOf(bs[100]), addrOf(near), "the next bucket serves it")
	require.Equal(t, 8192, h.Usable(near))
	h.Free(bs[200])
	require.NotEqual(t, addrOf(bs[200]), addrOf(must(t, h, 6544)), "a quarter is the limit")
	require.NoError(t, h.Check())

	must(t, h, int(data<<granuleShift)/16)
	require.EqualValues(t, quickStill, h.quick.share, "it has grown by less than an eighth")
	must(t, h, int(data<<granuleShift)/10)
	require.EqualValues(t, quickShare, h.quick.share, "and by more")
	require.Less(t, h.quick.most, data>>quickStill)
	grown := h.quick.stood
	must(t, h, int(grown<<granuleShift)/20)
	require.Greater(t, h.quick.stood, grown, "now a twentieth is growth")
	require.NoError(t, h.Check())
}

func TestGrowIntoQuick(t *testing.T) {
	h, bs := stillHeap(t)
	at, after := h.top, addrOf(bs[0])
	for _, b := range bs {
		if addrOf(b) == addrOf(bs[7])+8192 {
			after = addrOf(b)
			h.Free(b)
		}
	}
	require.NotEqual(t, addrOf(bs[0]), after)
	grown, err := h.Realloc(bs[7], 12_000)
	require.NoError(t, err)
	require.Equal(t, addrOf(bs[7]), addrOf(grown), "its neighbour waited in a quick list")
	require.Equal(t, at, h.top)
	require.NoError(t, h.Check())
}

// TestTinyHeapGrows: a small heap prefers growing to emptying its lists.
func TestTinyHeapGrows(t *testing.T) {
	h := fresh(t, 1<<20, &Options{Classes: []int{}})
	a, b := must(t, h, 4096), must(t, h, 4096)
	h.Free(a)
	h.Free(b)
	c := must(t, h, 8192)
	require.Equal(t, addrOf(b)+4096, addrOf(c))
	h.Free(c)
	require.Equal(t, addrOf(c), addrOf(must(t, h, 8192)))
	require.Equal(t, addrOf(b), addrOf(must(t, h, 4096)))
	require.NoError(t, h.Check())
}

// TestTakesOfQuickLists: each way to take a span from a bucket takes it off the sum, counts,
// and notes that the bucket is of use; none changes anything if there is no span that does.
func TestTakesOfQuickLists(t *testing.T) {
	const bin = exactBins + (9-7)<<subBinShift // of 512 to 575 granules
	old, last := newQuickEntry(1000, 560), newQuickEntry(2000, 512)
	for name, c := range map[string]struct {
		take func(q *quickLists) quickEntry
		want quickEntry
	}{
		"newest":               {func(q *quickLists) quickEntry { e, _ := q.takeNewest(q.at(bin), 512); return e }, last},
		"newest too small":     {func(q *quickLists) quickEntry { e, _ := q.takeNewest(q.at(bin), 513); return e }, 0},
		"newest of none":       {func(q *quickLists) quickEntry { e, _ := q.takeNewest(q.at(bin+1), 1); return e }, 0},
		"own":                  {func(q *quickLists) quickEntry { return q.takeOwn(q.at(bin), 512) }, last},
		"own, not the newest":  {func(q *quickLists) quickEntry { return q.takeOwn(q.at(bin), 513) }, old},
		"own too small":        {func(q *quickLists) quickEntry { return q.takeOwn(q.at(bin), 561) }, 0},
		"near":                 {func(q *quickLists) quickEntry { return q.takeNear(exactBins, 410) }, last},
		"near, more by over ¼": {func(q *quickLists) quickEntry { return q.takeNear(exactBins, 409) }, 0},
		"near, past all":       {func(q *quickLists) quickEntry { return q.takeNear(bin+1, 600) }, 0},
		"near, past the last":  {func(q *quickLists) quickEntry { return q.takeNear(quickBuckets, quickMax) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			q := &quickLists{total: 560 + 512}
			b := q.at(bin)
			b.span[0], b.span[1], b.n = old, last, 2
			q.filled[bin/64] = 1 << (bin % 64)
			before := *q
			require.Equal(t, c.want, c.take(q))
			if c.want == 0 {
				require.Equal(t, before, *q)
				return
			}
			left := old + last - c.want
			require.Equal(t, left, b.span[0])
			require.EqualValues(t, 1, b.n)
			require.True(t, b.used)
			require.Equal(t, left.size(), q.total)
			require.EqualValues(t, 1, q.hits)
			require.Zero(t, q.misses)
		})
	}
}

// TestBucketsAreApart: each bucket has its own room, also through a chunk, and the one behind the
// last stays empty.
func TestBucketsAreApart(t *testing.T) {
	q := &quickLists{share: quickStill, most: 1 << 40}
	entry := func(i int, k uint16) quickEntry { return newQuickEntry(uint64(1+i), uint64(1+k)) }
	for i := range quickBuckets {
		b := q.at(i)
		for b.n < roomOf(i) {
			b.n++
			*b.newest() = entry(i, b.n-1)
		}
	}
	for range 2 { // the second time each has been in a chunk
		for i := range quickBuckets {
			b := q.at(i)
			require.Len(t, b.spans(), int(roomOf(i)), "bucket %d", i)
			for k, e := range b.spans() {
				require.Equal(t, entry(i, uint16(k)), e, "bucket %d", i)
			}
			require.True(t, q.spill(b))
			require.True(t, q.unspill(b))
		}
	}
	require.Equal(t, quickBucket{}, *q.at(quickBuckets))
}

// TestNearBuckets: the search of the next buckets finds spans in a chunk, and forgets buckets
// that have none left.
func TestNearBuckets(t *testing.T) {
	const bin = exactBins + (9-7)<<subBinShift
	q := &quickLists{total: quickSlots * 512}
	q.chunks = []quickChunk{{n: quickSlots}}
	for i := range q.chunks[0].span {
		q.chunks[0].span[i] = newQuickEntry(uint64(1+i)*1000, 512)
	}
	q.at(bin).more = 1
	q.filled[1], q.filled[2] = 1<<63, 1<<(bin%64)
	require.Equal(t, newQuickEntry(quickSlots*1000, 512), q.takeNear(exactBins-10, 500))
	require.Zero(t, q.filled[1], "there is none")
	require.NotZero(t, q.filled[2])
	require.EqualValues(t, quickSlots-1, q.at(bin).n)
	require.EqualValues(t, 1, q.spare)
}

// TestHitsAndMisses: each request of a span that is not too large counts as one that the
// quick lists served or as one that they did not.
func TestHitsAndMisses(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{64}})
	for _, size := range []int{48, 1000, 5000} { // a class that has no run yet, others
		for name, take := range map[string]func() ([]byte, error){
			"malloc": func() ([]byte, error) { return h.Malloc(size) },
			"calloc": func() ([]byte, error) { return h.Calloc(1, size) },
		} {
			before := h.quick
			b, err := take()
			require.NoError(t, err)
			require.Equal(t, before.misses+1, h.quick.misses, "%s of %d", name, size)
			h.Free(b)
			_, err = take()
			require.NoError(t, err)
			require.Equal(t, before.hits+1, h.quick.hits, "%s of %d", name, size)
			require.Equal(t, before.misses+1, h.quick.misses, "%s of %d", name, size)
		}
	}
	before := h.quick
	must(t, h, 2*quickMax<<granuleShift)
	require.Equal(t, before.misses, h.quick.misses, "it is none of theirs")
}

// TestLargestInQuickLists: quickMax granules are kept and come back, one more is not.
func TestLargestInQuickLists(t *testing.T) {
	h, _ := stillHeap(t)
	for _, c := range []struct {
		size int
		kept uint32
	}{{quickMax << granuleShift, 1}, {quickMax<<granuleShift + 1, 0}} {
		b := must(t, h, c.size)
		total, hits := h.quick.total, h.quick.hits
		h.Free(b)
		require.Equal(t, total+uint64(c.kept)*quickMax, h.quick.total)
		must(t, h, c.size)
		require.Equal(t, hits+c.kept, h.quick.hits)
	}
}

// TestFreeTicks: a Free of a span that is not just put into a bucket does what is due; one that
// is does not.
func TestFreeTicks(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{}})
	must(t, h, unitSize-64)
	bs := [][]byte{must(t, h, 128)} // its end is in the next unit
	for range quickFew {
		must(t, h, 64)
		bs = append(bs, must(t, h, 128))
	}
	bs = append(bs, must(t, h, 100_000))
	must(t, h, 64)
	for i, b := range bs {
		h.sweepAt = h.mallocs + h.frees
		h.Free(b)
		if i < quickFew {
			require.Less(t, h.lastTick, h.mallocs+h.frees, "block %d", i)
			continue
		}
		require.Equal(t, h.mallocs+h.frees, h.lastTick, "block %d", i)
		require.Greater(t, h.sweepAt, h.lastTick)
	}
}
