package fit

import (
	"errors"
	"flag"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// childCase names the case that a copy of the test binary runs.
var childCase = flag.String("fit.child", "", "run this case and exit (used by death tests)")

func TestMain(m *testing.M) {
	flag.Parse()
	if *childCase != "" {
		runChild(*childCase)
		return
	}
	os.Exit(m.Run())
}

// A fullHeap is what all heaps of the package are.
type fullHeap interface {
	alloc.Allocator
	alloc.Aligned
	alloc.Sizer
	alloc.Walker
	alloc.Checker
	alloc.Statser
	Close() error
	Region() *arena.Region
	FreeList() []alloc.Block
}

// opener opens a heap with options that all kinds have.
type opener func(r *arena.Region, o *Options) (fullHeap, error)

// openers are the kinds that differ in how they detect faults.
var openers = map[string]opener{
	"list": func(r *arena.Region, o *Options) (fullHeap, error) { return New(r, o) },
	"implicit": func(r *arena.Region, o *Options) (fullHeap, error) {
		return New(r, with(o, func(o *Options) { o.Implicit = true }))
	},
	"deferred": func(r *arena.Region, o *Options) (fullHeap, error) {
		return New(r, with(o, func(o *Options) { o.Coalesce = Deferred }))
	},
	"address": func(r *arena.Region, o *Options) (fullHeap, error) {
		return New(r, with(o, func(o *Options) { o.Order = Address }))
	},
	"tlsf":  func(r *arena.Region, o *Options) (fullHeap, error) { return NewTLSF(r, o) },
	"buddy": func(r *arena.Region, o *Options) (fullHeap, error) { return NewBuddy(r, o) },
}

// with returns a copy of o with a change.
func with(o *Options, change func(*Options)) *Options {
	var c Options
	if o != nil {
		c = *o
	}
	change(&c)
	return &c
}

// everyKind runs f on a fresh heap of each kind, in a region of 1 MiB.
func everyKind(f func(t *testing.T, h fullHeap)) func(*testing.T) {
	return everyKindWith(nil, f)
}

func everyKindWith(o *Options, f func(t *testing.T, h fullHeap)) func(*testing.T) {
	return func(t *testing.T) {
		for name, open := range openers {
			t.Run(name, func(t *testing.T) {
				h, err := open(region(t, 1<<20, arena.GoHeap), o)
				require.NoError(t, err)
				f(t, h)
			})
		}
	}
}

// mallocs allocates blocks of the sizes.
func mallocs(t testing.TB, a alloc.Allocator, sizes ...int) [][]byte {
	t.Helper()
	var blocks [][]byte
	for _, n := range sizes {
		b, err := a.Malloc(n)
		require.NoError(t, err)
		blocks = append(blocks, b)
	}
	return blocks
}

// wantFault calls f, which must panic with a fault of the kind and change nothing.
func wantFault(t *testing.T, h fullHeap, want error, f func()) *alloc.Fault {
	t.Helper()
	before := h.Stats()
	err := alloc.Try(f)
	require.ErrorIs(t, err, want)
	require.Equal(t, before, h.Stats(), "nothing may change")
	require.NoError(t, h.Check())
	fault, ok := errors.AsType[*alloc.Fault](err)
	require.True(t, ok)
	return fault
}

// TestFault holds the rows of the fault table, on each kind of heap.
func TestFault(t *testing.T) {
	t.Run("A01_malloc_zero", everyKind(faultMallocZero))
	t.Run("A02_negative_size", everyKind(faultNegative))
	t.Run("A03_over_the_limit", everyKindWith(&Options{Limit: 128 << 10}, faultLimit))
	t.Run("A04_huge_size", everyKind(faultHuge))
	t.Run("A05_calloc_overflow", everyKind(faultCallocOverflow))
	t.Run("A06_calloc_dirty", everyKind(faultCallocDirty))
	t.Run("A07_bad_alignment", everyKind(faultBadAlign))
	t.Run("A08_large_alignment", everyKind(faultLargeAlign))
	t.Run("A09_free_nil", everyKind(func(t *testing.T, h fullHeap) {
		before := h.Stats()
		h.Free(nil)
		require.Equal(t, before, h.Stats())
	}))
	t.Run("A10_double_free", everyKind(faultDoubleFree))
	t.Run("A11_double_free_coalesced", everyKind(faultDoubleFreeCoalesced))
	t.Run("A12_double_free_reused", everyKind(faultDoubleFreeReused))
	t.Run("A13_interior_free", everyKind(faultInterior))
	t.Run("A14_misaligned_free", everyKind(faultMisaligned))
	t.Run("A15_other_heap", everyKindWith(&Options{Owners: new(alloc.Owners), Name: "ours"}, faultOtherHeap))
	t.Run("A16_go_memory", everyKind(faultGoMemory))
	t.Run("A17_metadata_address", everyKind(faultMetadataAddress))
	t.Run("A18_views", everyKind(faultViews))
	t.Run("A20_realloc_nil", everyKind(func(t *testing.T, h fullHeap) {
		b, err := h.Realloc(nil, 40)
		require.NoError(t, err)
		require.Len(t, b, 40)
		require.Equal(t, 1, h.Stats().LiveBlocks)
		h.Free(b)
	}))
	t.Run("A21_realloc_to_zero", everyKind(func(t *testing.T, h fullHeap) {
		b := mallocs(t, h, 40)[0]
		n, err := h.Realloc(b, 0)
		require.NoError(t, err)
		require.Nil(t, n)
		require.Zero(t, h.Stats().LiveBlocks)
		wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(b) })
	}))
	t.Run("A22_realloc_bad_block", everyKind(faultReallocBad))
	t.Run("A23_realloc_fails", everyKindWith(&Options{Limit: 64 << 10}, faultReallocFails))
	t.Run("A25_realloc_shrink_then_grow", everyKindWith(&Options{Zero: true}, faultStaleBytes))
	t.Run("A30_bit_flips", faultBitFlips)
	t.Run("A31_list_cycle", faultListCycle)
	t.Run("A32_after_close", everyKind(faultAfterClose))
	t.Run("A34_close_twice", everyKind(faultCloseTwice))
	t.Run("A35_close_with_live_blocks", everyKind(faultLeak))
	t.Run("A37_budget", everyKindWith(&Options{Limit: 64 << 10}, faultBudget))
	t.Run("A38_mmap_fails", faultMapFails)
	t.Run("A39_kth_failure_sweep", faultSweep)
	t.Run("A41_fragmented", faultFragmented)
	t.Run("A44_free_while_walking", everyKind(faultBusy))
	t.Run("A45_panic_while_walking", everyKind(faultPanicInWalk))
	t.Run("A46_pointers", everyKind(faultPointers))
	t.Run("A47_huge_blocks_sparse", faultSparse)
	t.Run("A48_sizes_on_32_bit", everyKind(faultNarrow))
	t.Run("A49_counters", everyKind(faultCounters))
	t.Run("death_unrecovered", faultDeath)
}

