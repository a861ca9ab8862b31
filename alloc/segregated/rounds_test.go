package segregated

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
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
	require.GreaterOrEqual(t, h.Stats().Retained, len(bs)*size-2*reserveSize<<granuleShift, "but for the reserve, and where it was")
	small(max(heldOps, heldRounds*h.rounds.ops) + 2*restEvery)
	require.Less(t, h.Stats().Retained, 1<<20)
}

// TestRoundsPopulate: pages that were given back come together when a block needs them in a heap
// that comes back to what it was, if it is not so large that it may be left untouched.
func TestRoundsPopulate(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux populates")
	}
	resident := func(h *Heap) int {
		n, err := h.region.Resident()
		require.NoError(t, err)
		return n
	}
	for _, c := range []struct {
		pages   int
		emptied bool
		want    int
	}{{20, true, 20}, {20, false, 0}, {soonPages + 20, true, 0}} {
		h := freshIn(t, heldMiB()<<20, &arena.Options{}, &Options{Classes: []int{}})
		page := h.region.PageSize()
		if arenatest.New().Advise(h.mem[:page], arena.AdvisePopulate) != nil {
			t.Skip("the system does not populate")
		}
		b := must(t, h, 2*soonPages*page)
		must(t, h, 5000)
		h.Free(b)
		h.rounds.emptied = c.emptied
		before := resident(h)
		must(t, h, c.pages*page)
		require.InDelta(t, before+c.want*page, resident(h), 3*float64(page))
	}
}
