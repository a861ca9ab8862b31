package segregated

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

func TestFaultFree(t *testing.T) {
	t.Run("A09_free_nil", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		before := figures(h)
		h.Free(nil)
		require.Equal(t, before, figures(h))
	})
	t.Run("A10_double_free", func(t *testing.T) {
		for _, size := range sizesOfAllKinds() {
			h := fresh(t, 8<<20, nil)
			// Alone, then between neighbours, then as a slot of a run.
			for _, around := range []int{0, 1, 200} {
				var side [][]byte
				for range around {
					side = append(side, must(t, h, min(size, 600)))
				}
				b := must(t, h, size)
				for range around {
					side = append(side, must(t, h, min(size, 600)))
				}
				h.Free(b)
				f := unchanged(t, h, alloc.ErrDoubleFree, func() { h.Free(b) })
				require.Equal(t, "free", f.Op)
				require.True(t, f.InRegion)
				for _, s := range side {
					h.Free(s)
				}
			}
		}
	})
	t.Run("A11_double_free_after_coalescing", func(t *testing.T) {
		for _, size := range sizesOfAllKinds() {
			h := fresh(t, 16<<20, &Options{Classes: []int{}})
			var bs [][]byte
			for range 5 {
				bs = append(bs, must(t, h, size))
			}
			h.Free(bs[1])
			h.Free(bs[3])
			h.Free(bs[2])
			h.flushQuick()
			for _, b := range bs[1:4] {
				err := alloc.Try(func() { h.Free(b) })
				require.True(t, errors.Is(err, alloc.ErrDoubleFree) || errors.Is(err, alloc.ErrInvalidFree), "%v", err)
			}
			require.NoError(t, h.Check())
		}
	})
	t.Run("A13_interior", func(t *testing.T) {
		for _, size := range []int{64, 500, 1000, 5000, 20000, 1 << 20} {
			h := fresh(t, 8<<20, nil)
			for range 100 { // so that small sizes have runs
				must(t, h, min(size, 1000))
			}
			b := must(t, h, size)
			for _, i := range []int{1, 8, 16, 48, size / 2, size / 2 &^ 15, size - 1} {
				f := unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[i:]) })
				require.NotNil(t, f.Block, "size %d at %d", size, i)
				require.True(t, f.Block.Used)
				require.EqualValues(t, addrOf(b)-addrOf(h.mem), f.Block.Off)
				require.EqualValues(t, i, f.Off-f.Block.Off)
			}
			h.Free(b)
		}
	})
	t.Run("A13_behind_the_last_slot", func(t *testing.T) {
		// Where a run has too little room for one more slot, its address is no block's.
		for _, size := range DefaultClasses()[1:] {
			h := fresh(t, 8<<20, &Options{Classes: []int{size}})
			for h.classes[1].cur == 0 {
				must(t, h, size)
			}
			run, c := uint64(h.classes[1].cur), h.classes[1]
			for slot := uintptr(c.numSlots()); slot < 64 && (slot*c.size) < c.units<<unitShift; slot++ {
				b := h.mem[run<<unitShift+uint64(slot*c.size):][:1]
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b) })
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Realloc(b, size) })
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Usable(b) })
			}
		}
	})
	t.Run("A14_misaligned", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, size := range []int{64, 5000} {
			b := must(t, h, size)
			for i := 1; i < 16; i++ {
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[i:]) })
			}
			h.Free(b)
			for i := 1; i < 16; i++ { // free by now, and still no block's base, but perhaps a tiny one's
				if i != tinySize {
					unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[i:]) })
				}
			}
			unchanged(t, h, alloc.ErrDoubleFree, func() { h.Free(b[tinySize:]) })
		}
	})
	t.Run("A15_other_heap", func(t *testing.T) {
		var owners alloc.Owners
		named := func(name string, mode Mode) *Options {
			return &Options{Mode: mode, Owners: &owners, Name: name}
		}
		for _, mode := range []Mode{Fast, Checked, Guarded} {
			h, other := fresh(t, 4<<20, named("ours", mode)), fresh(t, 4<<20, named("theirs", Fast))
			stranger := fresh(t, 4<<20, nil)
			for _, size := range sizesOfAllKinds() {
				for heap, owner := range map[*Heap]string{other: "theirs", stranger: ""} {
					b := must(t, heap, size)
					unchanged(t, h, alloc.ErrForeign, func() { h.Free(b) })
					var f *alloc.Fault
					require.ErrorAs(t, alloc.Try(func() { h.Free(b) }), &f)
					require.Equal(t, owner, f.Owner)
					require.NoError(t, heap.Check())
					heap.Free(b)
				}
			}
			require.NoError(t, other.Close())
			require.Empty(t, owners.Of(other.region.Bytes()), "it is closed")
		}
	})
	t.Run("A15_other_kinds", func(t *testing.T) {
		var owners alloc.Owners
		shared, err := NewShared(nil, &Options{Owners: &owners, Name: "shared"})
		require.NoError(t, err)
		defer shared.Close()
		file, err := arena.Reserve(8<<20, &arena.Options{Backing: arena.File, Path: filepath.Join(t.TempDir(), "heap")})
		require.NoError(t, err)
		defer file.Close()
		made, err := New(file, nil)
		require.NoError(t, err)
		require.NoError(t, made.Close())
		opened, err := Open(file, &Options{Owners: &owners, Name: "disk"})
		require.NoError(t, err)
		for _, size := range []int{40, 5000, 1 << 20} {
			b := must(t, opened, size)
			for _, bad := range []func(){
				func() { shared.Free(b) }, func() { shared.Usable(b) }, func() { _, _ = shared.Realloc(b, 10) },
				func() { h := shared.Handle(); defer h.Close(); h.Free(b) },
			} {
				var f *alloc.Fault
				require.ErrorAs(t, alloc.Try(bad), &f)
				require.ErrorIs(t, f, alloc.ErrForeign)
				require.Equal(t, "disk", f.Owner)
			}
			opened.Free(b)
		}
		require.NoError(t, opened.Close())
		require.Empty(t, owners.Of(file.Bytes()))
	})
	t.Run("A15_heaps_that_failed", func(t *testing.T) {
		var owners alloc.Owners
		r, err := arena.Reserve(64<<20, nil)
		require.NoError(t, err)
		defer r.Close()
		failed := 0
		for limit := 4096; limit < 1<<20; limit += 4096 {
			s, err := NewShared(r, &Options{Limit: limit, Owners: &owners, Name: "gone"})
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				failed++
			} else {
				require.Equal(t, "gone", owners.Of(r.Bytes()))
				require.NoError(t, s.Close())
			}
			require.Empty(t, owners.Of(r.Bytes()), "limit %d", limit)
		}
		require.NotZero(t, failed)
	})
	t.Run("A16_go_memory", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		var local [64]byte
		unchanged(t, h, alloc.ErrForeign, func() { h.Free(local[:]) })
		unchanged(t, h, alloc.ErrForeign, func() { h.Free(make([]byte, 100)) })
		unchanged(t, h, alloc.ErrForeign, func() { h.Free([]byte("constant")) })
		unchanged(t, h, alloc.ErrForeign, func() { h.Free([]byte{}) })
	})
	t.Run("A17_metadata_and_tail", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		must(t, h, 100)
		for off := 0; off < len(h.mem); off += 4096 - 16 {
			if uint64(off)>>granuleShift >= h.hdr.first && uint64(off)>>granuleShift < h.hdr.highest {
				continue
			}
			unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(h.mem[off:][:1]) })
		}
	})
	t.Run("A18_views", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		b := must(t, h, 100)
		unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[1:]) })
		moved := append(b, 1)
		unchanged(t, h, alloc.ErrForeign, func() { h.Free(moved) })
		h.Free(b[:7])
		c := must(t, h, 100)
		h.Free(c[:0])
		d := must(t, h, 100)
		h.Free(d[len(d):]) // in Go the empty tail has the base of the block
	})
	t.Run("A12_reused_address", func(t *testing.T) {
		// The documented limit of addresses: a stale view of a block that was
		// handed out again is that block.
		h := fresh(t, 4<<20, &Options{Classes: []int{}})
		b := must(t, h, 1000)
		h.Free(b)
		c := must(t, h, 1000)
		require.Equal(t, addrOf(b), addrOf(c))
		h.Free(b)
		unchanged(t, h, alloc.ErrDoubleFree, func() { h.Free(c) })
	})
}

// TestFreeOfUntouchedMetadata: the tables of a large region are not committed where they
// describe themselves, and must not be looked at there.
func TestFreeOfUntouchedMetadata(t *testing.T) {
	h, err := New(nil, nil)
	require.NoError(t, err)
	defer h.Close()
	must(t, h, 100)
	for _, off := range []uint64{0, 16, 8192, h.first << granuleShift / 2 &^ 15, h.first<<granuleShift - 16} {
		b := h.mem[off:][:8:8]
		unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b) })
		unchanged(t, h, alloc.ErrInvalidFree, func() { h.Realloc(b, 100) })
		unchanged(t, h, alloc.ErrInvalidFree, func() { h.Usable(b) })
	}
}
