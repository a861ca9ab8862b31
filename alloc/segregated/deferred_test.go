package segregated

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// mixedBlocks returns n blocks of all kinds: slots, small spans and large ones, each filled
// with its number.
func mixedBlocks(t testing.TB, h *Heap, n int, rng *rand.Rand) [][]byte {
	bs := make([][]byte, n)
	for i := range bs {
		size := 16 + rng.IntN(112)
		switch k := rng.IntN(20); {
		case k == 0:
			size = 1024 + rng.IntN(9000)
		case k < 8:
			size = 128 + rng.IntN(900)
		}
		bs[i] = must(t, h, size)
		fill(bs[i], byte(i))
	}
	return bs
}

// starve makes the quick lists of h take nothing, so that each freed span is let go, and
// has no sweeps come.
func starve(h *Heap) {
	h.flushQuick()
	h.quick.most, h.quick.part = 0, 0
	h.sweepAt = ^uint64(0)
}

// TestDeferred: spans and runs that are freed in a row are listed, are free for everybody
// who asks, and are joined when the next span is taken.
func TestDeferred(t *testing.T) {
	for name, part := range map[string]float64{"few": 0.3, "many": 0.9, "all": 1} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				rng := rand.New(rand.NewPCG(seed, 1))
				h := fresh(t, 64<<20, nil)
				bs := mixedBlocks(t, h, 3000, rng)
				rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
				starve(h)
				n := int(part * float64(len(bs)))
				for _, b := range bs[:n] {
					h.Free(b)
				}
				h.settle() // what is noted first, see notes.go
				listed := len(h.deferred.list)
				require.Equal(t, part > 0.5, listed >= deferMany, "%d are listed", listed)
				require.NotZero(t, listed)
				require.NoError(t, h.Check())
				require.Equal(t, len(bs)-n, h.Stats().LiveBlocks)
				for _, b := range bs[:n] {
					require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
				}
				largest := h.Stats().LargestFree

				must(t, h, 10_000)
				require.Empty(t, h.deferred.list)
				require.NoError(t, h.Check())
				require.LessOrEqual(t, largest, h.Stats().LargestFree+10_000)
				for _, b := range bs[n:] {
					require.NoError(t, filled(b, b[0]))
					h.Free(b)
				}
			}
		})
	}
}

// TestDeferredTop: when all is freed, whatever the order, nothing is left to be put in a bin.
func TestDeferredTop(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	rng := rand.New(rand.NewPCG(3, 4))
	bs := mixedBlocks(t, h, 2000, rng)
	h.sweepAt = ^uint64(0)
	rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	for _, b := range bs {
		h.Free(b)
	}
	h.settle()
	require.NotEmpty(t, h.deferred.list)
	require.Greater(t, h.top, h.first)
	h.dropEmpty()
	h.flushQuick()
	require.Equal(t, h.first, h.top)
	require.Zero(t, h.freeSpans)
	require.NoError(t, h.Check())
}

// TestDeferredFull: a list that is full is joined, and filled again.
func TestDeferredFull(t *testing.T) {
	h := fresh(t, 64<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 2 * (deferAfter + deferMost + 500) {
		bs = append(bs, must(t, h, 32))
	}
	starve(h)
	for i := 0; i < len(bs); i += 2 {
		h.Free(bs[i])
		require.LessOrEqual(t, len(h.deferred.list), deferMost)
	}
	h.settle()
	require.LessOrEqual(t, len(h.deferred.list), deferMost)
	require.NotEmpty(t, h.deferred.list)
	require.Greater(t, h.freeSpans, deferMost)
	require.NoError(t, h.Check())
}

// TestDeferredScratch: the list stays as short when it has been sorted into memory that was
// taken for a shorter one. In 100 MB the starts have three digits, so that the two change
// places.
func TestDeferredScratch(t *testing.T) {
	h := fresh(t, 256<<20, nil)
	var bs [][]byte
	for range 10_000 {
		bs = append(bs, must(t, h, 10_000))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	for _, n := range []int{deferMost - 300, deferMost - 20, 2 * deferMost} {
		starve(h)
		for _, b := range bs[:deferAfter+n] {
			h.Free(b)
			require.LessOrEqual(t, len(h.deferred.list), deferMost)
		}
		bs = bs[deferAfter+n:]
		must(t, h, 20_000) // joins them
	}
	require.NoError(t, h.Check())
}

// TestDeferredRealloc: a block grows into a neighbour that waits to be joined.
func TestDeferredRealloc(t *testing.T) {
	for name, settle := range map[string]func(*Heap){"noted": func(*Heap) {}, "listed": (*Heap).settle} {
		t.Run(name, func(t *testing.T) { growsIntoDeferred(t, settle) })
	}
}

func growsIntoDeferred(t *testing.T, settle func(*Heap)) {
	h := fresh(t, 64<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 4 * deferAfter {
		bs = append(bs, must(t, h, 2048))
	}
	starve(h)
	for i := 1; i < len(bs); i += 2 {
		h.Free(bs[i])
	}
	settle(h)
	last := len(bs) - 2
	require.Equal(t, addrOf(bs[last-2])+4096, addrOf(bs[last]))
	require.NotZero(t, len(h.deferred.list)+int(h.notes.n))
	grown, err := h.Realloc(bs[last-2], 4096)
	require.NoError(t, err)
	require.Equal(t, addrOf(bs[last-2]), addrOf(grown))
	require.NoError(t, h.Check())
}

// TestDeferredSweep: a sweep finds the pages of what is listed.
func TestDeferredSweep(t *testing.T) {
	h := fresh(t, 64<<20, nil)
	bs := mixedBlocks(t, h, 5000, rand.New(rand.NewPCG(5, 6)))
	h.sweepAt = ^uint64(0)
	for _, b := range bs {
		h.Free(b)
	}
	require.NotZero(t, len(h.deferred.list)+int(h.notes.n))
	before := h.committed
	h.credit = 1 << 20
	h.sweep(sweepMin)
	require.NoError(t, h.Check())
	require.Empty(t, h.deferred.list)
	h.sweep(sweepMin)
	require.Less(t, h.committed, before)
	h.Trim()
	require.Zero(t, h.Stats().Retained)
	require.NoError(t, h.Check())
}

// TestDeferredKilled: a heap in a file whose process ended while spans and runs were listed.
func TestDeferredKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heap")
	r := fileRegion(t, path, 64<<20)
	h, err := New(r, nil)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 8))
	bs := mixedBlocks(t, h, 3000, rng)
	rng.Shuffle(len(bs), func(i, k int) { bs[i], bs[k] = bs[k], bs[i] })
	h.sweepAt = ^uint64(0)
	for _, b := range bs[100:] {
		h.Free(b)
	}
	h.settle()
	require.NotEmpty(t, h.deferred.list)
	offs := make([]arena.Offset, 100)
	for i, b := range bs[:100] {
		offs[i] = h.Offset(b)
	}
	require.NoError(t, r.Close())

	r = fileRegion(t, path, 64<<20)
	h, err = Open(r, nil)
	require.NoError(t, err)
	require.Equal(t, 100, h.Stats().LiveBlocks)
	require.NoError(t, h.Check())
	for _, off := range offs {
		b, err := h.At(off)
		require.NoError(t, err)
		h.Free(b)
	}
	require.NoError(t, h.Close())
	require.NoError(t, r.Close())
}

