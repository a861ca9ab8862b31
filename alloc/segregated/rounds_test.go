package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestRounds: a round is over when a heap that was emptied uses as much again, and not if some
// of it stayed in use, or it has grown.
func TestRounds(t *testing.T) {
	const grew = 1 << 20
	for _, c := range []struct {
		used []uint64
		want bool
	}{
		{[]uint64{grew}, false},
		{[]uint64{grew >> quickEmpty, grew}, false},
		{[]uint64{grew>>quickEmpty - 1, grew - grew>>quickNear}, false},
		{[]uint64{grew>>quickEmpty - 1, grew - grew>>quickNear + 1}, true},
		{[]uint64{0, grew / 2, grew}, true},
		{[]uint64{0, grew, grew}, false},
	} {
		var q quickLists
		var r rounds
		q.prepare()
		q.grown(grew, 0)
		over := false
		for i, n := range c.used {
			over = r.watch(&q, n, uint64(100*(i+1)))
		}
		require.Equal(t, c.want, over, "%d", c.used)
		if over {
			require.EqualValues(t, 100*(len(c.used)-1), r.ops)
		}
		q.grown(2*grew, 1000)
		require.False(t, r.watch(&q, 2*grew, 1000))
		require.Zero(t, r.ops, "it has grown")
	}
}

// TestRoundsKeepPages: a heap that frees all and takes as much again keeps its pages from the
// second round on, also those of a huge free span, but not for long once it stays empty.
func TestRoundsKeepPages(t *testing.T) {
	h := freshIn(t, heldMiB()<<20, &arena.Options{}, nil)
	size := 60 * h.region.PageSize()
	bs := make([][]byte, 200)
	small := func(ops uint64) {
		for range ops / 2 {
			h.Free(must(t, h, 100))
		}
	}
	for i := range 4 {
		before := h.Stats().Committed
		for i := range bs {
			bs[i] = must(t, h, size)
		}
		small(8 * restEvery)
		for _, b := range bs {
			h.Free(b)
		}
		small(8 * restEvery)
		if lost := before - h.Stats().Committed; i > 1 {
			require.True(t, h.inRounds())
			require.Less(t, lost, 10*h.region.PageSize())
		}
	}
	require.GreaterOrEqual(t, h.Stats().Retained, len(bs)*size)
	small(max(heldOps, heldRounds*h.rounds.ops) + 2*restEvery)
	require.Less(t, h.Stats().Retained, 1<<20)
}
