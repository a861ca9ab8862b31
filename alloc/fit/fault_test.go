//lint:file-ignore U1000 fields that only reflection looks at

package fit

import (
	"errors"
	"flag"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
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
	t.Run("A15_other_heap", everyKind(faultOtherHeap))
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
	require.LessOrEqual(t, nm.Limit, 128<<10)
	require.Greater(t, nm.Limit, 100<<10)
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

func faultDoubleFree(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64)
	h.Free(blocks[1]) // neighbours live
	f := wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(blocks[1]) })
	require.Equal(t, "free", f.Op)
	require.True(t, f.InRegion)
	require.EqualValues(t, offsetOf(h, blocks[1]), f.Off)
	require.Contains(t, f.Error(), "block already free")
}

func faultDoubleFreeCoalesced(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64, 64)
	for _, i := range []int{1, 0, 2, 3} {
		h.Free(blocks[i])
		for _, b := range blocks {
			if err := alloc.Try(func() { h.Usable(b) }); err == nil {
				continue // still live
			}
			err := alloc.Try(func() { h.Free(b) })
			require.True(t, errors.Is(err, alloc.ErrDoubleFree) || errors.Is(err, alloc.ErrInvalidFree), "%v", err)
		}
	}
	require.NoError(t, h.Check())
}

// An address that was handed out again is live: freeing it a second time frees
// the new block. That is the documented limit; the third free is found.
func faultDoubleFreeReused(t *testing.T, h fullHeap) {
	old := mallocs(t, h, 64)[0]
	h.Free(old)
	again := mallocs(t, h, 64)[0]
	if addr(old) != addr(again) {
		t.Skip("the heap did not use the block again")
	}
	require.NoError(t, alloc.Try(func() { h.Free(old) }))
	wantFault(t, h, alloc.ErrDoubleFree, func() { h.Free(again) })
}

func faultInterior(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 500, 500)[1]
	for _, n := range []int{1, 8, 16, 32, 48, 64, 128, 256, 499} {
		f := wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
		require.NotNil(t, f.Block)
		require.EqualValues(t, offsetOf(h, b), f.Block.Off)
		require.True(t, f.Block.Used)
		require.EqualValues(t, n, f.Off-f.Block.Off)
	}
	h.Free(b)
}

func faultMisaligned(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 100)[0]
	for n := 1; n < 16; n++ {
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
	}
	h.Free(b)
	for n := 1; n < 16; n++ {
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[n:]) })
	}
}

func faultOtherHeap(t *testing.T, h fullHeap) {
	other, err := New(region(t, 1<<16, arena.GoHeap), nil)
	require.NoError(t, err)
	theirs := mallocs(t, other, 64)[0]
	before := other.Stats()
	wantFault(t, h, alloc.ErrForeign, func() { h.Free(theirs) })
	require.Equal(t, before, other.Stats())
	other.Free(theirs)
}

var global [64]byte

func faultGoMemory(t *testing.T, h fullHeap) {
	var local [64]byte
	for _, b := range [][]byte{make([]byte, 64), local[:], global[:], {}, make([]byte, 0)} {
		f := wantFault(t, h, alloc.ErrForeign, func() { h.Free(b) })
		require.False(t, f.InRegion)
	}
}

func faultMetadataAddress(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	mem := h.Region().Bytes()
	at := offsetOf(h, b)
	for _, off := range []int{0, 1, 8, at - 8, at - 1, at + 64, at + 4096, at + 30000, len(mem) - 8, len(mem) - 1} {
		err := alloc.Try(func() { h.Free(mem[off:]) })
		require.ErrorIs(t, err, alloc.ErrInvalidFree, "offset %#x", off)
	}
	require.NoError(t, h.Check())
	h.Free(b)
}

func faultViews(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	wantFault(t, h, alloc.ErrInvalidFree, func() { h.Free(b[1:]) })
	moved := append(b, 1)
	wantFault(t, h, alloc.ErrForeign, func() { h.Free(moved) })
	h.Free(b[:3])
	b = mallocs(t, h, 64)[0]
	h.Free(b[len(b):]) // has the base of b, in Go
	require.Zero(t, h.Stats().LiveBlocks)
}

