package segregated

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// matrixSizes are sizes on each side of every border between ways of the heap.
func matrixSizes() []int {
	return []int{0, 1, 15, 16, 17, 255, 256, 257, 1008, 1024, 1025, 3055, 3072, 6128, 6144, 8192, 16384, 16400, 65536, 262144 - 16, 262144, 300001}
}

// TestAlignmentMatrix: each size at each alignment from 1 to 1 MiB is where it
// was asked for, keeps its bytes beside its neighbours, and goes away without
// leaving anything.
func TestAlignmentMatrix(t *testing.T) {
	for _, classes := range [][]int{nil, {}} {
		h := freshIn(t, 64<<20, &arena.Options{}, &Options{Classes: classes})
		for align := 1; align <= 1<<20; align <<= 1 {
			var bs [][]byte
			for i, size := range matrixSizes() {
				b, err := h.MallocAligned(size, align)
				require.NoError(t, err)
				if addrOf(b)%uintptr(align) != 0 || len(b) != size || cap(b) != size {
					t.Fatalf("MallocAligned(%d, %d): at %#x, len %d, cap %d", size, align, addrOf(b), len(b), cap(b))
				}
				require.GreaterOrEqual(t, h.Usable(b), size)
				fill(b, byte(i+1))
				bs = append(bs, b)
			}
			require.NoError(t, h.Check(), "alignment %d", align)
			for i := range bs { // every other one first, then the rest
				j := (2*i + 2*i/len(bs)) % len(bs)
				if b := bs[j]; b != nil {
					require.NoError(t, filled(b, byte(j+1)), "alignment %d, size %d", align, len(b))
					h.Free(b)
					bs[j] = nil
				}
			}
			for j, b := range bs {
				if b != nil {
					require.NoError(t, filled(b, byte(j+1)))
					h.Free(b)
				}
			}
			require.NoError(t, h.Check(), "alignment %d", align)
		}
		h.Trim()
		s := h.Stats()
		require.Zero(t, s.Live)
		require.Zero(t, s.FreeBlocks)
		require.Zero(t, s.Retained)
	}
}

// TestReallocAlignedMatrix: a block that is resized to each size at each
// alignment has both, and its bytes.
func TestReallocAlignedMatrix(t *testing.T) {
	h := freshIn(t, 64<<20, &arena.Options{}, nil)
	for _, align := range []int{1, 8, 16, 32, 64, 256, 4096, 1 << 16, 1 << 20} {
		b, err := h.ReallocAligned(nil, 16, align)
		require.NoError(t, err)
		require.Zero(t, addrOf(b)%uintptr(align))
		seed := byte(align) + 3
		fill(b, seed)
		for _, size := range []int{100, 10, 5000, 4999, 300000, 20000, 70000, 1, 1 << 20, 64} {
			kept := min(len(b), size)
			guard := must(t, h, 40) // so that there is not always the top to grow into
			c, err := h.ReallocAligned(b, size, align)
			require.NoError(t, err)
			require.Zero(t, addrOf(c)%uintptr(align), "size %d at alignment %d", size, align)
			require.NoError(t, filled(c[:kept], seed), "size %d at alignment %d", size, align)
			fill(c, seed)
			h.Free(guard)
			b = c
		}
		// To a stricter alignment than it has, and to a laxer one.
		for _, a := range []int{1 << 12, 1 << 4, 1 << 18, 1} {
			c, err := h.ReallocAligned(b, len(b), a)
			require.NoError(t, err)
			require.Zero(t, addrOf(c)%uintptr(a))
			require.NoError(t, filled(c, seed))
			b = c
		}
		_, err = h.ReallocAligned(b, 0, align)
		require.NoError(t, err)
		require.Zero(t, h.Stats().LiveBlocks)
		require.NoError(t, h.Check())
	}
}