// TestDeferredSort: by start, whatever lies between the starts.
func TestDeferredSort(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		base := rapid.Uint32Range(0, 1<<31).Draw(rt, "base")
		span := rapid.Uint32Range(0, 1<<rapid.IntRange(0, 31).Draw(rt, "magnitude")-1).Draw(rt, "span")
		starts := rapid.SliceOfNDistinct(rapid.Uint32Range(base, base+span), 1, -1, rapid.ID[uint32]).Draw(rt, "starts")
		var d deferredFrees
		d.list = slices.Clone(starts)
		want := slices.Sorted(slices.Values(d.list))
		d.sort()
		require.Equal(t, want, d.list)
	})
}

// TestDeferredSortLong: as many as there may be, all with the same high digits, again and again.
func TestDeferredSortLong(t *testing.T) {
	var d deferredFrees
	rng := rand.New(rand.NewPCG(13, 14))
	for range 10 {
		d.list = d.list[:0]
		for _, i := range rng.Perm(deferMost) {
			d.list = append(d.list, 1<<30+uint32(i)<<sortDigit)
		}
		want := slices.Sorted(slices.Values(d.list))
		d.sort()
		require.Equal(t, want, d.list)
	}
}

// TestDeferredFarAway: what starts past the first 64 GiB is not listed, and freed all the same.
func TestDeferredFarAway(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("no such region")
	}
	gib := 1 << 30 // not a constant: 32 bits have no room for what follows
	r, err := arena.Reserve(96*gib, nil)
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	h, err := New(r, nil)
	require.NoError(t, err)
	big, err := h.Malloc(64 * gib) // which nobody touches
	if err != nil {
		t.Skip(err)
	}
	bs := mixedBlocks(t, h, 3000, rand.New(rand.NewPCG(11, 12)))
	starve(h)
	for _, b := range bs {
		h.Free(b)
		require.Empty(t, h.deferred.list)
	}
	h.settle()
	require.Empty(t, h.deferred.list)
	require.Equal(t, 1, h.Stats().LiveBlocks)
	h.Free(big)
	h.flushQuick()
	require.Zero(t, h.Stats().LiveBlocks)
	require.NoError(t, h.Close())
}

// TestCheckFindsDeferred breaks what L5 and L7 say of the list.
func TestCheckFindsDeferred(t *testing.T) {
	for law, harms := range map[string]map[string]func(d *deferredFrees){
		"L5:": {
			"another start": func(d *deferredFrees) { d.list[3]++ },
			"there twice":   func(d *deferredFrees) { d.list[3] = d.list[4] },
		},
		"L7:": {"lost": func(d *deferredFrees) { *d = deferredFrees{} }},
	} {
		for name, harm := range harms {
			t.Run(name, func(t *testing.T) {
				h := fresh(t, 64<<20, nil)
				bs := mixedBlocks(t, h, 3000, rand.New(rand.NewPCG(9, 10)))
				h.sweepAt = ^uint64(0)
				for _, b := range bs {
					h.Free(b)
				}
				h.settle()
				require.NoError(t, h.Check())
				harm(&h.deferred)
				require.ErrorContains(t, h.Check(), law)
				h.fail("broken on purpose") // so that the end of the test does not check
			})
		}
	}
}
