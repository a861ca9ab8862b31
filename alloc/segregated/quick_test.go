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
	near := must(t, h, 6720)
	require.Equal(t, addrOf(bs[100]), addrOf(near), "the next bucket serves it")
	require.Equal(t, 8192, h.Usable(near))
	h.Free(bs[200])
	require.NotEqual(t, addrOf(bs[200]), addrOf(must(t, h, 6144)), "a quarter is the limit")
	require.NoError(t, h.Check())

	must(t, h, int(data<<granuleShift)/5)
	require.EqualValues(t, quickStill, h.quick.share, "it has grown by less than a quarter")
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