// TestReallocAlignedStays: a block that is aligned already does not move when
// it is asked for what it has.
func TestReallocAlignedStays(t *testing.T) {
	h := fresh(t, 8<<20, nil)
	for _, size := range []int{16, 200, 1000, 9000} {
		b, err := h.MallocAligned(size, 4096)
		require.NoError(t, err)
		must(t, h, 10)
		for _, a := range []int{4096, 64, 1} {
			c, err := h.ReallocAligned(b, size, a)
			require.NoError(t, err)
			require.Equal(t, addrOf(b), addrOf(c), "size %d at %d", size, a)
		}
	}
}

// TestImpossibleAlignments: what no block of the region can have is ErrAlign,
// what one could have but for lack of room ErrNoMemory, and neither changes
// anything.
func TestImpossibleAlignments(t *testing.T) {
	mem := make([]byte, 1<<20+16)
	start := 0
	for (addrOf(mem[start:])>>4)&1 == 0 { // an odd multiple of 16: no block is far aligned by accident
		start += 16
	}
	h, err := New(arena.FromBytes(mem[start:start+1<<20-32]), nil)
	require.NoError(t, err)
	defer h.Close()
	keep := must(t, h, 100)
	fill(keep, 3)
	before := figures(h)
	before.Failed = 0
	check := func(err error, want error, what string) {
		t.Helper()
		require.ErrorIs(t, err, want, what)
		after := figures(h)
		after.Failed = 0
		require.Equal(t, before, after, what)
		require.NoError(t, filled(keep, 3))
		require.NoError(t, h.Check())
	}
	for shift := 21; shift < strconv.IntSize-1; shift++ {
		if reachable(h, 1<<shift) {
			continue
		}
		_, err := h.MallocAligned(1, 1<<shift)
		check(err, alloc.ErrAlign, fmt.Sprintf("alignment 2^%d", shift))
	}
	for _, bad := range []int{0, -1, 3, 6, 48, 4095, math.MaxInt, math.MinInt} {
		_, err := h.MallocAligned(1, bad)
		check(err, alloc.ErrAlign, fmt.Sprintf("alignment %d", bad))
		_, err = h.ReallocAligned(keep, 200, bad)
		check(err, alloc.ErrAlign, fmt.Sprintf("realloc, alignment %d", bad))
	}
	for _, size := range []int{1 << 20, math.MaxInt, math.MaxInt - 15, math.MaxInt - 4096} {
		_, err := h.MallocAligned(size, 4096)
		check(err, alloc.ErrNoMemory, fmt.Sprintf("%d bytes", size))
		_, err = h.ReallocAligned(keep, size, 4096)
		check(err, alloc.ErrNoMemory, fmt.Sprintf("realloc to %d bytes", size))
	}
	_, err = h.MallocAligned(-1, 64)
	require.Error(t, err)
	require.True(t, errors.Is(err, alloc.ErrSize) || errors.Is(err, alloc.ErrNoMemory), "%v", err)
	h.Free(keep)
}

// reachable reports whether an address of h's data is a multiple of align.
func reachable(h *Heap, align int) bool {
	base, a := uint64(addrOf(h.mem)), uint64(align)
	first := (base + h.hdr.first<<granuleShift + a - 1) &^ (a - 1)
	return first < base+h.end
}

// TestUnreachableAlignment: whether an alignment is ErrAlign depends on what
// addresses the data has, not on the size of the region.
func TestUnreachableAlignment(t *testing.T) {
	had, refused := 0, 0
	for range 8 {
		h := freshIn(t, 1<<20, &arena.Options{}, nil)
		for align := 1 << 15; align <= 1<<24; align <<= 1 {
			b, err := h.MallocAligned(16, align)
			if !reachable(h, align) {
				require.ErrorIs(t, err, alloc.ErrAlign, "alignment %d", align)
				refused++
				continue
			}
			require.NoError(t, err, "alignment %d", align)
			require.Zero(t, addrOf(b)%uintptr(align))
			h.Free(b)
			had++
		}
	}
	require.Positive(t, had)
	require.Positive(t, refused)
}
