package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMoreThanABucket: a heap that is still keeps more spans of a size than a bucket
// holds, and hands all of them out again.
func TestMoreThanABucket(t *testing.T) {
	h, bs := stillHeap(t)
	const n = 5*quickSlots + 3
	freed := map[uintptr]bool{}
	for _, b := range bs[:n] {
		freed[addrOf(b)] = true
		h.Free(b)
	}
	require.EqualValues(t, n*8192>>granuleShift, h.quick.total, "none is joined with others")
	require.Len(t, h.quick.chunks, 5)
	require.EqualValues(t, 8192>>granuleShift, h.quick.largest())
	require.NoError(t, h.Check())
	for i := range n {
		b := must(t, h, 8192)
		require.True(t, freed[addrOf(b)], "block %d is one of those", i)
		delete(freed, addrOf(b))
		bs[i] = b
	}
	require.Zero(t, h.quick.total)
	require.NoError(t, h.Check())

	for _, b := range bs[:n] {
		h.Free(b)
	}
	require.Len(t, h.quick.chunks, 5, "spare chunks are used again")
	h.flushQuick()
	require.Zero(t, h.quick.total)
	require.Empty(t, h.quick.chunks)
	require.NotZero(t, cap(h.quick.chunks), "their place is kept")
	h.Trim()
	require.Zero(t, cap(h.quick.chunks))
	require.NoError(t, h.Check())
}

// TestBucketsLeaveRoom: one size does not fill the lists to the last.
func TestBucketsLeaveRoom(t *testing.T) {
	h, bs := stillHeap(t)
	for _, b := range bs[:256] {
		h.Free(b)
	}
	h.endRow()
	require.Greater(t, h.quick.total, h.quick.most/2)
	require.LessOrEqual(t, h.quick.total, h.quick.most/4*3+quickSlots*8192>>granuleShift)
	require.NoError(t, h.Check())
}

// TestChunksAreFew: in a large heap it is the number of spans that is bounded, as all are
// joined when the heap is to grow.
func TestChunksAreFew(t *testing.T) {
	q := &quickLists{share: quickStill, most: 1 << 30}
	for range 2 * chunksMost {
		b := q.at(exactBins)
		b.n = quickSlots
		require.Equal(t, len(q.chunks) < chunksMost, q.spill(b))
	}
	require.Equal(t, chunksMost, cap(q.chunks))
	q = &quickLists{share: quickStill, most: 10 * chunkShare}
	for range 20 {
		q.spill(q.at(exactBins))
	}
	require.Len(t, q.chunks, 10)
}

// TestCheckFindsFullNarrow: a narrow bucket that says that it has more than its line has room for.
func TestCheckFindsFullNarrow(t *testing.T) {
	h := fresh(t, 4<<20, &Options{Classes: []int{}})
	h.Free(must(t, h, 512))
	require.NoError(t, h.Check())
	b := h.quick.at(512 >> granuleShift)
	require.EqualValues(t, 1, b.n)
	b.n = quickFew + 1
	require.ErrorContains(t, h.Check(), "has room for 7 spans")
	h.fail("broken on purpose") // so that the end of the test does not check
}

// TestCheckFindsQuick breaks what L5 says of quick lists, with the counter left right.
func TestCheckFindsQuick(t *testing.T) {
	i := binOf(8192 >> granuleShift)
	for name, harm := range map[string]func(q *quickLists, b *quickBucket){
		"another start":    func(_ *quickLists, b *quickBucket) { b.span[0] += 1 << quickBits },
		"another size":     func(_ *quickLists, b *quickBucket) { b.span[0]-- },
		"there twice":      func(_ *quickLists, b *quickBucket) { b.span[0] = b.span[1] },
		"too many":         func(_ *quickLists, b *quickBucket) { b.n = quickSlots + 1 },
		"lost":             func(_ *quickLists, b *quickBucket) { b.n-- },
		"lost chunks":      func(_ *quickLists, b *quickBucket) { b.more = 0 },
		"chunks in circle": func(q *quickLists, b *quickBucket) { q.chunks[b.more-1].next = b.more },
		"another bucket":   func(q *quickLists, b *quickBucket) { *q.at(i + 1), *b = *b, quickBucket{} },
		"bit":              func(q *quickLists, _ *quickBucket) { q.filled = [len(q.filled)]uint64{} },
	} {
		t.Run(name, func(t *testing.T) {
			h, bs := stillHeap(t)
			for _, b := range bs[:2*quickSlots+3] {
				h.Free(b)
			}
			require.NoError(t, h.Check())
			harm(&h.quick, h.quick.at(i))
			require.ErrorContains(t, h.Check(), "L5:")
			h.fail("broken on purpose") // so that the end of the test does not check
		})
	}
}
