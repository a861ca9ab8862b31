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
	h.Trim()
	require.Zero(t, h.quick.total)
	require.Empty(t, h.quick.chunks)
	require.NoError(t, h.Check())
}

// TestBucketsLeaveRoom: one size does not fill the lists to the last.
func TestBucketsLeaveRoom(t *testing.T) {
	h, bs := stillHeap(t)
	for _, b := range bs[:256] {
		h.Free(b)
	}
	require.Greater(t, h.quick.total, h.quick.most/2)
	require.LessOrEqual(t, h.quick.total, h.quick.most/4*3+quickSlots*8192>>granuleShift)
	require.NoError(t, h.Check())
}
