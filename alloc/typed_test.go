//lint:file-ignore U1000 fields that only reflection looks at

package alloc_test

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

type point struct{ x, y int64 }

type linked struct {
	key  uint64
	next *linked
}

type nested struct {
	points [2]point
	inner  struct{ names [3]string }
}

// The fields count as used.
var (
	_ = linked{key: 1, next: nil}
	_ = nested{points: [2]point{}, inner: struct{ names [3]string }{}}
)

func TestNew(t *testing.T) {
	a := alloctest.Reference(0)
	p, err := alloc.New[point](a)
	require.NoError(t, err)
	require.Equal(t, point{}, *p)
	p.x, p.y = 1, 2
	q, err := alloc.New[point](a)
	require.NoError(t, err)
	require.NotSame(t, p, q)
	require.Equal(t, point{1, 2}, *p)
	alloc.Delete(a, p)
	require.ErrorIs(t, alloc.Try(func() { alloc.Delete(a, p) }), alloc.ErrDoubleFree)
	alloc.Delete(a, q)
	alloc.Delete[point](a, nil)
	require.Zero(t, a.Stats().LiveBlocks)
}

// A T without a size still gets a block of its own.
func TestNewOfNothing(t *testing.T) {
	a := alloctest.Reference(0)
	p, err := alloc.New[struct{}](a)
	require.NoError(t, err)
	q, err := alloc.New[struct{}](a)
	require.NoError(t, err)
	require.Equal(t, 2, a.Stats().LiveBlocks)
	alloc.Delete(a, p)
	alloc.Delete(a, q)
	s, err := alloc.Make[struct{}](a, 1000)
	require.NoError(t, err)
	require.Len(t, s, 1000)
	for range 3 {
		s, err = alloc.Append(a, s, make([]struct{}, 700)...)
		require.NoError(t, err)
	}
	require.Len(t, s, 3100)
	alloc.DeleteSlice(a, s)
	require.Zero(t, a.Stats().LiveBlocks)
}

func TestMake(t *testing.T) {
	a := alloctest.Reference(0)
	s, err := alloc.Make[point](a, 10)
	require.NoError(t, err)
	require.Len(t, s, 10)
	require.Equal(t, 10, cap(s))
	require.Equal(t, make([]point, 10), s)
	alloc.DeleteSlice(a, s)
	empty, err := alloc.Make[point](a, 0)
	require.NoError(t, err)
	require.NotNil(t, empty)
	alloc.DeleteSlice(a, empty)
	alloc.DeleteSlice[point](a, nil)
	for _, n := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt / 16, math.MaxInt/16 + 1} {
		_, err := alloc.Make[point](a, n)
		require.True(t, errors.Is(err, alloc.ErrSize) || errors.Is(err, alloc.ErrNoMemory), "%d: %v", n, err)
	}
	require.Zero(t, a.Stats().LiveBlocks)
}

func TestAppend(t *testing.T) {
	a := alloctest.Reference(1 << 20)
	var s []int32
	s, err := alloc.Append(a, s)
	require.NoError(t, err)
	require.Nil(t, s, "nothing appended to nothing")
	var want []int32
	for i := range int32(1000) {
		s, err = alloc.Append(a, s, i, -i)
		require.NoError(t, err)
		want = append(want, i, -i)
		require.Equal(t, 1, a.Stats().LiveBlocks)
	}
	require.Equal(t, want, s)
	require.Less(t, a.Stats().Mallocs, uint64(30), "growth is geometric")
	kept := s
	_, err = alloc.Append(a, s, make([]int32, 1<<20)...)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.Equal(t, want, kept, "on error the slice is untouched")
	alloc.DeleteSlice(a, s)
	require.Zero(t, a.Stats().LiveBlocks)

	made, err := alloc.Make[int32](a, 0)
	require.NoError(t, err)
	made, err = alloc.Append(a, made, 7)
	require.NoError(t, err)
	require.Equal(t, []int32{7}, made)
	alloc.DeleteSlice(a, made)
	require.ErrorIs(t, alloc.Try(func() { alloc.Append(a, make([]int32, 3), 1) }), alloc.ErrForeign)
	require.Zero(t, a.Stats().LiveBlocks)
}

