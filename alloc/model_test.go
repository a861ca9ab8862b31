package alloc_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
)

// A mover is an allocator at its most unfriendly: each Realloc moves the block,
// fresh memory is dirty, and freed memory is overwritten at once.
type mover struct{ *alloctest.ReferenceAllocator }

func (m mover) Malloc(size int) ([]byte, error) {
	b, err := m.ReferenceAllocator.Malloc(size)
	for i := range b {
		b[i] = 0xaa
	}
	return b, err
}

func (m mover) Realloc(b []byte, size int) ([]byte, error) {
	if b == nil {
		return m.Malloc(size)
	}
	n, err := m.Malloc(size)
	if err != nil {
		return nil, err
	}
	copy(n, b)
	m.Free(b)
	return n, nil
}

func (m mover) Free(b []byte) {
	for i := range b {
		b[i] = 0xdd
	}
	m.ReferenceAllocator.Free(b)
}

// A pixel has a size that is no power of two.
type pixel struct{ r, g, b uint8 }

// TestSlicesModel holds Make, Append and DeleteSlice to Go's own slices: whatever
// is appended, parts of the slice itself included, the values are the same.
func TestSlicesModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := mover{alloctest.Reference(rapid.SampledFrom([]int{0, 2000}).Draw(rt, "limit"))}
		typed := alloc.For[pixel](a)
		var got, want [4][]pixel
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(got)-1).Draw(rt, "slice")
			switch rapid.SampledFrom([]string{"append", "append", "append", "self", "self", "make", "delete"}).Draw(rt, "verb") {
			case "append":
				vs := rapid.SliceOfN(drawPixel(), 0, 9).Draw(rt, "values")
				appendBoth(rt, typed, &got[i], &want[i], vs, vs)
			case "self":
				lo := rapid.IntRange(0, len(want[i])).Draw(rt, "lo")
				hi := rapid.IntRange(lo, len(want[i])).Draw(rt, "hi")
				appendBoth(rt, typed, &got[i], &want[i], got[i][lo:hi], slices.Clone(want[i][lo:hi]))
			case "make":
				n := rapid.IntRange(0, 100).Draw(rt, "n")
				s, err := typed.Make(n)
				if err != nil {
					require.ErrorIs(rt, err, alloc.ErrNoMemory)
					continue
				}
				typed.DeleteSlice(got[i])
				got[i], want[i] = s, make([]pixel, n)
			case "delete":
				typed.DeleteSlice(got[i])
				got[i], want[i] = nil, nil
			}
			for j := range got {
				require.True(rt, slices.Equal(want[j], got[j]), "slice %d is %v, want %v", j, got[j], want[j])
			}
		}
		for i := range got {
			typed.DeleteSlice(got[i])
		}
		require.Zero(rt, a.Stats().LiveBlocks)
	})
}

// appendBoth appends to both slices; where memory runs out neither changes.
func appendBoth(rt *rapid.T, typed alloc.Typed[pixel], got, want *[]pixel, gotValues, wantValues []pixel) {
	s, err := typed.Append(*got, gotValues...)
	if err != nil {
		require.ErrorIs(rt, err, alloc.ErrNoMemory)
		require.True(rt, slices.Equal(*got, s), "a failed append changed the slice")
		return
	}
	*got, *want = s, append(*want, wantValues...)
}

func drawPixel() *rapid.Generator[pixel] {
	return rapid.Custom(func(t *rapid.T) pixel {
		return pixel{rapid.Uint8().Draw(t, "r"), rapid.Uint8().Draw(t, "g"), rapid.Uint8().Draw(t, "b")}
	})
}

// Append of a slice to itself, the shortest case of what the model found.
func TestAppendToItself(t *testing.T) {
	a := mover{alloctest.Reference(0)}
	s, err := alloc.Append(a, nil, 1, 2, 3)
	require.NoError(t, err)
	for range 5 {
		want := append(slices.Clone(s), s...)
		s, err = alloc.Append(a, s, s...)
		require.NoError(t, err)
		require.Equal(t, want, s)
	}
	alloc.DeleteSlice(a, s)
	require.Zero(t, a.Stats().LiveBlocks)
}

// Every part of a slice may be appended to it, whether or not it has to grow,
// and values of no size have no place to be confused about.
func TestAppendEachPart(t *testing.T) {
	for n := range 7 {
		for lo := range n + 1 {
			for hi := lo; hi <= n; hi++ {
				a := mover{alloctest.Reference(0)}
				s, err := alloc.Make[uint16](a, n)
				require.NoError(t, err)
				for i := range s {
					s[i] = uint16(100 + i)
				}
				want := append(slices.Clone(s), s[lo:hi]...)
				s, err = alloc.Append(a, s, s[lo:hi]...)
				require.NoError(t, err)
				require.Equal(t, want, s, "[%d:%d] of %d", lo, hi, n)
				alloc.DeleteSlice(a, s)
				require.Zero(t, a.Stats().LiveBlocks)
			}
		}
	}
	a := mover{alloctest.Reference(0)}
	none, err := alloc.Append(a, nil, struct{}{}, struct{}{})
	require.NoError(t, err)
	none, err = alloc.Append(a, none, none...)
	require.NoError(t, err)
	require.Len(t, none, 4)
	alloc.DeleteSlice(a, none)
	require.Zero(t, a.Stats().LiveBlocks)
}