func faultReallocBad(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 64, 64, 64)
	h.Free(blocks[1])
	for _, n := range []int{0, 10, 1000} {
		wantFault(t, h, alloc.ErrDoubleFree, func() { h.Realloc(blocks[1], n) })
		wantFault(t, h, alloc.ErrInvalidFree, func() { h.Realloc(blocks[0][16:], n) })
		wantFault(t, h, alloc.ErrForeign, func() { h.Realloc(make([]byte, 8), n) })
	}
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

func faultAfterClose(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	require.ErrorIs(t, h.Close(), alloc.ErrLeak)
	_, err := h.Malloc(1)
	require.ErrorIs(t, err, alloc.ErrClosed)
	_, err = h.Calloc(1, 1)
	require.ErrorIs(t, err, alloc.ErrClosed)
	_, err = h.MallocAligned(1, 64)
	require.ErrorIs(t, err, alloc.ErrClosed)
	for _, old := range [][]byte{nil, b} {
		_, err = h.Realloc(old, 1)
		require.ErrorIs(t, err, alloc.ErrClosed)
		_, err = h.ReallocAligned(old, 1, 64)
		require.ErrorIs(t, err, alloc.ErrClosed)
	}
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrClosed)
	require.ErrorIs(t, alloc.Try(func() { h.Usable(b) }), alloc.ErrClosed)
	require.NoError(t, h.Check())
	require.Zero(t, h.Stats().Committed)
	for range h.Blocks() {
		t.Fatal("a closed heap has blocks")
	}
}

func faultCloseTwice(t *testing.T, h fullHeap) {
	require.NoError(t, h.Close())
	if invariants.Enabled {
		require.ErrorIs(t, alloc.Try(func() { h.Close() }), alloc.ErrClosed)
	} else {
		require.NoError(t, h.Close())
	}
	require.NotNil(t, h.Region().Bytes(), "a region that was passed in stays the caller's")
}

func faultLeak(t *testing.T, h fullHeap) {
	blocks := mallocs(t, h, 100, 200, 300)
	h.Free(blocks[1])
	err := h.Close()
	leak, ok := errors.AsType[*alloc.LeakError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 2, leak.Blocks)
	require.GreaterOrEqual(t, leak.Bytes, 400)
	require.Len(t, leak.First, 2)
	require.Contains(t, err.Error(), "2 blocks")
}

func faultBudget(t *testing.T, h fullHeap) {
	var blocks [][]byte
	for {
		b, err := h.Malloc(700)
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			break
		}
		blocks = append(blocks, b)
	}
	require.Greater(t, len(blocks), 30)
	require.LessOrEqual(t, h.Stats().Committed, 64<<10)
	h.Free(blocks[len(blocks)/2])
	b, err := h.Malloc(700)
	require.NoError(t, err)
	require.Equal(t, addr(blocks[len(blocks)/2]), addr(b))
}

func faultBusy(t *testing.T, h fullHeap) {
	b := mallocs(t, h, 64)[0]
	for range h.Blocks() {
		require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrBusy)
		_, err := h.Malloc(8)
		require.ErrorIs(t, err, alloc.ErrBusy)
		_, err = h.Realloc(b, 8)
		require.ErrorIs(t, err, alloc.ErrBusy)
	}
	h.Free(b)
}

func faultPanicInWalk(t *testing.T, h fullHeap) {
	require.Panics(t, func() {
		for range h.Blocks() {
			panic("user code")
		}
	})
	h.Free(mallocs(t, h, 64)[0])
	l := alloc.Locked(h)
	require.Panics(t, func() {
		for range l.Blocks() {
			panic("user code")
		}
	})
	l.Free(mallocs(t, l, 64)[0])
}

type node struct {
	key  int
	next *node
}

var _ = node{key: 1, next: nil} // the fields count as used

func faultPointers(t *testing.T, h fullHeap) {
	f := wantFault(t, h, alloc.ErrPointers, func() { alloc.New[node](h) })
	require.Equal(t, "alloc: New[node]: field next has a pointer", f.Error())
	wantFault(t, h, alloc.ErrPointers, func() { alloc.Make[string](h, 3) })
	wantFault(t, h, alloc.ErrPointers, func() { alloc.For[[2]any](h) })
}

