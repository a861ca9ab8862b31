package segregated

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// after says what lies behind a block that is resized.
type after int

const (
	afterTop    after = iota // nothing: it is the last block
	afterUsed                // a live block
	afterFree                // 64 KiB of free memory, then a live block
	afterLittle              // 32 free bytes, then a live block
)

func (a after) String() string { return []string{"top", "used", "free", "little"}[a] }

// placed returns a heap without runs, and a block of it of the given size that
// has a between it and the end, and a live block before it.
func placed(t testing.TB, size int, a after) (h *Heap, b []byte) {
	h = fresh(t, 512<<10, &Options{Classes: []int{}})
	must(t, h, 48)
	b = must(t, h, size)
	if a == afterTop {
		return h, b
	}
	var hole []byte
	switch a {
	case afterFree:
		hole = must(t, h, 64<<10)
	case afterLittle:
		hole = must(t, h, 64)
	}
	must(t, h, 48)
	if hole != nil {
		h.Free(hole)
		h.Trim() // what was freed last may be kept back from its neighbours
	}
	return h, b
}

// TestReallocMatrix resizes from each size to each other with each kind of
// neighbour: contents are kept, the block stays where the documentation says
// that it does, and the old place of one that moves is free.
func TestReallocMatrix(t *testing.T) {
	sizes := []int{1, 16, 17, 200, 1024, 3000, 3072, 6144, 7000, 16384, 20000, 60000}
	for _, a := range []after{afterTop, afterUsed, afterFree, afterLittle} {
		for _, old := range sizes {
			for _, size := range sizes {
				h, b := placed(t, old, a)
				rng := rand.New(rand.NewPCG(uint64(old), uint64(size)))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				want := slices.Clone(b[:min(old, size)])
				before := h.Stats()
				c, err := h.Realloc(b, size)
				name := fmt.Sprintf("%d to %d before %v", old, size, a)
				require.NoError(t, err, name)
				require.Len(t, c, size, name)
				require.Equal(t, size, cap(c), name)
				require.True(t, slices.Equal(want, c[:len(want)]), name)
				usable := h.Usable(c)
				require.GreaterOrEqual(t, usable, spanned(size), name)
				require.LessOrEqual(t, usable, spanned(size)+max(spanned(size)/32, (minSpan-1)*granule), name)
				grow := spanned(size) - spanned(old)
				room := map[after]int{afterTop: 1 << 20, afterFree: 64 << 10, afterLittle: 64}[a]
				require.Equal(t, grow <= room, addrOf(b) == addrOf(c), name)
				s := h.Stats()
				require.Equal(t, before.Live+usable-spanned(old), s.Live, name)
				require.Equal(t, before.LiveBlocks, s.LiveBlocks, name)
				if addrOf(b) != addrOf(c) {
					require.Error(t, alloc.Try(func() { h.Free(b) }), name)
				}
				require.NoError(t, h.Check(), name)
			}
		}
	}
}

// TestReallocToItself: to the size that a block has, or one that its granules
// hold anyhow, nothing happens.
func TestReallocToItself(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	for _, size := range []int{1, 16, 40, 1000, 5000, 100000} {
		b := must(t, h, size)
		must(t, h, 16)
		before := figures(h)
		for n := h.Usable(b); n > h.Usable(b)-16 && n > 0; n-- {
			c, err := h.Realloc(b, n)
			require.NoError(t, err)
			require.Equal(t, addrOf(b), addrOf(c))
			require.Len(t, c, n)
		}
		require.Equal(t, before, figures(h))
	}
}

// TestReallocSlot: a slot keeps its place while the class fits, and leaves it
// for another class and for a span.
func TestReallocSlot(t *testing.T) {
	h := fresh(t, 8<<20, &Options{Classes: []int{64, 128}})
	heat(t, h, 64)
	heat(t, h, 128)
	b := must(t, h, 50)
	fill(b, 0x5C)
	for n := 33; n <= 64; n++ {
		c, err := h.Realloc(b, n)
		require.NoError(t, err)
		require.Equal(t, addrOf(b), addrOf(c), "to %d", n)
		require.Len(t, c, n)
	}
	for _, step := range []struct{ size, usable int }{{65, 128}, {128, 128}, {129, 144}, {5000, 5008}, {100, 112}, {30, 112}} {
		kept := min(len(b), step.size, 33)
		c, err := h.Realloc(b[:33], step.size)
		require.NoError(t, err)
		require.Equal(t, step.usable, h.Usable(c), "to %d", step.size)
		require.NoError(t, filled(c[:kept], 0x5C), "to %d", step.size)
		fill(c, 0x5C)
		b = c
		if len(b) < 33 {
			break
		}
		require.NoError(t, h.Check())
	}
}

