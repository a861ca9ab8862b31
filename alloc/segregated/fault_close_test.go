package segregated

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
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
	t.Run("A32_after_close_in_a_row", func(t *testing.T) {
		for name, f := range map[string]func(h *Heap) error{
			"slot":    func(h *Heap) error { _, err := h.Malloc(10); return err },
			"span":    func(h *Heap) error { _, err := h.Malloc(3000); return err },
			"large":   func(h *Heap) error { _, err := h.Malloc(1 << 20); return err },
			"calloc":  func(h *Heap) error { _, err := h.Calloc(1, 10); return err },
			"aligned": func(h *Heap) error { _, err := h.MallocAligned(10, 64); return err },
			"realloc": func(h *Heap) error { _, err := h.Realloc(nil, 10); return err },
		} {
			h := fresh(t, 64<<20, nil)
			rest := freeInNotes(t, h, shuffled(t, h, 4000, 16), 200)
			h.Close()
			require.ErrorIs(t, f(h), alloc.ErrClosed, name)
			require.ErrorIs(t, alloc.Try(func() { h.Free(rest[0]) }), alloc.ErrClosed)
			require.NoError(t, h.Check())
			require.Zero(t, h.Trim())
		}
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

// TestClosedKeepsFewAddresses: what a closed heap keeps of a region of its own, so that a
// late use faults (Checked) or so that who is still inside can look (Shared), is no more
// than the metadata and what was used.
func TestClosedKeepsFewAddresses(t *testing.T) {
	r, err := arena.Reserve(1<<20, nil)
	require.NoError(t, err)
	err = r.Shrink(1 << 19)
	require.NoError(t, r.Close())
	if err != nil && runtime.GOOS != "linux" {
		t.Skip("mappings are not divided on this system")
	}
	require.NoError(t, err)
	const used = 1 << 20
	few := func(h *Heap, first uint64) {
		t.Helper()
		_, err := h.region.Resident()
		require.NoError(t, err, "the region is gone")
		require.GreaterOrEqual(t, h.region.Size(), int(first)<<granuleShift+used)
		require.Less(t, h.region.Size(), int(first)<<granuleShift+2*used)
	}

	h, err := New(nil, &Options{Mode: Checked})
	require.NoError(t, err)
	first := h.hdr.first
	b := must(t, h, used)
	h.Free(b)
	require.NoError(t, h.Close())
	few(h, first)
	require.Error(t, h.Try(func() { b[0]++ }), "the first byte can be used")
	require.Error(t, h.Try(func() { b[used-1]++ }), "the last byte can be used")

	s, err := NewShared(nil, nil)
	require.NoError(t, err)
	first = s.h.hdr.first
	b = must(t, s, used)
	s.Free(b)
	require.NoError(t, s.Close())
	few(s.h, first)
	runtime.KeepAlive(s)
}
