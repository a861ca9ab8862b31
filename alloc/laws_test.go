package alloc_test

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

// Each kind of event has a name of its own, and a number that is none says so.
func TestEventKindNames(t *testing.T) {
	names := map[alloc.EventKind]string{
		alloc.EventMalloc: "malloc", alloc.EventCalloc: "calloc", alloc.EventRealloc: "realloc", alloc.EventFree: "free",
		alloc.EventFailed: "failed", alloc.EventSplit: "split", alloc.EventCoalesce: "coalesce", alloc.EventCommit: "commit",
		alloc.EventDecommit: "decommit", alloc.EventMove: "move", alloc.EventRead: "read", alloc.EventWrite: "write",
	}
	for k := range alloc.EventKind(255) {
		want, known := names[k]
		if !known {
			want = fmt.Sprintf("event %d", uint8(k))
		}
		require.Equal(t, want, k.String())
		require.Equal(t, want, fmt.Sprintf("%v", k))
	}
}

// CheckedSize is the product where an int holds it, for all factors.
func TestCheckedSizeIsTheProduct(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		factor := rapid.OneOf(rapid.Int(), rapid.IntRange(0, 1<<16), rapid.SampledFrom([]int{0, 1, -1, math.MaxInt, math.MinInt, math.MaxInt / 2, 1 << (bits.UintSize / 2)}))
		a, b := factor.Draw(rt, "count"), factor.Draw(rt, "size")
		got, err := alloc.CheckedSize(a, b)
		fits := a >= 0 && b >= 0 && (b == 0 || a <= math.MaxInt/b)
		if fits != (err == nil) {
			rt.Fatalf("CheckedSize(%d, %d) = %d, %v", a, b, got, err)
		}
		if fits && got != a*b {
			rt.Fatalf("CheckedSize(%d, %d) = %d, want %d", a, b, got, a*b)
		}
		if !fits && !errors.Is(err, alloc.ErrSize) {
			rt.Fatalf("CheckedSize(%d, %d): %v", a, b, err)
		}
	})
}

// The two figures of fragmentation are between 0 and 1 for all figures that
// keep the laws, 0 for an empty heap, and grow with what they measure.
func TestFragmentationRange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		live := rapid.IntRange(0, math.MaxInt/4).Draw(rt, "live")
		retained := rapid.IntRange(0, math.MaxInt/4).Draw(rt, "retained")
		s := alloc.Stats{
			Live: live, Requested: rapid.IntRange(0, live).Draw(rt, "requested"),
			Retained: retained, LargestFree: rapid.IntRange(0, math.MaxInt/4).Draw(rt, "largest"),
		}
		in, ex := s.InternalFragmentation(), s.ExternalFragmentation()
		if in < 0 || in > 1 || ex < 0 || ex > 1 || math.IsNaN(in) || math.IsNaN(ex) {
			rt.Fatalf("%+v: %v, %v", s, in, ex)
		}
		if s.Requested == s.Live && in != 0 || s.LargestFree >= s.Retained && ex != 0 {
			rt.Fatalf("%+v: %v, %v, want 0", s, in, ex)
		}
		less := s
		less.Requested /= 2
		less.LargestFree /= 2
		if less.InternalFragmentation() < in || less.ExternalFragmentation() < ex {
			rt.Fatalf("%+v is less fragmented than %+v", less, s)
		}
	})
	require.Zero(t, alloc.Stats{}.InternalFragmentation())
	require.Zero(t, alloc.Stats{}.ExternalFragmentation())
}

