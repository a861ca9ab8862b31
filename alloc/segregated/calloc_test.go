package segregated

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// whole returns all bytes that block b occupies.
func whole(h *Heap, b []byte) []byte {
	off := addrOf(b) - addrOf(h.mem)
	return h.mem[off : off+uintptr(h.Usable(b))]
}

// backings are options of each kind of region that memory can be written in.
func backings(t *testing.T) map[string]*arena.Options {
	return map[string]*arena.Options{
		"mmap": {}, "goheap": {Backing: arena.GoHeap}, "guard": {Guard: true},
		"file": {Backing: arena.File, Path: t.TempDir() + "/heap"},
	}
}

// TestCallocAlwaysZero: whatever was written to the heap's memory before, and
// however it came back, Calloc gives zeros up to the usable size. The memory is
// kept dirty on purpose: every byte of every block is written.
func TestCallocAlwaysZero(t *testing.T) {
	for name, ro := range backings(t) {
		for _, o := range []*Options{nil, {Classes: []int{}}, {ZeroOnFree: true}, {Limit: 3 << 20}} {
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) {
				dirtyCallocs(t, freshIn(t, 8<<20, ro, o))
			})
		}
	}
}

// dirtyCallocs is one run of TestCallocAlwaysZero.
func dirtyCallocs(t *testing.T, h *Heap) {
	rng := rand.New(rand.NewPCG(6, 6))
	var live [][]byte
	size := func() int {
		if rng.IntN(20) == 0 {
			return rng.IntN(600 << 10)
		}
		return rng.IntN(1 << rng.IntN(16))
	}
	for i := range 1500 {
		switch k := rng.IntN(10); {
		case k < 4 && len(live) < 60:
			b, err := h.Calloc(1, size())
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				continue
			}
			require.NoError(t, filled(whole(h, b), 0), "step %d: %d bytes", i, len(b))
			live = append(live, b)
		case k < 6 && len(live) < 60:
			b, err := h.MallocAligned(size(), 16<<rng.IntN(10))
			if err != nil {
				continue
			}
			live = append(live, b)
		case k < 7 && len(live) > 0:
			j := rng.IntN(len(live))
			if b, err := h.Realloc(live[j], 1+size()); err == nil {
				live[j] = b
			}
		case len(live) > 0:
			j := rng.IntN(len(live))
			h.Free(live[j])
			live[j] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		if len(live) > 0 {
			fill(whole(h, live[rng.IntN(len(live))]), 0xFF)
			fill(whole(h, live[len(live)-1]), 0xFF)
		}
		if rng.IntN(100) == 0 {
			h.Trim()
		}
	}
	require.NoError(t, h.Check())
}

// TestCallocShapes: count and size multiply, and either may be 0.
func TestCallocShapes(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	for _, c := range []struct{ count, size int }{{0, 0}, {0, 8}, {8, 0}, {1, 1}, {3, 5}, {1000, 100}, {1, 100000}, {100000, 1}} {
		b, err := h.Calloc(c.count, c.size)
		require.NoError(t, err)
		require.NotNil(t, b)
		require.Len(t, b, c.count*c.size)
		require.Equal(t, c.count*c.size, cap(b))
		h.Free(b)
	}
	require.Zero(t, h.Stats().LiveBlocks)
}

// TestZeroOnFree: with that option no new block holds a byte that another
// owner wrote, whichever way the memory came back.
func TestZeroOnFree(t *testing.T) {
	for _, classes := range [][]int{nil, {}} {
		h := freshIn(t, 16<<20, &arena.Options{}, &Options{ZeroOnFree: true, Classes: classes})
		rng := rand.New(rand.NewPCG(9, 9))
		secret := bytes.Repeat([]byte("secret!!"), 2)
		var live [][]byte
		for i := range 3000 {
			if len(live) > 40 || len(live) > 0 && rng.IntN(3) == 0 {
				j := rng.IntN(len(live))
				if size := rng.IntN(3000); rng.IntN(3) == 0 && size > 0 {
					b, err := h.Realloc(live[j], size)
					require.NoError(t, err)
					live[j] = b
					continue
				}
				h.Free(live[j])
				live[j] = live[len(live)-1]
				live = live[:len(live)-1]
				continue
			}
			b := must(t, h, 1+rng.IntN(1<<rng.IntN(15)))
			if at := bytes.Index(whole(h, b), secret[:8]); at >= 0 {
				t.Fatalf("step %d: block of %d bytes has a secret at %d", i, len(b), at)
			}
			for p := whole(h, b); len(p) > 0; {
				p = p[copy(p, secret):]
			}
			live = append(live, b)
		}
		for _, b := range live {
			h.Free(b)
		}
		lo, hi := h.hdr.first<<granuleShift, h.hdr.commit<<granuleShift
		require.NoError(t, h.region.Commit(offset(lo), int(hi-lo))) // what was given back is zero, or cannot be read
		require.Equal(t, -1, bytes.Index(h.mem[lo:hi], secret[:8]))
	}
}

// TestZeroOnFreeLarge: nor where a block of many pages was, that moved.
func TestZeroOnFreeLarge(t *testing.T) {
	h := freshIn(t, 16<<20, &arena.Options{}, &Options{ZeroOnFree: true})
	b := must(t, h, 500000)
	fill(b, 0xDD)
	must(t, h, 10)
	c, err := h.Realloc(b, 1<<20)
	require.NoError(t, err)
	require.NotEqual(t, addrOf(b), addrOf(c))
	d := must(t, h, 490000) // into the hole
	require.Less(t, addrOf(d), addrOf(c))
	require.NoError(t, filled(d, 0))
	require.NoError(t, filled(c[:500000], 0xDD))
}