// TestReallocShortView: what Realloc keeps is what the block has, whatever
// part of it the view shows.
func TestReallocShortView(t *testing.T) {
	for _, size := range []int{40, 2000, 9000, 400000} {
		h := fresh(t, 16<<20, nil)
		b := must(t, h, size)
		fill(b, 0x77)
		must(t, h, 10)
		c, err := h.Realloc(b[:1], 4*size)
		require.NoError(t, err)
		require.NoError(t, filled(c[:size], 0x77), "%d bytes", size)
	}
}

// TestReallocFails: the block that could not grow is live, where it was, and
// can still be resized, read and freed; and this at each size.
func TestReallocFails(t *testing.T) {
	for _, size := range []int{1, 16, 100, 1024, 4000, 20000, 300000} {
		h := fresh(t, 2<<20, nil)
		b := must(t, h, size)
		fill(b, 0x11)
		rest := must(t, h, 1<<20)
		before := figures(h)
		for _, bad := range []int{1 << 20, 2 << 20, 1 << 30} {
			c, err := h.Realloc(b, bad)
			require.ErrorIs(t, err, alloc.ErrNoMemory, "%d to %d", size, bad)
			require.Nil(t, c)
			require.NoError(t, filled(b, 0x11))
			require.NoError(t, h.Check())
		}
		after := figures(h)
		require.Equal(t, before.Live, after.Live)
		require.Equal(t, before.LiveBlocks, after.LiveBlocks)
		c, err := h.Realloc(b, size+1)
		require.NoError(t, err)
		require.NoError(t, filled(c[:size], 0x11))
		h.Free(c)
		h.Free(rest)
		require.Zero(t, h.Stats().Live)
	}
}

// TestReallocNeedsNoSlack: a block that moves takes more than it needs only where
// there is more, and a call that succeeds has not failed.
func TestReallocNeedsNoSlack(t *testing.T) {
	h := fresh(t, 256<<10, &Options{Classes: []int{}})
	b := must(t, h, 20_000)
	must(t, h, 16)
	hole := must(t, h, 20_016)
	exhaust(t, h, func() int { return 16 })
	h.Free(hole)
	failed := h.Stats().Failed
	c, err := h.Realloc(b, 20_016)
	require.NoError(t, err)
	require.Equal(t, addrOf(hole), addrOf(c))
	require.Equal(t, 20_016, h.Usable(c))
	require.Equal(t, failed, h.Stats().Failed)
	_, err = h.Realloc(c, 40_000)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.Equal(t, failed+1, h.Stats().Failed)
}

// TestReallocLarge moves blocks whose pages change their address, from every
// position in a page, on each backing, and back into the hole they left.
func TestReallocLarge(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap, arena.File} {
		t.Run(backing.String(), func(t *testing.T) {
			for skew := 16; skew < 4096; skew += 496 {
				ro := &arena.Options{Backing: backing}
				if backing == arena.File {
					ro.Path = filepath.Join(t.TempDir(), "heap")
				}
				reallocLarge(t, freshIn(t, 4<<20, ro, &Options{Classes: []int{}}), skew)
			}
		})
	}
}

// reallocLarge moves a block that begins skew bytes into a page.
func reallocLarge(t *testing.T, h *Heap, skew int) {
	lead := must(t, h, skew)
	b := must(t, h, 300000+skew)
	wall := must(t, h, 16)
	for i := range b {
		b[i] = byte(i * 7 / 64)
	}
	c, err := h.Realloc(b, 900000)
	require.NoError(t, err)
	require.NotEqual(t, addrOf(b), addrOf(c))
	for i := range 300000 + skew {
		if c[i] != byte(i*7/64) {
			t.Fatalf("skew %d: byte %d is %#x, want %#x", skew, i, c[i], byte(i*7/64))
		}
	}
	again, err := h.Calloc(1, 300000)
	require.NoError(t, err)
	require.NoError(t, filled(again, 0), "skew %d", skew)
	fill(again, 0xFF) // its pages can be written
	fill(c[300000:], 1)
	require.NoError(t, h.Check())
	require.Equal(t, int(h.committed), h.Stats().Committed, "skew %d: the heap's count of its pages", skew)
	for _, x := range [][]byte{lead, wall, c, again} {
		h.Free(x)
	}
	h.Trim()
	require.Zero(t, h.Stats().Live)
	require.Zero(t, h.Stats().Retained)
}