// A map of any heap is one line of bounded width, with the counts of its
// blocks, and shows a used block where there is one.
func TestMapIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) int {
			n := 16 * rapid.IntRange(1, 1<<rapid.IntRange(0, 12).Draw(rt, "magnitude")).Draw(rt, "granules")
			if rapid.Bool().Draw(rt, "free") {
				return -n
			}
			return n
		}), 1, 300).Draw(rt, "sizes")
		width := rapid.IntRange(0, 200).Draw(rt, "width")
		used, largest := 0, 0
		for _, n := range sizes {
			if n > 0 {
				used++
			}
			largest = max(largest, -n)
		}
		got := alloc.Map(tiled(sizes...), width)
		line, legend, ok := strings.Cut(got, "  ")
		want := fmt.Sprintf("used %d  free %d  largest %#x  (", used, len(sizes)-used, largest)
		if !ok || !strings.HasPrefix(legend, want) || strings.Contains(got, "\n") {
			rt.Fatalf("%q, want %q", got, want)
		}
		if n := len(line); n > 2*max(width, 16)+2 || line[0] != '|' || line[n-1] != '|' {
			rt.Fatalf("width %d: %d marks: %q", width, n, line)
		}
		if strings.ContainsAny(line, "#+-") != (used > 0) {
			rt.Fatalf("%d used: %q", used, line)
		}
	})
}

// A leak report counts every block and lists the first ten.
func TestLeakCounts(t *testing.T) {
	for _, n := range []int{1, 2, alloc.MaxLeakBlocks - 1, alloc.MaxLeakBlocks, alloc.MaxLeakBlocks + 1, 500} {
		a := alloctest.Reference(0)
		bytes := 0
		for i := range n {
			b, err := a.Malloc(1 + i)
			require.NoError(t, err)
			bytes += a.Usable(b)
		}
		err := alloc.NewLeakError(a)
		leak, ok := errors.AsType[*alloc.LeakError](err)
		require.True(t, ok)
		require.ErrorIs(t, err, alloc.ErrLeak)
		require.Equal(t, n, leak.Blocks)
		require.Equal(t, bytes, leak.Bytes)
		require.Len(t, leak.First, min(n, alloc.MaxLeakBlocks))
		require.Equal(t, n > alloc.MaxLeakBlocks, strings.Contains(err.Error(), "more"))
	}
	require.NoError(t, alloc.NewLeakError(alloctest.Reference(0)))
}

// Append of one value at a time to a slice off the heap is append, and copies
// each value a bounded number of times.
func TestAppendGrows(t *testing.T) {
	a := alloctest.Reference(0)
	var s []int32
	var want []int32
	moves := 0
	for i := range int32(5000) {
		before := cap(s)
		var err error
		s, err = alloc.Append(a, s, i)
		require.NoError(t, err)
		want = append(want, i)
		if cap(s) != before {
			moves += before
		}
	}
	require.Equal(t, want, s)
	require.Less(t, moves, 3*len(want), "values copied by growth")
	require.LessOrEqual(t, cap(s), 2*len(s))
	require.Equal(t, 1, a.Stats().LiveBlocks)
	alloc.DeleteSlice(a, s)
	require.Zero(t, a.Stats().LiveBlocks)
}

// An append that fails leaves the slice as it was, and the caller's.
func TestAppendFails(t *testing.T) {
	for n := 1; n < 6; n++ {
		ref := alloctest.Reference(0)
		a := alloctest.Failing(ref, n)
		var s []uint64
		for i := range uint64(200) {
			grown, err := alloc.Append(a, s, i)
			if err != nil {
				require.ErrorIs(t, err, alloc.ErrNoMemory)
				break
			}
			s = grown
		}
		for i, v := range s {
			require.EqualValues(t, i, v, "failure %d", n)
		}
		if s != nil {
			alloc.DeleteSlice[uint64](ref, s)
		}
		require.Zero(t, ref.Stats().LiveBlocks, "failure %d", n)
	}
}

// FreeZero wipes before it frees, and does nothing to nil.
func TestFreeZeroWipes(t *testing.T) {
	var saw []byte
	a := spy{alloctest.Reference(0), func(b []byte) { saw = append(saw, b...) }}
	b, err := a.Malloc(100)
	require.NoError(t, err)
	for i := range b {
		b[i] = 7
	}
	alloc.FreeZero(a, b)
	require.Equal(t, make([]byte, 100), saw)
	alloc.FreeZero(a, nil)
	require.Zero(t, a.Allocator.(*alloctest.ReferenceAllocator).Stats().LiveBlocks)
}

// spy shows what Free is given.
type spy struct {
	alloc.Allocator
	see func([]byte)
}

func (s spy) Free(b []byte) {
	s.see(b)
	s.Allocator.Free(b)
}
