package fit

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Each verb that finds no memory says what was asked for and what there is,
// counts it, tells the sink, and changes nothing else.
func TestRefusalFigures(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			told := 0
			h, err := open(region(t, 64<<10, arena.GoHeap), &Options{Sink: func(e alloc.Event) {
				if e.Kind == alloc.EventFailed {
					told++
				}
			}})
			require.NoError(t, err)
			b := mallocs(t, h, 1000)[0]
			paint(b, 5)
			before := lasting(h)
			for i, call := range []func() error{
				func() error { _, err := h.Malloc(1 << 20); return err },
				func() error { _, err := h.Calloc(1<<10, 1<<10); return err },
				func() error { _, err := h.Realloc(b, 1<<20); return err },
				func() error { _, err := h.MallocAligned(1<<20, 64); return err },
				func() error { _, err := h.ReallocAligned(b, 1<<20, 64); return err },
			} {
				err := call()
				nm, ok := errors.AsType[*alloc.NoMemoryError](err)
				require.True(t, ok, "call %d: %v", i, err)
				require.Equal(t, 1<<20, nm.Requested, "call %d", i)
				require.Positive(t, nm.LargestFree, "call %d", i)
				require.Less(t, nm.LargestFree, 64<<10, "call %d", i)
				require.EqualValues(t, i+1, h.Stats().Failed)
				require.Equal(t, i+1, told)
				require.Equal(t, before, lasting(h), "call %d", i)
				require.NoError(t, painted(b, 5))
				require.NoError(t, h.Check())
			}
			// The largest free block is one: it can be had, and nothing larger.
			err = func() error { _, err := h.Malloc(1 << 20); return err }()
			nm, _ := errors.AsType[*alloc.NoMemoryError](err)
			_, err = h.Malloc(nm.LargestFree + 256)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			c, err := h.Malloc(nm.LargestFree / 2)
			require.NoError(t, err)
			h.Free(c)
			h.Free(b)
		})
	}
}

// Sizes and alignments that make no sense are errors of their kind for each
// verb, and cost nothing.
func TestNonsenseIsRefused(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		b := mallocs(t, h, 100)[0]
		paint(b, 6)
		before := h.Stats()
		for _, size := range []int{-1, -8, -1 << 20, math.MinInt, math.MinInt + 1} {
			_, err := h.Malloc(size)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
			_, err = h.Calloc(size, 4)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
			_, err = h.Calloc(4, size)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
			_, err = h.Realloc(b, size)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
			_, err = h.Realloc(nil, size)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
			_, err = h.MallocAligned(size, 64)
			require.ErrorIs(t, err, alloc.ErrSize, "%d", size)
		}
		for _, align := range []int{0, -1, 3, 12, 100, math.MaxInt, math.MinInt} {
			_, err := h.MallocAligned(10, align)
			require.ErrorIs(t, err, alloc.ErrAlign, "%d", align)
			_, err = h.ReallocAligned(b, 200, align)
			require.ErrorIs(t, err, alloc.ErrAlign, "%d", align)
		}
		require.Equal(t, before, h.Stats())
		require.NoError(t, painted(b, 6))
		require.NoError(t, h.Check())
	})(t)
}

// A view that shows a part of its block is the block for every verb.
func TestShortViews(t *testing.T) {
	everyKind(func(t *testing.T, h fullHeap) {
		b := mallocs(t, h, 1000, 16)[0]
		paint(b, 8)
		require.Equal(t, h.Usable(b), h.Usable(b[:1]))
		require.Equal(t, h.Usable(b), h.Usable(b[:0]))
		c, err := h.Realloc(b, 3000)
		require.NoError(t, err)
		require.NoError(t, painted(c[:1000], 8))
		h.Free(c[:1])
		require.Equal(t, 1, h.Stats().LiveBlocks)
		wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(c) })
		require.NoError(t, h.Check())
	})(t)
}
