package segregated

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
)

// leftHeap makes a heap of 300 blocks in a file of 8 MiB and leaves it closed, or as
// a process that ends does. edit changes the file, and the heap is opened again.
func leftHeap(t *testing.T, closed bool, edit func(f *os.File, d header)) (*Heap, error) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 8<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	for range 300 {
		fill(must(t, h, 250), 0x5a)
	}
	d := *h.hdr
	if closed {
		require.NoError(t, h.Close())
	}
	require.NoError(t, r.Sync())
	require.NoError(t, r.Close())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	edit(f, d)
	require.NoError(t, f.Close())
	return Open(fileRegion(t, path, 8<<20), nil)
}

// TestOpenDamagePastTop: bits where there is no block yet are refused, or gone before
// there is one, so that blocks never overlap.
func TestOpenDamagePastTop(t *testing.T) {
	of := tablesOf(8<<20/unitSize, 4096, 0)
	kinds, units := of.kinds, of.units
	for name, at := range map[string]func(d header) uint64{
		"kind in use":     func(d header) uint64 { return kinds + (d.commit>>granuleBits+9)*kindSize },
		"row in use":      func(d header) uint64 { return units + (d.commit>>granuleBits+9)*unitRow },
		"kind behind":     func(d header) uint64 { return d.kindsEnd + 64 },
		"row behind":      func(d header) uint64 { return d.unitsEnd + 7*unitRow },
		"last row behind": func(d header) uint64 { return units + (d.end>>granuleBits-9)*unitRow },
	} {
		for _, closed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/closed=%v", name, closed), func(t *testing.T) {
				h, err := leftHeap(t, closed, func(f *os.File, d header) {
					_, err := f.WriteAt([]byte{1}, int64(at(d)))
					require.NoError(t, err)
				})
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrCorrupt)
					return
				}
				for n := 0; ; n++ {
					b, err := h.Malloc(2100)
					if err != nil {
						require.ErrorIs(t, err, alloc.ErrNoMemory)
						require.Greater(t, n, 3000)
						break
					}
					require.GreaterOrEqual(t, h.Usable(b), 2100)
				}
				require.NoError(t, h.Check())
			})
		}
	}
}

// TestOpenCallocIsZero: whatever somebody has written to the file behind the blocks.
func TestOpenCallocIsZero(t *testing.T) {
	for _, closed := range []bool{true, false} {
		h, err := leftHeap(t, closed, func(f *os.File, d header) {
			junk := make([]byte, 8<<20-d.top<<granuleShift-4096)
			for i := range junk {
				junk[i] = 1
			}
			_, err := f.WriteAt(junk, int64(d.top<<granuleShift+4096))
			require.NoError(t, err)
		})
		require.NoError(t, err)
		for _, size := range []int{40, 3000, 70_000, 1 << 20} {
			for range 4 {
				b, err := h.Calloc(1, size)
				require.NoError(t, err)
				require.NoError(t, filled(b, 0))
			}
		}
		require.NoError(t, h.Check())
	}
}

// TestOpenKeepsAlignments: Compact keeps alignments that were asked for before the heap
// was closed.
func TestOpenKeepsAlignments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 16<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	m := newMovables(h)
	for range 50 {
		require.NotZero(t, m.add(t, 3000, 16<<10))
		m.fill(t, 200, 40_000)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for id, b := range m.block {
		if len(b) == 200 && rng.IntN(4) != 0 {
			m.free(id)
		}
	}
	require.NoError(t, h.Close())
	h, err = Open(r, nil)
	require.NoError(t, err)
	m.h = h
	moved, err := h.Compact(1<<30, m.move)
	require.NoError(t, err)
	require.Positive(t, moved)
	require.NoError(t, m.verify())
}
