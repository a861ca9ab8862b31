package segregated

import (
	"errors"
	"flag"
	"math"
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
	"github.com/memlab-go/memlab/internal/invariants"
)

// childCase names the case that a copy of the test binary runs.
var childCase = flag.String("segregated.child", "", "run this case and exit (used by death tests)")

// long makes slow tests thorough.
var long = flag.Bool("segregated.long", false, "every bit flip, ten million misuses")

func TestMain(m *testing.M) {
	flag.Parse()
	if *childCase != "" {
		runChild(*childCase)
		return
	}
	os.Exit(m.Run())
}

// fresh returns a heap in a region of the Go heap, so that the race detector
// and the collector see it.
func fresh(t testing.TB, size int, o *Options) *Heap {
	t.Helper()
	return freshIn(t, size, &arena.Options{Backing: arena.GoHeap}, o)
}

// freshIn returns a heap in a region with the given options. Both are closed
// at the end of the test, after a Check of what is left.
func freshIn(t testing.TB, size int, ro *arena.Options, o *Options) *Heap {
	t.Helper()
	r, err := arena.Reserve(size, ro)
	require.NoError(t, err)
	h, err := New(r, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() && h.err == nil {
			require.NoError(t, h.Check())
		}
		if !h.closed {
			h.Close()
		}
		require.NoError(t, r.Close())
	})
	return h
}

// must returns a block or fails the test.
func must(t testing.TB, h alloc.Allocator, size int) []byte {
	t.Helper()
	b, err := h.Malloc(size)
	require.NoError(t, err)
	return b
}

// sizesOfAllKinds has a size of each path: a slot, a small span, a quick span,
// a large one, one with room for a whole record, one that goes back at once.
func sizesOfAllKinds() []int { return []int{1, 16, 64, 500, 1000, 2500, 5000, 20000, 1 << 20} }

// unchanged runs f, which must panic with a fault of the kind want, and checks
// that the heap is as it was before.
func unchanged(t *testing.T, h *Heap, want error, f func()) *alloc.Fault {
	t.Helper()
	before := figures(h)
	err := alloc.Try(f)
	require.ErrorIs(t, err, want)
	require.Equal(t, before, figures(h))
	require.NoError(t, h.Check())
	var fault *alloc.Fault
	require.ErrorAs(t, err, &fault)
	return fault
}

// figures are the statistics of h but for what the system says: a page may
// become resident by being read.
func figures(h *Heap) alloc.Stats {
	s := h.Stats()
	s.Resident = 0
	return s
}

