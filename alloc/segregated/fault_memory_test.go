package segregated

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

func TestFaultMemory(t *testing.T) {
	t.Run("A37_budget", func(t *testing.T) {
		for _, size := range []int{48, 700, 6000} {
			h := fresh(t, 16<<20, &Options{Limit: 2 << 20})
			var bs [][]byte
			for {
				b, err := h.Malloc(size)
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrNoMemory)
					break
				}
				bs = append(bs, b)
			}
			require.LessOrEqual(t, h.Stats().Committed, 2<<20)
			require.Greater(t, len(bs)*size, 3<<19)
			for i := 0; i < len(bs); i += 2 {
				h.Free(bs[i])
			}
			for range len(bs) / 2 {
				must(t, h, size)
			}
		}
	})
	t.Run("A38_system_refuses", func(t *testing.T) {
		out, err := exec.Command(os.Args[0], "-segregated.child=rlimit").CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	t.Run("A37_no_room_for_the_header", func(t *testing.T) {
		for limit := 1; limit < 64<<10; limit += 4 << 10 {
			r, err := arena.Reserve(1<<20, &arena.Options{Limit: limit})
			require.NoError(t, err)
			h, err := New(r, nil)
			if err == nil {
				_, err = h.Malloc(60 << 10)
				require.NoError(t, h.Check())
				require.NoError(t, h.Close())
			}
			require.ErrorIs(t, err, alloc.ErrNoMemory, "limit %d", limit)
			require.NoError(t, r.Close())
		}
	})
	t.Run("A39_kth_failure", func(t *testing.T) {
		runs := arenatest.Sweep(t, arenatest.ErrInjected, func(p *arenatest.Pager) error {
			r, err := arena.Reserve(16<<20, &arena.Options{Pager: p})
			if err != nil {
				return err
			}
			h, err := New(r, nil)
			if err == nil {
				err = alloctest.Run(h, alloctest.RandomOps(3, alloctest.Mix{Ops: 1500, MaxSize: 100000}), 0)
				h.Trim()
				if cerr := h.Check(); cerr != nil {
					t.Fatalf("after %v: %v", err, cerr)
				}
				h.Close()
			}
			for r.Close() != nil { // the failure may be of the unmapping
			}
			return err
		})
		require.Positive(t, runs)
	})
	t.Run("A39_kth_failure_of_a_file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "heap")
		runs := arenatest.Sweep(t, syscall.ENOSPC, func(p *arenatest.Pager) error {
			r, err := arena.Reserve(1<<20, &arena.Options{Backing: arena.File, Path: path, Pager: p})
			if errors.Is(err, arena.ErrUnsupported) {
				t.Skip(err)
			}
			if err != nil {
				return err
			}
			h, err := New(r, nil)
			if err == nil {
				_, err = h.Malloc(100 << 10)
				require.NoError(t, h.Check())
				h.Close()
			}
			for r.Close() != nil { // the failure may be of the unmapping
			}
			return err
		}, arenatest.Allocate)
		require.Positive(t, runs)
	})
	t.Run("A41_no_block_fits", func(t *testing.T) {
		h := fresh(t, 16<<20, &Options{Limit: 2 << 20})
		var bs [][]byte
		for {
			b, err := h.Malloc(4096)
			if err != nil {
				break
			}
			bs = append(bs, b)
		}
		for i := 0; i < len(bs); i += 2 {
			h.Free(bs[i])
		}
		h.flushQuick()
		_, err := h.Malloc(8192 + 16)
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		s := h.Stats()
		require.Less(t, s.LargestFree, 8192+16)
		require.Greater(t, s.Committed-s.Live, 8192)
		require.Greater(t, s.ExternalFragmentation(), 0.9, "what is free lies in pieces")
	})
	t.Run("A44_reentry", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		bs := [][]byte{must(t, h, 10), must(t, h, 5000)}
		for range h.Blocks() {
			require.ErrorIs(t, alloc.Try(func() { h.Free(bs[0]) }), alloc.ErrBusy)
			_, err := h.Malloc(10)
			require.ErrorIs(t, err, alloc.ErrBusy)
			_, err = h.Realloc(bs[1], 100)
			require.ErrorIs(t, err, alloc.ErrBusy)
			for range h.Blocks() { // one walk inside another
				break
			}
		}
		h.Free(bs[0])
		h.Free(bs[1])

		m := sparseHeap(t, 200, 256<<10, 5, nil)
		moved, err := m.h.Compact(1, func(from, to []byte) bool {
			require.ErrorIs(t, alloc.Try(func() { m.h.Free(from) }), alloc.ErrBusy)
			_, err := m.h.Malloc(10)
			require.ErrorIs(t, err, alloc.ErrBusy)
			return m.move(from, to)
		})
		require.NoError(t, err)
		require.Positive(t, moved)
		require.NoError(t, m.verify())
	})
	t.Run("A45_panic_while_iterating", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		b := must(t, h, 10)
		require.Panics(t, func() {
			for range h.Blocks() {
				panic("user")
			}
		})
		h.Free(b)
		must(t, h, 10)
	})
	t.Run("A47_sparse", func(t *testing.T) { sparse(t, nil) })
	t.Run("A49_counters", func(t *testing.T) {
		h := fresh(t, 16<<20, nil)
		wantBlocks := len(blocks(h))
		for round := range 3 {
			require.NoError(t, alloctest.Run(h, alloctest.RandomOps(uint64(round), alloctest.Mix{MaxSize: 50000}), 100))
			h.Trim()
			s := h.Stats()
			require.NoError(t, alloctest.CheckStats(s))
			require.Zero(t, s.Live)
			require.Zero(t, s.LiveBlocks)
			require.Equal(t, s.Mallocs, s.Frees)
			require.Len(t, blocks(h), wantBlocks)
			require.Equal(t, h.hdr.first, h.hdr.top)
			require.Zero(t, s.Retained)
		}
	})
}

// sparse allocates sizes of up to a tebibyte in a region of 2^46 bytes.
func sparse(t *testing.T, o *Options) {
	if strconv.IntSize < 64 {
		t.Skip("needs 64-bit sizes")
	}
	r, err := arena.Reserve(pow2(46), &arena.Options{Backing: arena.Sparse})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer r.Close()
	h, err := New(r, o)
	require.NoError(t, err)
	defer h.Close()
	rng := rand.New(rand.NewPCG(4, 7))
	var bs [][]byte
	for range 300 {
		if len(bs) > 10 && rng.IntN(2) == 0 {
			i := rng.IntN(len(bs))
			h.Free(bs[i])
			bs = append(bs[:i], bs[i+1:]...)
			continue
		}
		size := pow2(rng.IntN(41))
		b, err := h.Malloc(size)
		require.NoError(t, err)
		require.Len(t, b, size)
		bs = append(bs, b)
	}
	big := must(t, h, pow2(40))
	big, err = h.Realloc(big, pow2(40)+pow2(30))
	require.NoError(t, err)
	h.Free(big)
	require.ErrorIs(t, alloc.Try(func() { h.Free(big) }), alloc.ErrDoubleFree)
	for _, b := range bs {
		h.Free(b)
	}
	require.Zero(t, h.Stats().Live)
}
