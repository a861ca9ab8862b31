package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

func TestFaultRealloc(t *testing.T) {
	t.Run("A20_realloc_nil", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		b, err := h.Realloc(nil, 100)
		require.NoError(t, err)
		require.Len(t, b, 100)
		z, err := h.Realloc(nil, 0)
		require.NoError(t, err)
		require.NotNil(t, z)
		h.Free(z)
		h.Free(b)
	})
	t.Run("A21_realloc_to_zero", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, size := range []int{10, 1000, 100000} {
			b, err := h.Realloc(must(t, h, size), 0)
			require.NoError(t, err)
			require.Nil(t, b)
		}
		require.Zero(t, h.Stats().LiveBlocks)
	})
	t.Run("A22_realloc_of_bad_blocks", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		other := fresh(t, 4<<20, nil)
		for _, size := range []int{64, 1000, 5000, 50000} {
			b, f := must(t, h, size), must(t, other, size)
			unchanged(t, h, alloc.ErrInvalidFree, func() { h.Realloc(b[16:], 10) })
			unchanged(t, h, alloc.ErrForeign, func() { h.Realloc(f, 10) })
			h.Free(b)
			for _, to := range []int{0, 1, size, 2 * size} {
				unchanged(t, h, alloc.ErrDoubleFree, func() { h.Realloc(b, to) })
			}
			unchanged(t, h, alloc.ErrDoubleFree, func() { h.Usable(b) })
		}
	})
	t.Run("A23_growth_fails", func(t *testing.T) {
		h := fresh(t, 8<<20, &Options{Limit: 1 << 20})
		for _, size := range []int{64, 1000, 5000, 50000} {
			b := must(t, h, size)
			fill(b, 7)
			_, err := h.Realloc(b, 4<<20)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.NoError(t, filled(b, 7))
			h.Free(b)
		}
	})
	t.Run("A24_moves", func(t *testing.T) {
		h := fresh(t, 32<<20, nil)
		for _, size := range []int{1, 16, 500, 2500, 5000, 200000} {
			b := must(t, h, size)
			guard := must(t, h, 16)
			fill(b, 9)
			c, err := h.Realloc(b, 4*size+1000)
			require.NoError(t, err)
			require.NoError(t, filled(c[:size], 9))
			if addrOf(c) != addrOf(b) {
				require.Error(t, alloc.Try(func() { h.Free(b) }))
			}
			h.Free(c)
			h.Free(guard)
		}
	})
	t.Run("A25_shrink_then_grow", func(t *testing.T) {
		h := fresh(t, 8<<20, &Options{ZeroOnFree: true})
		b := must(t, h, 100000)
		fill(b, 0xAB)
		b, err := h.Realloc(b, 5000)
		require.NoError(t, err)
		b, err = h.Realloc(b, 100000)
		require.NoError(t, err)
		require.NoError(t, filled(b[5008:], 0)) // 5000 rounded up to the granule
	})
}
