package segregated

import (
	"errors"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

func TestFaultSizes(t *testing.T) {
	t.Run("A01_malloc_zero", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		seen := map[uintptr]bool{}
		for range 1000 {
			b := must(t, h, 0)
			require.NotNil(t, b)
			require.Empty(t, b)
			require.False(t, seen[addrOf(b)])
			seen[addrOf(b)] = true
			defer h.Free(b)
		}
	})
	t.Run("A02_negative_size", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		keep := must(t, h, 100)
		before := figures(h)
		for _, n := range []int{-1, -16, math.MinInt, math.MinInt + 15} {
			_, err := h.Malloc(n)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.Calloc(n, 1)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.Realloc(keep, n)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.MallocAligned(n, 64)
			require.ErrorIs(t, err, alloc.ErrSize)
		}
		require.Equal(t, before, figures(h))
	})
	t.Run("A03_above_limit", func(t *testing.T) {
		h := fresh(t, 8<<20, &Options{Limit: 1 << 20})
		before := figures(h)
		_, err := h.Malloc(2 << 20)
		var nm *alloc.NoMemoryError
		require.ErrorAs(t, err, &nm)
		require.Equal(t, 2<<20, nm.Requested)
		require.Equal(t, 1<<20, nm.Limit)
		require.Positive(t, nm.LargestFree)
		require.Less(t, nm.LargestFree, 1<<20)
		after := figures(h)
		require.EqualValues(t, 1, after.Failed)
		after.Failed = 0
		require.Equal(t, before, after)
	})
	t.Run("A03_limit_below_the_metadata", func(t *testing.T) {
		for limit := 1; limit < 64<<10; limit = limit*3/2 + 1 {
			h, err := New(nil, &Options{Limit: limit})
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				nm, ok := errors.AsType[*alloc.NoMemoryError](err)
				require.True(t, ok)
				require.Equal(t, limit, nm.Limit)
				continue
			}
			require.LessOrEqual(t, h.Stats().Committed, limit)
			require.NoError(t, h.Close())
		}
	})
	t.Run("A03_region_names_the_limit", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		_, err := h.Malloc(5 << 20)
		nm, ok := errors.AsType[*alloc.NoMemoryError](err)
		require.True(t, ok)
		require.Equal(t, 4<<20, nm.Limit)
	})
	t.Run("A04_near_the_largest_int", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for d := range 40 {
			_, err := h.Malloc(math.MaxInt - d)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			_, err = h.MallocAligned(math.MaxInt-d, 4096)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
	})
	t.Run("A05_calloc_overflow", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, c := range [][2]int{{math.MaxInt, 2}, {2, math.MaxInt}, {1 << (strconv.IntSize / 2), 1 << (strconv.IntSize / 2)}, {-1, 1}, {1, -1}, {-1, -1}} {
			_, err := h.Calloc(c[0], c[1])
			require.ErrorIs(t, err, alloc.ErrSize)
		}
	})
	t.Run("A06_calloc_on_dirty_memory", func(t *testing.T) {
		h := fresh(t, 16<<20, nil)
		for round := range 3 {
			for _, size := range sizesOfAllKinds() {
				b := must(t, h, size)
				all := b[:len(b):len(b)]
				for i := range all {
					all[i] = 0xEE
				}
				h.Free(b)
				z, err := h.Calloc(1, size)
				require.NoError(t, err)
				usable := h.mem[addrOf(z)-addrOf(h.mem):][:h.Usable(z)]
				require.NoError(t, filled(usable, 0), "round %d: %d bytes", round, size)
				h.Free(z)
			}
			h.Trim()
		}
	})
	t.Run("A07_bad_alignment", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		b := must(t, h, 100)
		for _, a := range []int{0, 3, -1, -16, 24, math.MinInt} {
			_, err := h.MallocAligned(100, a)
			require.ErrorIs(t, err, alloc.ErrAlign)
			_, err = h.ReallocAligned(b, 200, a)
			require.ErrorIs(t, err, alloc.ErrAlign)
		}
	})
	t.Run("A08_large_alignment", func(t *testing.T) {
		h := fresh(t, 64<<20, nil)
		for a := 1; a > 0; a <<= 1 {
			b, err := h.MallocAligned(100, a)
			if err != nil {
				require.Greater(t, a, 1<<20)
				require.True(t, errors.Is(err, alloc.ErrAlign) || errors.Is(err, alloc.ErrNoMemory))
				continue
			}
			require.Zero(t, addrOf(b)%uintptr(a))
			h.Free(b)
		}
	})
	t.Run("A48_32_bit_sizes", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, shift := range []uint{31, 32, 33, 47, 62} {
			n := uint64(1) << shift
			if n > math.MaxInt {
				continue // no int says it, so none can be truncated
			}
			_, err := h.Malloc(int(n) + 8)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
	})
}
