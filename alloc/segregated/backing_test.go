package segregated

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
)

// everyBacking calls f with a region of size bytes in each kind of memory.
func everyBacking(t *testing.T, size int, f func(t *testing.T, r *arena.Region)) {
	options := backings(t)
	options["sparse"] = &arena.Options{Backing: arena.Sparse}
	for name, ro := range options {
		t.Run(name, func(t *testing.T) {
			r, err := arena.Reserve(size, ro)
			if errors.Is(err, arena.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
			f(t, r)
			require.NoError(t, r.Close())
		})
	}
	t.Run("bytes", func(t *testing.T) {
		mem := make([]byte, size+32)
		for i := range mem {
			mem[i] = 0xA5 // whatever was there before
		}
		skip := int(-addrOf(mem)&15) + 16
		mem[skip-1], mem[skip+size-16] = 0x99, 0x99
		f(t, arena.FromBytes(mem[skip:skip+size-16]))
		require.Equal(t, byte(0x99), mem[skip-1])
		require.Equal(t, byte(0x99), mem[skip+size-16])
	})
}

// TestBackings runs the same operations in each kind of memory. The heap does
// the same in all of them, but in a file, where it keeps its runs: each operation gives the
// block of the same offset.
func TestBackings(t *testing.T) {
	ops := alloctest.RandomOps(21, alloctest.Mix{Ops: 1500, MaxSize: 40000})
	for i := range ops {
		ops[i].Align = 0 // where a far aligned block is depends on the address
	}
	var want []uintptr
	everyBacking(t, 8<<20, func(t *testing.T, r *arena.Region) {
		h, err := New(r, nil)
		require.NoError(t, err)
		o := alloctest.NewOracle(h)
		var got []uintptr
		for i, op := range ops {
			require.NoError(t, o.Do(op), "operation %d", i)
			if b := o.Block(op.ID); b != nil {
				got = append(got, addrOf(b)-addrOf(h.mem))
			}
			if i%250 == 0 {
				require.NoError(t, o.Verify())
			}
		}
		require.NoError(t, o.FreeAll())
		require.NoError(t, h.Close())
		if r.Size() != 8<<20 || r.Backing() == arena.File {
			return
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	})
}

// TestCloseLeavesTheRegion: a region that was passed in is the caller's before,
// during and after, and takes one heap after another.
func TestCloseLeavesTheRegion(t *testing.T) {
	everyBacking(t, 1<<20, func(t *testing.T, r *arena.Region) {
		var first []uint64
		for round := range 3 {
			h, err := New(r, &Options{Classes: []int{}})
			require.NoError(t, err)
			var at []uint64
			for i := range 50 {
				b, err := h.Calloc(1, 1+i*i)
				require.NoError(t, err)
				require.NoError(t, filled(b, 0), "round %d", round)
				fill(b, 0xE1)
				at = append(at, uint64(addrOf(b)-addrOf(h.mem)))
			}
			if round == 0 {
				first = at
			}
			require.Equal(t, first, at, "round %d", round)
			if err := h.Close(); r.Backing() == arena.File {
				require.NoError(t, err, "blocks in a file stay")
			} else {
				var leak *alloc.LeakError
				require.ErrorAs(t, err, &leak)
				require.Equal(t, 50, leak.Blocks)
				require.Len(t, leak.First, alloc.MaxLeakBlocks)
			}
			require.NotNil(t, r.Bytes(), "the region is open")
		}
	})
}

// TestOwnRegion: a heap of its own has room, and Close gives it back.
func TestOwnRegion(t *testing.T) {
	h, err := New(nil, nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, h.Stats().Reserved, 16<<20)
	require.Less(t, h.Stats().Committed, 1<<20)
	b := must(t, h, 3<<20)
	fill(b, 1)
	h.Free(b)
	r := h.region
	require.NoError(t, h.Close())
	require.ErrorIs(t, r.Commit(0, 4096), arena.ErrClosed)
}

// TestFileHeap: what is in a heap in a file is in the file.
func TestFileHeap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r, err := arena.Reserve(1<<20, &arena.Options{Backing: arena.File, Path: path})
	if errors.Is(err, arena.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	h, err := New(r, nil)
	require.NoError(t, err)
	b := must(t, h, 5000)
	fill(b, 0x3C)
	copy(b, "in the file")
	off := int(addrOf(b) - addrOf(h.mem))
	require.NoError(t, r.Sync())
	require.NoError(t, h.Close()) // the block is live, and stays
	require.NoError(t, r.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "in the file", string(data[off:off+11]))
	require.NoError(t, filled(data[off+11:off+5000], 0x3C))
}

// TestRegionLimit: the limit of the region bounds the heap as its own does, and
// the error says what the system said.
func TestRegionLimit(t *testing.T) {
	for _, limit := range []int{256 << 10, 1 << 20} {
		r, err := arena.Reserve(8<<20, &arena.Options{Limit: limit})
		require.NoError(t, err)
		h, err := New(r, nil)
		require.NoError(t, err)
		total := 0
		for {
			b, err := h.Malloc(3000)
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				require.ErrorIs(t, err, arena.ErrFull, "the cause is kept")
				break
			}
			fill(b, 1)
			total += len(b)
		}
		require.Greater(t, total, limit/2)
		require.LessOrEqual(t, h.Stats().Committed, limit)
		require.NoError(t, h.Check())
		h.Close()
		require.NoError(t, r.Close())
	}
}

// TestClosedRegion: a region that was closed before the heap, or before New, is
// an error, no crash.
func TestClosedRegion(t *testing.T) {
	r, err := arena.Reserve(1<<20, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	_, err = New(r, nil)
	require.Error(t, err)
	require.True(t, errors.Is(err, arena.ErrClosed) || errors.Is(err, alloc.ErrSize), fmt.Sprint(err))
}