// faultSparse works with blocks of 2^40 bytes, of which it touches the ends.
func faultSparse(t *testing.T) {
	if intBits == 32 {
		t.Skip("no address space for it")
	}
	const huge = intBits / 64 << 40
	for _, name := range []string{"list", "address", "implicit", "tlsf"} {
		t.Run(name, func(t *testing.T) {
			r, err := arena.Reserve(huge*5, &arena.Options{Backing: arena.Sparse})
			if errors.Is(err, arena.ErrUnsupported) {
				t.Skip(err)
			}
			require.NoError(t, err)
			defer r.Close()
			h, err := openers[name](r, nil)
			require.NoError(t, err)
			blocks := mallocs(t, h, huge, 100, huge+1, 100, huge-9)
			for i, b := range blocks {
				b[0], b[len(b)-1] = byte(i), byte(i)
			}
			for i, b := range blocks {
				require.Equal(t, byte(i), b[0])
				require.Equal(t, byte(i), b[len(b)-1])
				require.GreaterOrEqual(t, h.Usable(b), len(b))
			}
			_, err = h.Malloc(huge * 3)
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.ErrorIs(t, alloc.Try(func() { h.Free(blocks[2][huge/2:]) }), alloc.ErrInvalidFree)
			h.Free(blocks[1])
			h.Free(blocks[2])
			require.ErrorIs(t, alloc.Try(func() { h.Free(blocks[2]) }), alloc.ErrDoubleFree)
			grown, err := h.Realloc(blocks[0], huge+huge/2)
			require.NoError(t, err)
			require.Equal(t, addr(blocks[0]), addr(grown), "in place, over 2^40 bytes")
			for _, b := range [][]byte{grown, blocks[3], blocks[4]} {
				h.Free(b)
			}
			require.Len(t, h.FreeList(), 1)
		})
	}
}

// Sizes that a 32-bit int cannot hold are refused there by the compiler or by
// ErrSize; sizes near its end are refused by the heap everywhere.
func faultNarrow(t *testing.T, h fullHeap) {
	for _, n := range []int{math.MaxInt32, math.MaxInt32 - 8, math.MaxInt32 - 16, 1 << 30} {
		b, err := h.Malloc(n)
		require.ErrorIs(t, err, alloc.ErrNoMemory)
		require.Nil(t, b)
	}
	_, err := h.Calloc(math.MaxInt32, math.MaxInt32)
	require.Error(t, err)
	require.Zero(t, h.Stats().LiveBlocks)
}

func faultCounters(t *testing.T, h fullHeap) {
	fresh := h.Stats()
	o := alloctest.NewOracle(h)
	for i, op := range alloctest.RandomOps(11, alloctest.Mix{Ops: 1000, MaxSize: 3000}) {
		if err := o.Do(op); err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
		}
		s := h.Stats()
		require.NoError(t, alloctest.CheckStats(s), "operation %d", i)
		require.Equal(t, o.Live(), s.LiveBlocks)
		require.Equal(t, o.Requested(), s.Requested)
	}
	require.NoError(t, o.FreeAll())
	s := h.Stats()
	s.Mallocs, s.Frees, s.Searched, s.Failed = 0, 0, 0, 0
	s.Resident, fresh.Resident = 0, 0
	require.Equal(t, fresh, s)
}

// faultFragmented: enough free bytes, but no block fits.
func faultFragmented(t *testing.T) {
	h, err := New(region(t, 64<<10, arena.GoHeap), &Options{Policy: Best})
	require.NoError(t, err)
	var blocks [][]byte
	for {
		b, err := h.Malloc(1000)
		if err != nil {
			break
		}
		blocks = append(blocks, b)
	}
	for i := 0; i < len(blocks); i += 2 {
		h.Free(blocks[i])
	}
	s := h.Stats()
	require.Greater(t, s.Retained, 20000)
	_, err = h.Malloc(5000)
	nm, ok := errors.AsType[*alloc.NoMemoryError](err)
	require.True(t, ok)
	require.Less(t, nm.LargestFree, 5000)
	require.Greater(t, s.ExternalFragmentation(), 0.9)
}