func TestFor(t *testing.T) {
	a := alloctest.Reference(0)
	points := alloc.For[point](a)
	p, err := points.New()
	require.NoError(t, err)
	s, err := points.Make(3)
	require.NoError(t, err)
	s, err = points.Append(s, point{1, 2})
	require.NoError(t, err)
	require.Equal(t, point{1, 2}, s[3])
	points.Delete(p)
	points.DeleteSlice(s)
	require.Zero(t, a.Stats().LiveBlocks)
}

// The errors of the allocator come out, and nothing leaks when it fails.
func TestTypedFailures(t *testing.T) {
	for n := 1; n <= 3; n++ {
		r := alloctest.Reference(0)
		f := alloctest.Failing(r, n)
		p, err1 := alloc.New[point](f)
		s, err2 := alloc.Make[point](f, 4)
		grown, err3 := alloc.Append(f, s, point{}, point{})
		require.ErrorIs(t, errors.Join(err1, err2, err3), alloc.ErrNoMemory)
		alloc.Delete(f, p)
		alloc.DeleteSlice(f, grown) // s, if Append failed
		require.Zero(t, r.Stats().LiveBlocks, "n = %d", n)
	}
}

// TestFault holds the rows of the fault table that the typed helpers answer for.
func TestFault(t *testing.T) {
	t.Run("A05_make_overflow", func(t *testing.T) {
		a := alloctest.Reference(0)
		for _, p := range [][2]int{{math.MaxInt, 2}, {math.MaxInt/2 + 1, 2}, {-1, 8}, {8, -1}, {math.MaxInt, math.MaxInt}} {
			_, err := alloc.CheckedSize(p[0], p[1])
			require.ErrorIs(t, err, alloc.ErrSize, "%v", p)
		}
		for _, p := range [][2]int{{0, math.MaxInt}, {math.MaxInt, 1}, {3, 8}} {
			n, err := alloc.CheckedSize(p[0], p[1])
			require.NoError(t, err)
			require.Equal(t, p[0]*p[1], n)
		}
		_, err := alloc.Make[[1 << 10]byte](a, math.MaxInt>>9)
		require.ErrorIs(t, err, alloc.ErrSize)
		require.Zero(t, a.Stats().Mallocs)
	})
	t.Run("A46_pointers", func(t *testing.T) {
		a := alloctest.Reference(0)
		for want, f := range map[string]func(){
			"alloc: New[linked]: field next has a pointer":            func() { alloc.New[linked](a) },
			"alloc: Make[nested]: field inner.names[0] has a pointer": func() { alloc.Make[nested](a, 2) },
			"alloc: Append[string]: string has a pointer":             func() { alloc.Append(a, nil, "x") },
			"alloc: For[error]: error has a pointer":                  func() { alloc.For[error](a) },
			"alloc: New[[]uint8]: []uint8 has a pointer":              func() { alloc.New[[]byte](a) },
			"alloc: New[map[int]int]: map[int]int has a pointer":      func() { alloc.New[map[int]int](a) },
			"alloc: New[chan int]: chan int has a pointer":            func() { alloc.New[chan int](a) },
			"alloc: New[func()]: func() has a pointer":                func() { alloc.New[func()](a) },
			"alloc: New[[2]*int]: element [0] has a pointer":          func() { alloc.New[[2]*int](a) },
			"alloc: Make[interface {}]: interface {} has a pointer":   func() { alloc.Make[any](a, 0) },
			"alloc: New[struct { s string }]: field s has a pointer":  func() { alloc.New[struct{ s string }](a) },
		} {
			err := alloc.Try(f)
			require.ErrorIs(t, err, alloc.ErrPointers)
			require.EqualError(t, err, want)
		}
		require.Zero(t, a.Stats().Mallocs, "nothing is allocated")
		_, err := alloc.New[[0]string](a)
		require.NoError(t, err, "no element, no pointer")
		_, err = alloc.New[uintptr](a)
		require.NoError(t, err)
	})
}
