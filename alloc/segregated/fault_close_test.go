package segregated

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/internal/invariants"
)

func TestFaultClose(t *testing.T) {
	t.Run("A32_after_close", func(t *testing.T) {
		h, err := New(nil, nil)
		require.NoError(t, err)
		b := must(t, h, 100)
		h.Close()
		_, err = h.Malloc(10)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.Malloc(1 << 20)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.Calloc(1, 10)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.Realloc(b, 10)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.MallocAligned(10, 64)
		require.ErrorIs(t, err, alloc.ErrClosed)
		require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrClosed)
		require.ErrorIs(t, alloc.Try(func() { h.Usable(b) }), alloc.ErrClosed)
		_, err = h.Compact(1<<20, func(from, to []byte) bool { return true })
		require.ErrorIs(t, err, alloc.ErrClosed)
		require.NoError(t, h.Check())
		require.Zero(t, h.Trim())
		for range h.Blocks() {
			t.Fatal("a closed heap has a block")
		}
		require.Zero(t, h.Stats().Committed)
	})
	t.Run("A34_close_twice", func(t *testing.T) {
		h, err := New(nil, nil)
		require.NoError(t, err)
		require.NoError(t, h.Close())
		if invariants.Enabled {
			require.Panics(t, func() { h.Close() })
			return
		}
		require.NoError(t, h.Close())
	})
	t.Run("A35_leaks", func(t *testing.T) {
		h, err := New(nil, nil)
		require.NoError(t, err)
		must(t, h, 100)
		must(t, h, 5000)
		var leak *alloc.LeakError
		require.ErrorAs(t, h.Close(), &leak)
		require.Equal(t, 2, leak.Blocks)
		require.Equal(t, 112+5008, leak.Bytes)
	})
}