func TestFaultSizes(t *testing.T) {
	t.Run("A01_malloc_zero", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		seen := map[uintptr]bool{}
		for range 1000 {
			b := must(t, h, 0)
			require.NotNil(t, b)
			require.Empty(t, b)
			require.False(t, seen[addrOf(b)])
			seen[addrOf(b)] = true
			defer h.Free(b)
		}
	})
	t.Run("A02_negative_size", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		keep := must(t, h, 100)
		before := figures(h)
		for _, n := range []int{-1, -16, math.MinInt, math.MinInt + 15} {
			_, err := h.Malloc(n)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.Calloc(n, 1)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.Realloc(keep, n)
			require.ErrorIs(t, err, alloc.ErrSize)
			_, err = h.MallocAligned(n, 64)
			require.ErrorIs(t, err, alloc.ErrSize)
		}
		require.Equal(t, before, figures(h))
	})
	t.Run("A03_above_limit", func(t *testing.T) {
		h := fresh(t, 8<<20, &Options{Limit: 1 << 20})
		before := figures(h)
		_, err := h.Malloc(2 << 20)
		var nm *alloc.NoMemoryError
		require.ErrorAs(t, err, &nm)
		require.Equal(t, 2<<20, nm.Requested)
		require.Equal(t, 1<<20, nm.Limit)
		require.Positive(t, nm.LargestFree)
		require.Less(t, nm.LargestFree, 1<<20)
		after := figures(h)
		require.EqualValues(t, 1, after.Failed)
		after.Failed = 0
		require.Equal(t, before, after)
	})
	t.Run("A03_limit_below_the_metadata", func(t *testing.T) {
		for limit := 1; limit < 64<<10; limit = limit*3/2 + 1 {
			h, err := New(nil, &Options{Limit: limit})
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				nm, ok := errors.AsType[*alloc.NoMemoryError](err)
				require.True(t, ok)
				require.Equal(t, limit, nm.Limit)
				continue
			}
			require.LessOrEqual(t, h.Stats().Committed, limit)
			require.NoError(t, h.Close())
		}
	})
	t.Run("A03_region_names_the_limit", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		_, err := h.Malloc(5 << 20)
		nm, ok := errors.AsType[*alloc.NoMemoryError](err)
		require.True(t, ok)
		require.Equal(t, 4<<20, nm.Limit)
	})
	t.Run("A04_near_the_largest_int", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for d := range 40 {
			_, err := h.Malloc(math.MaxInt - d)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			_, err = h.MallocAligned(math.MaxInt-d, 4096)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
	})
	t.Run("A05_calloc_overflow", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, c := range [][2]int{{math.MaxInt, 2}, {2, math.MaxInt}, {1 << (strconv.IntSize / 2), 1 << (strconv.IntSize / 2)}, {-1, 1}, {1, -1}, {-1, -1}} {
			_, err := h.Calloc(c[0], c[1])
			require.ErrorIs(t, err, alloc.ErrSize)
		}
	})
	t.Run("A06_calloc_on_dirty_memory", func(t *testing.T) {
		h := fresh(t, 16<<20, nil)
		for round := range 3 {
			for _, size := range sizesOfAllKinds() {
				b := must(t, h, size)
				all := b[:len(b):len(b)]
				for i := range all {
					all[i] = 0xEE
				}
				h.Free(b)
				z, err := h.Calloc(1, size)
				require.NoError(t, err)
				usable := h.mem[addrOf(z)-addrOf(h.mem):][:h.Usable(z)]
				require.NoError(t, filled(usable, 0), "round %d: %d bytes", round, size)
				h.Free(z)
			}
			h.Trim()
		}
	})
	t.Run("A07_bad_alignment", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		b := must(t, h, 100)
		for _, a := range []int{0, 3, -1, -16, 24, math.MinInt} {
			_, err := h.MallocAligned(100, a)
			require.ErrorIs(t, err, alloc.ErrAlign)
			_, err = h.ReallocAligned(b, 200, a)
			require.ErrorIs(t, err, alloc.ErrAlign)
		}
	})
	t.Run("A08_large_alignment", func(t *testing.T) {
		h := fresh(t, 64<<20, nil)
		for a := 1; a > 0; a <<= 1 {
			b, err := h.MallocAligned(100, a)
			if err != nil {
				require.Greater(t, a, 1<<20)
				require.True(t, errors.Is(err, alloc.ErrAlign) || errors.Is(err, alloc.ErrNoMemory))
				continue
			}
			require.Zero(t, addrOf(b)%uintptr(a))
			h.Free(b)
		}
	})
	t.Run("A48_32_bit_sizes", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, shift := range []uint{31, 32, 33, 47, 62} {
			n := uint64(1) << shift
			if n > math.MaxInt {
				continue // no int says it, so none can be truncated
			}
			_, err := h.Malloc(int(n) + 8)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
	})
}

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
	t.Run("A14_misaligned", func(t *testing.T) {
		h := fresh(t, 4<<20, nil)
		for _, size := range []int{64, 5000} {
			b := must(t, h, size)
			for i := 1; i < 16; i++ {
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[i:]) })
			}
			h.Free(b)
			for i := 1; i < 16; i++ { // free by now, and still no block's base
				unchanged(t, h, alloc.ErrInvalidFree, func() { h.Free(b[i:]) })
			}
		}
	})
	t.Run("A15_other_heap", func(t *testing.T) {
		h, other := fresh(t, 4<<20, nil), fresh(t, 4<<20, nil)
		for _, size := range sizesOfAllKinds() {
			b := must(t, other, size)
			unchanged(t, h, alloc.ErrForeign, func() { h.Free(b) })
			require.NoError(t, other.Check())
			other.Free(b)
		}
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

func fill(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

func filled(b []byte, c byte) error {
	for i := range b {
		if b[i] != c {
			return errors.New("byte " + strconv.Itoa(i) + " has changed")
		}
	}
	return nil
}

func TestFaultDamage(t *testing.T) {
	t.Run("A30_bit_flips", func(t *testing.T) {
		// Every bit of the header and of the rows in use, one at a time: the
		// next calls or Check notice, or go on as if nothing had happened.
		// None may panic with anything but a fault, or loop.
		step := 17
		if *long {
			step = 1
		}
		proto := damaged(t)
		noticed := 0
		bits := proto.bits()
		for i := 0; i < len(bits); i += step {
			h := damaged(t)
			at := bits[i]
			h.mem[at/8] ^= 1 << (at % 8)
			if exercise(t, h) {
				noticed++
			}
		}
		require.Greater(t, noticed, len(bits)/step/2)
	})
	t.Run("A31_cycles", func(t *testing.T) {
		for _, to := range []int{0, 1, 2} { // to itself, to the next, to the one before
			h, free := withFreeSpans(t)
			*h.smallLinks(free[1]) = links{next: free[to], prev: free[to]}
			require.Error(t, h.Check())
			err := alloc.Try(func() {
				for range 100 {
					if _, err := h.Malloc(600); err != nil {
						panic(err)
					}
				}
			})
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			_, err = h.Malloc(16)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			_, err = h.Calloc(1, 16)
			require.ErrorIs(t, err, alloc.ErrCorrupt)
			require.ErrorIs(t, h.Check(), alloc.ErrCorrupt)
		}
	})
}

// damaged returns a small heap with blocks of all kinds, to be damaged.
func damaged(t *testing.T) *Heap {
	t.Helper()
	h, err := New(arena.FromBytes(make([]byte, 256<<10)), nil)
	require.NoError(t, err)
	var bs [][]byte
	for i := range 40 {
		bs = append(bs, must(t, h, 64), must(t, h, 100+i*16))
	}
	bs = append(bs, must(t, h, 5000), must(t, h, 20000))
	for i := 0; i < len(bs); i += 3 {
		h.Free(bs[i])
	}
	h.flushQuick()
	return h
}

// bits returns the numbers of the bits of metadata that say something.
func (h *Heap) bits() []int {
	var out []int
	add := func(from, to uint64) {
		for i := from * 8; i < to*8; i++ {
			out = append(out, int(i))
		}
	}
	add(0, 96) // the scalars and the first words of the bins' set
	k, u, _ := metaOffsets(len(h.units), h.pageSize)
	first, last := h.hdr.first>>granuleBits, h.hdr.top>>granuleBits
	add(k+first*kindSize, k+last*kindSize)
	add(u+first*unitRow, u+last*unitRow)
	return out
}

// exercise uses a damaged heap and reports whether it noticed.
func exercise(t *testing.T, h *Heap) (noticed bool) {
	t.Helper()
	noticed = h.Check() != nil
	h.Stats()
	for range h.Blocks() {
	}
	err := alloc.Try(func() {
		var bs [][]byte
		for i := range 60 {
			if b, err := h.Malloc(i * 37 % 3000); err == nil {
				bs = append(bs, b)
			}
		}
		for _, b := range bs {
			h.Free(b)
		}
	})
	return noticed || err != nil || h.err != nil
}

// withFreeSpans returns a heap with three free spans of 600 bytes in one bin.
func withFreeSpans(t *testing.T) (*Heap, []uint64) {
	t.Helper()
	h := fresh(t, 4<<20, &Options{Classes: []int{}})
	var bs [][]byte
	for range 7 {
		bs = append(bs, must(t, h, 600))
	}
	var free []uint64
	for _, i := range []int{1, 3, 5} {
		free = append(free, uint64(addrOf(bs[i])-addrOf(h.mem))>>granuleShift)
		h.Free(bs[i])
	}
	h.flushQuick()
	return h, free
}

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
	t.Run("A47_sparse", sparse)
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

// blocks collects the blocks of h.
func blocks(h *Heap) []alloc.Block {
	var out []alloc.Block
	for b := range h.Blocks() {
		out = append(out, b)
	}
	return out
}

// sparse allocates sizes of up to a tebibyte in a region of 2^46 bytes.
func sparse(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("needs 64-bit sizes")
	}
	r, err := arena.Reserve(pow2(46), &arena.Options{Backing: arena.Sparse})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer r.Close()
	h, err := New(r, nil)
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

// pow2 returns 2^e, where int has room for it.
func pow2(e int) int { return 1 << e }