// faultMapFails: the system has no memory.
func faultMapFails(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			cause := errors.New("cannot allocate memory")
			r, err := arena.Reserve(64<<20, &arena.Options{Backing: arena.File, Path: t.TempDir() + "/heap", Pager: p})
			require.NoError(t, err)
			defer r.Close()
			h, err := open(r, nil)
			require.NoError(t, err)
			b := mallocs(t, h, 1000)[0]
			before := h.Stats()
			p.FailAt(1, cause, arenatest.Allocate)
			_, err = h.Malloc(1 << 20) // more than is committed
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			require.ErrorIs(t, err, cause)
			require.NoError(t, h.Check())
			require.Equal(t, before.Live, h.Stats().Live)
			p.FailAt(0, nil)
			big, err := h.Malloc(1 << 20)
			require.NoError(t, err)
			h.Free(big)
			h.Free(b)
		})
	}
}

// faultSweep fails every system call of a workload in turn.
func faultSweep(t *testing.T) {
	for name, open := range openers {
		for _, backing := range []arena.Backing{arena.Mmap, arena.File} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				runs := arenatest.Sweep(t, nil, func(p *arenatest.Pager) error {
					os.Remove(dir + "/heap")
					r, err := arena.Reserve(16<<20, &arena.Options{Backing: backing, Path: dir + "/heap", Pager: p})
					if err != nil {
						return err
					}
					err = sweepWorkload(t, r, open)
					for range 2 { // the system may refuse once
						if cerr := r.Close(); cerr == nil {
							break
						} else {
							err = errors.Join(err, cerr)
						}
					}
					return err
				}, arenatest.Map, arenatest.Protect, arenatest.Advise, arenatest.Unmap, arenatest.Allocate, arenatest.Punch)
				require.Greater(t, runs, 1)
			})
		}
	}
}

// sweepWorkload grows and shrinks a heap, and proves it sound after each step.
func sweepWorkload(t *testing.T, r *arena.Region, open opener) error {
	h, err := open(r, &Options{Grow: 4096})
	if err != nil {
		return err
	}
	var first error
	var live [][]byte
	for _, n := range []int{100, 50000, 200000, 10, 3000, 1 << 20} {
		b, err := h.Malloc(n)
		if err != nil {
			require.ErrorIs(t, err, alloc.ErrNoMemory)
			first = errors.Join(first, err)
		} else {
			live = append(live, b)
		}
		require.NoError(t, h.Check())
	}
	for i := range live {
		b, err := h.Realloc(live[i], len(live[i])*2)
		if err != nil {
			first = errors.Join(first, err)
		} else {
			live[i] = b
		}
		require.NoError(t, h.Check())
	}
	for _, b := range live {
		h.Free(b)
		require.NoError(t, h.Check())
	}
	require.Zero(t, h.Stats().LiveBlocks)
	return errors.Join(first, h.Close())
}

// faultDeath proves that an unrecovered fault ends the process with its message.
func faultDeath(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for name, want := range map[string]string{
		"double":  ": block already free (0 bytes into the free block of",
		"foreign": "address not of this allocator",
		"closed":  "allocator closed",
	} {
		out, err := exec.Command(exe, "-fit.child="+name).CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		require.True(t, ok, "%s: %v: %s", name, err, out)
		require.Equal(t, 2, exit.ExitCode())
		require.Contains(t, string(out), "panic: ")
		require.Contains(t, string(out), want)
		require.False(t, strings.Contains(string(out), "SIGSEGV"))
	}
}

// runChild misuses a heap and does not recover.
func runChild(name string) {
	r, err := arena.Reserve(128<<10, &arena.Options{Backing: arena.GoHeap})
	if err != nil {
		panic(err)
	}
	h, err := New(r, nil)
	if err != nil {
		panic(err)
	}
	b, err := h.Malloc(64)
	if err != nil {
		panic(err)
	}
	switch name {
	case "double":
		h.Free(b)
		h.Free(b)
	case "foreign":
		h.Free(make([]byte, 64))
	case "closed":
		h.Close()
		h.Free(b)
	}
}