// TestReallocChain makes one block wander through all sizes while others come
// and go around it.
func TestReallocChain(t *testing.T) {
	h := fresh(t, 16<<20, nil)
	rng := rand.New(rand.NewPCG(5, 5))
	var others [][]byte
	b, mark := must(t, h, 10), byte(1)
	fill(b, mark)
	for i := range 3000 {
		size := 1 + rng.IntN(1<<(1+rng.IntN(17)))
		kept := min(len(b), size)
		c, err := h.Realloc(b, size)
		require.NoError(t, err)
		require.NoError(t, filled(c[:kept], mark), "step %d: %d to %d bytes", i, len(b), size)
		mark++
		fill(c, mark)
		b = c
		if rng.IntN(2) == 0 {
			others = append(others, must(t, h, rng.IntN(3000)))
		}
		if len(others) > 30 {
			k := rng.IntN(len(others))
			h.Free(others[k])
			others[k] = others[len(others)-1]
			others = others[:len(others)-1]
		}
		if i%100 == 0 {
			require.NoError(t, h.Check())
		}
	}
}

// TestReallocLargeBad: the short way of large blocks takes none that are not live, nor a
// size of 0 or less, nor a size from a damaged row.
func TestReallocLargeBad(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	b := must(t, h, 100<<10)
	must(t, h, 64)
	for _, i := range []int{1, 8, 15, 16, 1024, 2048} {
		_, err := h.Realloc(b[:16], -i)
		require.ErrorIs(t, err, alloc.ErrSize)
		require.ErrorIs(t, alloc.Try(func() { h.Realloc(b[i:], len(b)) }), alloc.ErrInvalidFree)
	}
	_, err := h.Realloc(b, math.MaxInt)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	_, err = h.Realloc(b, math.MinInt)
	require.ErrorIs(t, err, alloc.ErrSize)
	gone, err := h.Realloc(b, 0)
	require.NoError(t, err)
	require.Nil(t, gone)
	require.ErrorIs(t, alloc.Try(func() { h.Realloc(b, len(b)) }), alloc.ErrDoubleFree)
	require.NoError(t, h.Check())

	for _, bound := range []uint64{0, 1, 100, 1 << 57} {
		for _, size := range []int{-15, 0, 16, 1600, 6000} {
			r, err := arena.Reserve(4<<20, nil)
			require.NoError(t, err)
			h, err := New(r, nil)
			require.NoError(t, err)
			b := must(t, h, 100<<10)
			must(t, h, 64)
			g := uint64(addrOf(b)-addrOf(h.mem)) >> granuleShift
			h.units[g>>granuleBits+1] = tagOf(g, bound)
			if fault := alloc.Try(func() { _, err = h.Realloc(b, size) }); fault != nil {
				err = fault
			}
			require.Error(t, err, "%d bytes, %d granules in the row", size, bound)
			if size >= 0 {
				require.ErrorIs(t, err, alloc.ErrCorrupt)
			}
			require.NoError(t, r.Close())
		}
	}
}

// TestReallocHotSlot: of a slot of a run Realloc takes its start alone, frees it for no
// bytes, and leaves it for a negative number of them.
func TestReallocHotSlot(t *testing.T) {
	h := fresh(t, 4<<20, &Options{Classes: []int{48}})
	heat(t, h, 48)
	b := must(t, h, 48)
	_, err := h.Realloc(b, -1)
	require.ErrorIs(t, err, alloc.ErrSize)
	require.Equal(t, 48, h.Usable(b))
	for k := 1; k < 48; k++ {
		unchanged(t, h, alloc.ErrInvalidFree, func() { h.Realloc(b[k:], 40) })
	}
	live := h.Stats().LiveBlocks
	none, err := h.Realloc(b, 0)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, live-1, h.Stats().LiveBlocks)
	unchanged(t, h, alloc.ErrDoubleFree, func() { h.Realloc(b, 40) })
}