func faultMallocZero(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 0, 0, 16, 0)
	seen := map[uintptr]bool{}
	for _, b := range blocks {
		require.NotNil(t, b)
		require.False(t, seen[addr(b)])
		seen[addr(b)] = true
	}
	require.Len(t, blocks[0], 0)
	for _, b := range blocks {
		h.Free(b)
	}
	require.NoError(t, h.Check())
}

func faultNegative(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 10)[0]
	before := h.Stats()
	for _, n := range []int{-1, math.MinInt} {
		_, err := h.Malloc(n)
		require.ErrorIs(t, err, alloc.ErrSize)
		_, err = h.Calloc(n, 1)
		require.ErrorIs(t, err, alloc.ErrSize)
		_, err = h.Calloc(1, n)
		require.ErrorIs(t, err, alloc.ErrSize)
		_, err = h.Realloc(b, n)
		require.ErrorIs(t, err, alloc.ErrSize)
	}
	require.Equal(t, before, h.Stats())
}

func faultLimit(t *testing.T, h fullHeap) {
	before := h.Stats()
	_, err := h.Malloc(256 << 10)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	nm, ok := errors.AsType[*alloc.NoMemoryError](err)
	require.True(t, ok)
	require.Equal(t, 256<<10, nm.Requested)
	require.Equal(t, 128<<10, nm.Limit)
	require.Equal(t, before.LargestFree, nm.LargestFree)
	after := h.Stats()
	require.EqualValues(t, 1, after.Failed)
	after.Failed = 0
	require.Equal(t, before, after)
}

