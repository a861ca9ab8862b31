package arena_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// mustRefuse expects that m is no live mark of a, and that a is as before.
func mustRefuse(t *testing.T, a *arena.Arena, m arena.Mark, why string) {
	t.Helper()
	before := a.Stats()
	if invariants.Enabled {
		require.ErrorIs(t, panicOf(func() { _ = a.Release(m) }), arena.ErrMark, why)
	} else {
		require.ErrorIs(t, a.Release(m), arena.ErrMark, why)
	}
	require.Equal(t, before, a.Stats(), why)
	require.NoError(t, a.Check(), why)
}

// TestMarksThatAreNotLive releases marks whose place in the stack was taken by
// another since: depth and position are the same, the mark is not.
func TestMarksThatAreNotLive(t *testing.T) {
	for name, newArena := range arenas(t) {
		t.Run(name, func(t *testing.T) {
			a := newArena()
			mustRefuse(t, a, arena.Mark{}, "the zero mark of an empty arena")
			first := a.Mark()
			require.NoError(t, a.Release(first))
			mustRefuse(t, a, first, "released before")
			second := a.Mark()
			mustRefuse(t, a, first, "another has its place")
			_, err := a.Alloc(1000, 8)
			require.NoError(t, err)
			third := a.Mark()
			copied := third
			require.NoError(t, a.Release(copied), "a mark is a value")
			mustRefuse(t, a, third, "its copy was released")
			require.NoError(t, a.Trim())
			require.NoError(t, a.Release(second), "Trim leaves marks alone")
			require.Zero(t, a.Stats().Used)
			last := a.Mark()
			a.Reset()
			again := a.Mark()
			mustRefuse(t, a, last, "made before the Reset")
			other := newArena()
			mustRefuse(t, other, again, "another arena's")
			require.NoError(t, other.Close())
			require.NoError(t, a.Close())
			require.Zero(t, a.Stats().Marks)
			mustRefuse(t, a, again, "closed")
		})
	}
}

// TestMarkBeforeTheFirstChunk goes back to where nothing was reserved, with a
// chunk in between that is too small for what comes next.
func TestMarkBeforeTheFirstChunk(t *testing.T) {
	a := arena.NewArena(&arena.Options{Backing: arena.GoHeap})
	start := a.Mark()
	small, err := a.Alloc(100, 8)
	require.NoError(t, err)
	fillWith(small, 1)
	mid := a.Mark()
	big, err := a.Alloc(10<<20, 8)
	require.NoError(t, err)
	fillWith(big, 2)
	require.Equal(t, 2, a.Stats().Chunks)
	require.NoError(t, a.Release(mid))
	require.Equal(t, 100, a.Stats().Used)
	require.True(t, isFilledWith(small, 1))
	bigger, err := a.Alloc(12<<20, 8)
	require.NoError(t, err, "the empty chunk is too small: one more goes before it")
	require.True(t, isFilledWith(bigger, 0))
	require.Equal(t, 3, a.Stats().Chunks)
	require.NoError(t, a.Check())
	require.NoError(t, a.Release(start))
	require.Zero(t, a.Stats().Used)
	again, err := a.Alloc(9<<20, 8)
	require.NoError(t, err)
	require.True(t, isFilledWith(again, 0), "used before: cleared")
	require.Equal(t, 3, a.Stats().Chunks, "nothing more is reserved")
	require.GreaterOrEqual(t, a.Stats().Peak, 12<<20+100)
	require.NoError(t, a.Check())
	require.NoError(t, a.Close())
}

// TestMakeSliceOverflow holds products that wrap to something small, which a
// check of the sign alone would let through.
func TestMakeSliceOverflow(t *testing.T) {
	var a arena.Arena
	const wraps = math.MaxInt/8 + 2 // times 16: 16 modulo the size of a word
	for _, n := range []int{wraps, math.MaxInt, math.MaxInt/16 + 1} {
		_, err := arena.MakeSlice[point](&a, 0, n)
		require.ErrorIs(t, err, arena.ErrSize, "%d points", n)
		require.ErrorContains(t, err, "arena: makeslice")
		_, err = arena.MakeSlice[point](&a, n, n)
		require.ErrorIs(t, err, arena.ErrSize, "%d points", n)
	}
	_, err := arena.MakeSlice[point](&a, 1, 0)
	require.ErrorIs(t, err, arena.ErrSize)
	require.Zero(t, a.Stats(), "a failed call changes nothing")

	none, err := arena.MakeSlice[struct{}](&a, math.MaxInt, math.MaxInt)
	require.NoError(t, err, "elements of no size take no room")
	require.Len(t, none, math.MaxInt)
	empty, err := arena.MakeSlice[uint64](&a, 0, 0)
	require.NoError(t, err)
	require.NotNil(t, empty)
	bytes, err := arena.MakeSlice[byte](&a, 3, 3)
	require.NoError(t, err)
	words, err := arena.MakeSlice[uint64](&a, 2, 2)
	require.NoError(t, err)
	bytes = append(bytes, 0xFF) // beyond its capacity: moves to the Go heap
	require.Equal(t, []uint64{0, 0}, words)
	require.Equal(t, []byte{0, 0, 0, 0xFF}, bytes)
	require.NoError(t, a.Close())
	_, err = arena.MakeSlice[byte](&a, 1, 1)
	require.ErrorIs(t, err, arena.ErrClosed)
	_, err = arena.New[point](&a)
	require.ErrorIs(t, err, arena.ErrClosed)
}