// TestReallocKeepsAnEighth: a block that is larger by up to 1/8 stays as it is, one that is
// larger by more is cut.
func TestReallocKeepsAnEighth(t *testing.T) {
	h := fresh(t, 4<<20, nil)
	b := must(t, h, 9<<10)
	must(t, h, 9<<10)
	for _, size := range []int{9 << 10, 8 << 10, 8<<10 + 1} {
		kept, err := h.Realloc(b, size)
		require.NoError(t, err)
		require.Equal(t, addrOf(b), addrOf(kept))
		require.Equal(t, 9<<10, h.Usable(kept), "%d bytes", size)
	}
	cut, err := h.Realloc(b, 8<<10-granule)
	require.NoError(t, err)
	require.Equal(t, 8<<10-granule, h.Usable(cut))
}

// TestReallocMovesSlots: a slot that has to move keeps all of its bytes, and if there is no
// room for the new block the error is that of a Realloc.
func TestReallocMovesSlots(t *testing.T) {
	h := fresh(t, 1<<20, nil)
	heat(t, h, 64)
	for _, size := range []int{300, 5000, 20} {
		b := must(t, h, 64)
		for i := range b {
			b[i] = byte(i + 1)
		}
		c, err := h.Realloc(b, size)
		require.NoError(t, err)
		require.Len(t, c, size)
		for i := range min(64, size) {
			require.Equal(t, byte(i+1), c[i], "byte %d, to %d bytes", i, size)
		}
	}
	b := must(t, h, 64)
	b[63] = 7
	_, err := h.Realloc(b, 1000<<10)
	var e *alloc.NoMemoryError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "realloc", e.Op)
	require.Equal(t, 1000<<10, e.Requested)
	require.EqualValues(t, 7, b[63], "it is still the caller's")
	h.Free(b)
	require.NoError(t, h.Check())
}

// TestReallocAtTheLimit: a block grows in place if what keeps it from that is memory that is
// free, but not given back.
func TestReallocAtTheLimit(t *testing.T) {
	h := fresh(t, 4<<20, &Options{Classes: []int{}, Sink: func(alloc.Event) {}})
	a, b := must(t, h, 100<<10), must(t, h, 100<<10)
	must(t, h, 64)
	c := must(t, h, 100<<10)
	must(t, h, 64)
	h.Free(b)
	h.Trim() // the pages of b are given back, which a is to grow into
	h.limit, h.credit = h.committed, 0
	h.Free(c)
	fill(a, 7)
	grown, err := h.Realloc(a, 150<<10)
	require.NoError(t, err)
	require.Equal(t, addrOf(a), addrOf(grown))
	require.NoError(t, filled(grown[:100<<10], 7))
	require.LessOrEqual(t, h.committed, h.limit)
	require.Zero(t, h.failed)
	require.NoError(t, h.Check())
	_, err = h.Realloc(grown, 1<<20)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
}

// TestReallocKeepsSlack: a span that is to be smaller keeps what keptSlack says, wherever Realloc
// finds that out, and gives back more.
func TestReallocKeepsSlack(t *testing.T) {
	for _, c := range []struct{ old, to, want uint64 }{
		{135, 127, 127}, {130, 118, 118}, {130, 127, 130}, {139, 128, 139}, {144, 128, 144}, {145, 128, 128}, {200, 180, 200}, {205, 180, 180},
	} {
		for _, zero := range []bool{false, true} { // with it every call goes the longer way
			h := fresh(t, 1<<20, &Options{Classes: []int{}, ZeroOnFree: zero})
			b := must(t, h, int(c.old)*granule)
			must(t, h, 64)
			b, err := h.Realloc(b, int(c.to)*granule)
			require.NoError(t, err)
			require.Equal(t, int(c.want)*granule, h.Usable(b), "%d to %d granules", c.old, c.to)
		}
	}
}

// TestReallocAlignedNamesItself: the error of a ReallocAligned that finds no room says so, in all kinds of
// heaps.
func TestReallocAlignedNamesItself(t *testing.T) {
	type aligned interface {
		alloc.Allocator
		ReallocAligned(b []byte, size, align int) ([]byte, error)
	}
	s := freshShared(t, 4<<20, nil)
	hd := s.Handle()
	defer hd.Close()
	for name, h := range map[string]aligned{"heap": fresh(t, 4<<20, nil), "shared": s, "handle": hd} {
		for _, size := range []int{100, 5000} {
			b := must(t, h, size)
			_, err := h.ReallocAligned(b, 8<<20, 256)
			var e *alloc.NoMemoryError
			require.ErrorAs(t, err, &e, name)
			require.Equal(t, "realloc", e.Op, name)
			require.Equal(t, 8<<20, e.Requested, name)
			h.Free(b)
		}
	}
}