func faultHuge(t *testing.T, h fullHeap) {
	for _, n := range []int{math.MaxInt, math.MaxInt - 7, math.MaxInt - 8, math.MaxInt - 15, math.MaxInt - 31,
		math.MaxInt/2 + 1, math.MaxInt - 4095, 1 << 30} {
		b, err := h.Malloc(n)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "%d", n)
		require.Nil(t, b)
		_, err = h.MallocAligned(n, 64)
		require.ErrorIs(t, err, alloc.ErrNoMemory, "%d", n)
	}
	require.NoError(t, h.Check())
}

func faultCallocOverflow(t *testing.T, h fullHeap) {
	half := 1 << (intBits / 2)
	for _, p := range [][2]int{{half, half}, {math.MaxInt, 2}, {2, math.MaxInt}, {-1, 8}, {math.MaxInt, math.MaxInt}} {
		b, err := h.Calloc(p[0], p[1])
		require.ErrorIs(t, err, alloc.ErrSize, "%v", p)
		require.Nil(t, b)
	}
	require.Zero(t, h.Stats().LiveBlocks)
}

func faultCallocDirty(t *testing.T, h fullHeap) {
	for n := 1; n < 3000; n = n*3/2 + 1 {
		b := mallocs(t, h, n)[0]
		whole := h.Region().Bytes()[offsetOf(h, b):][:h.Usable(b)]
		for i := range whole {
			whole[i] = 0xee
		}
		h.Free(b)
		z, err := h.Calloc(1, n)
		require.NoError(t, err)
		for i, c := range h.Region().Bytes()[offsetOf(h, z):][:h.Usable(z)] {
			require.Zero(t, c, "byte %d of %d", i, n)
		}
		h.Free(z)
	}
}

// offsetOf is where b starts in the heap's region.
func offsetOf(h fullHeap, b []byte) int {
	off, _ := h.Region().OffsetOf(b)
	return int(off)
}

func faultBadAlign(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 10)[0]
	for _, a := range []int{0, 3, -1, -16, 24, math.MinInt, math.MaxInt} {
		_, err := h.MallocAligned(8, a)
		require.ErrorIs(t, err, alloc.ErrAlign)
		_, err = h.ReallocAligned(b, 8, a)
		require.ErrorIs(t, err, alloc.ErrAlign)
	}
}

func faultLargeAlign(t *testing.T, h fullHeap) {
	for shift := 5; shift < intBits-1; shift++ {
		a := 1 << shift
		b, err := h.MallocAligned(100, a)
		if err == nil {
			require.Zero(t, addr(b)%uintptr(a))
			h.Free(b)
			continue
		}
		require.Greater(t, a, 4096, "alignments up to a page must be honoured")
		if !errors.Is(err, alloc.ErrAlign) {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
	}
	require.NoError(t, h.Check())
}

func faultReallocFails(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 1000, 10)[0] // with a block in the way
	for i := range b {
		b[i] = byte(i)
	}
	for _, n := range []int{63 << 10, 1 << 20, math.MaxInt} {
		got, err := h.Realloc(b, n)
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		require.Nil(t, got)
		_, err = h.ReallocAligned(b, n, 32)
		require.ErrorIs(t, err, alloc.ErrNoMemory)
	}
	for i := range b {
		require.Equal(t, byte(i), b[i])
	}
	require.Equal(t, 2, h.Stats().LiveBlocks)
	require.NoError(t, h.Check())
	h.Free(b)
}

// With Zero no byte that the caller did not write is ever seen.
func faultStaleBytes(t *testing.T, h fullHeap) {
	for _, sizes := range [][3]int{{100, 20, 100}, {100, 90, 100}, {64, 33, 64}, {3000, 10, 2900}} {
		b := mallocs(t, h, sizes[0])[0]
		for i := range b {
			require.Zero(t, b[i])
			b[i] = 0xff
		}
		b, err := h.Realloc(b, sizes[1])
		require.NoError(t, err)
		b, err = h.Realloc(b, sizes[2])
		require.NoError(t, err)
		for i, c := range b {
			if i < sizes[1] {
				require.Equal(t, byte(0xff), c)
			} else {
				require.Zero(t, c, "%v: stale byte %d", sizes, i)
			}
		}
		h.Free(b)
	}
}
