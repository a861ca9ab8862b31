package arena_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/internal/invariants"
)

// arenas lists the ways to make an arena.
func arenas(t testing.TB) map[string]func() *arena.Arena {
	return map[string]func() *arena.Arena{
		"zero":   func() *arena.Arena { return new(arena.Arena) },
		"goheap": func() *arena.Arena { return arena.NewArena(&arena.Options{Backing: arena.GoHeap}) },
		"region": func() *arena.Arena { return arena.ArenaIn(reserve(t, 64<<20, nil)) },
		"bytes":  func() *arena.Arena { return arena.ArenaIn(arena.FromBytes(make([]byte, 8<<20)[3:])) },
	}
}

func TestArenaAlloc(t *testing.T) {
	for name, newArena := range arenas(t) {
		t.Run(name, func(t *testing.T) {
			a := newArena()
			for i, align := range []int{1, 2, 8, 16, 64, 4096, 1 << 16, 1 << 20} {
				size := 10*i + 1
				b, err := a.Alloc(size, align)
				require.NoError(t, err)
				require.Len(t, b, size)
				require.Equal(t, size, cap(b), "append must not reach a neighbour")
				require.Zero(t, addressOf(b)%uintptr(align))
				require.NoError(t, a.Check())
			}
			require.Equal(t, uint64(8), a.Stats().Allocs)
			require.NoError(t, a.Close())
			require.Zero(t, a.Stats().Committed)
			_, err := a.Alloc(1, 1)
			require.ErrorIs(t, err, arena.ErrClosed)
			if invariants.Enabled {
				require.Panics(t, func() { _ = a.Close() })
			} else {
				require.NoError(t, a.Close())
			}
		})
	}
}

func TestArenaErrors(t *testing.T) {
	var a arena.Arena
	for _, align := range []int{0, -1, 3, 24, math.MinInt, 1<<30 + 1, math.MaxInt} {
		_, err := a.Alloc(8, align)
		require.ErrorIs(t, err, arena.ErrAlign, "align %d", align)
	}
	for _, size := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt - 4096, math.MaxInt/2 + 1} {
		_, err := a.Alloc(size, 8)
		require.ErrorIs(t, err, arena.ErrSize, "size %d", size)
	}
	require.Zero(t, a.Stats())
	require.NoError(t, a.Check())
	require.NoError(t, a.Close())

	f := arena.NewArena(&arena.Options{Backing: arena.File})
	_, err := f.Alloc(8, 8)
	require.ErrorIs(t, err, arena.ErrUnsupported)

	full := arena.ArenaIn(arena.FromBytes(make([]byte, 100)))
	_, err = full.Alloc(101, 1)
	require.ErrorIs(t, err, arena.ErrFull)
	require.ErrorContains(t, err, "limit 100")
	_, err = full.Alloc(100, 1)
	require.NoError(t, err)
	_, err = full.Alloc(1, 1)
	require.ErrorIs(t, err, arena.ErrFull)
	empty, err := full.Alloc(0, 1)
	require.NoError(t, err)
	require.NotNil(t, empty)
}

func TestArenaLimit(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		a := arena.NewArena(&arena.Options{Backing: backing, Limit: 3 << 20})
		total := 0
		for {
			_, err := a.Alloc(100_000, 8)
			if err != nil {
				require.ErrorIs(t, err, arena.ErrLimit)
				break
			}
			total += 100_000
		}
		require.LessOrEqual(t, a.Stats().Committed, 3<<20)
		require.GreaterOrEqual(t, total, 2<<20, "most of the limit can be used")
		require.NoError(t, a.Check())
		a.Reset()
		_, err := a.Alloc(100_000, 8)
		require.NoError(t, err, "after Reset there is room")
		_, err = a.Alloc(4<<20, 8)
		require.ErrorIs(t, err, arena.ErrLimit)
		require.NoError(t, a.Close())
	}
}

// A new chunk that can be neither used nor released is kept, and the error is
// that of the allocation all the same.
func TestArenaChunkThatStays(t *testing.T) {
	p := arenatest.New()
	p.FailAt(1, nil, arenatest.Unmap)
	a := arena.NewArena(&arena.Options{Pager: p, Limit: 100})
	b, err := a.Alloc(50, 1)
	require.ErrorIs(t, err, arena.ErrLimit)
	require.Nil(t, b)
	if p.Count(arenatest.Map) > 0 {
		require.True(t, p.Injected())
		require.Equal(t, 1, a.Stats().Chunks)
	}
	require.Zero(t, a.Stats().Used)
	require.NoError(t, a.Check())
	require.NoError(t, a.Close())
	require.NoError(t, p.Check())
}

func TestMarkRelease(t *testing.T) {
	for name, newArena := range arenas(t) {
		t.Run(name, func(t *testing.T) {
			a := newArena()
			defer func() { require.NoError(t, a.Close()) }()
			keep, err := a.Alloc(100, 8)
			require.NoError(t, err)
			fillWith(keep, 1)
			outer := a.Mark()
			used := a.Stats().Used
			for range 50 {
				b, err := a.Alloc(100_000, 8)
				require.NoError(t, err)
				fillWith(b, 2)
			}
			inner := a.Mark()
			_, err = a.Alloc(500_000, 8)
			require.NoError(t, err)
			require.Equal(t, 2, a.Stats().Marks)
			require.NoError(t, a.Release(inner))
			require.NoError(t, a.Check())
			require.NoError(t, a.Release(outer))
			require.Equal(t, used, a.Stats().Used)
			require.Greater(t, a.Stats().Peak, used)
			require.Zero(t, a.Stats().Marks)
			require.Equal(t, bytes.Repeat([]byte{1}, 100), keep)
			again, err := a.Alloc(3_000_000, 8)
			require.NoError(t, err)
			require.True(t, isFilledWith(again, 0), "memory that is used again is zero")
			require.NoError(t, a.Check())
		})
	}
}

func TestReleaseOutOfOrder(t *testing.T) {
	var a, b arena.Arena
	outer := a.Mark()
	_, err := a.Alloc(10, 1)
	require.NoError(t, err)
	inner := a.Mark()
	_, err = a.Alloc(10, 1)
	require.NoError(t, err)
	other := b.Mark()
	require.NoError(t, a.Release(outer), "takes the inner one along")
	again := a.Mark()
	stale := []arena.Mark{inner, outer, other, {}}
	for _, m := range stale {
		if invariants.Enabled {
			require.Panics(t, func() { _ = a.Release(m) })
			continue
		}
		require.ErrorIs(t, a.Release(m), arena.ErrMark)
		require.Equal(t, 1, a.Stats().Marks, "nothing has changed")
	}
	require.NoError(t, a.Release(again))
	m := a.Mark()
	a.Reset()
	if !invariants.Enabled {
		require.ErrorIs(t, a.Release(m), arena.ErrMark, "Reset ends every mark")
	}
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
}

// TestReleasedMemoryIsMarked holds what the invariants tag adds.
func TestReleasedMemoryIsMarked(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("only under the invariants tag")
	}
	var a arena.Arena
	m := a.Mark()
	b, err := a.Alloc(64, 8)
	require.NoError(t, err)
	require.NoError(t, a.Release(m))
	require.Equal(t, bytes.Repeat([]byte{0xDD}, 64), b)
	require.NoError(t, a.Close())
}

func TestArenaHoldsFewMappings(t *testing.T) {
	needMappings(t)
	p := arenatest.New()
	a := arena.NewArena(&arena.Options{Pager: p})
	for range 2000 {
		_, err := a.Alloc(100_000, 8)
		require.NoError(t, err)
	}
	n, _ := p.Held()
	require.LessOrEqual(t, n, 9, "200 MB in chunks that double")
	require.LessOrEqual(t, a.Stats().Chunks, 9)
	a.Reset()
	require.NoError(t, a.Trim())
	require.Zero(t, a.Stats().Committed)
	require.NoError(t, a.Check())
	n, _ = p.Held()
	require.Equal(t, 1, n, "Trim closes the empty chunks")
	require.NoError(t, a.Close())
	require.NoError(t, p.Check())
}

type point struct{ X, Y float64 }

type named struct {
	ID   int
	Tags [2]struct{ Name string }
}

func TestTypedHelpers(t *testing.T) {
	var a arena.Arena
	p, err := arena.New[point](&a)
	require.NoError(t, err)
	require.Equal(t, point{}, *p)
	p.X = 3
	s, err := arena.MakeSlice[uint32](&a, 5, 9)
	require.NoError(t, err)
	require.Len(t, s, 5)
	require.Equal(t, 9, cap(s))
	s = append(s, 1, 2, 3, 4)
	require.Equal(t, []uint32{0, 0, 0, 0, 0, 1, 2, 3, 4}, s)
	require.Equal(t, 3.0, p.X)
	e, err := arena.New[struct{}](&a)
	require.NoError(t, err)
	require.NotNil(t, e)

	for _, c := range [][2]int{{-1, 0}, {0, -1}, {2, 1}, {0, math.MaxInt}, {0, math.MaxInt / 8}} {
		_, err = arena.MakeSlice[point](&a, c[0], c[1])
		require.ErrorIs(t, err, arena.ErrSize, "%v", c)
	}
	err = panicOf(func() { _, _ = arena.New[named](&a) })
	require.ErrorIs(t, err, arena.ErrPointers)
	require.ErrorContains(t, err, "arena: New[arena_test.named]: type has pointers: field Tags[0].Name has a pointer")
	err = panicOf(func() { _, _ = arena.MakeSlice[*int](&a, 1, 1) })
	require.ErrorIs(t, err, arena.ErrPointers)
	require.NoError(t, a.Close())
}

// panicOf returns the error that f panics with.
func panicOf(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}

// TestArenaModel allocates, marks, releases and trims at random; what is alive
// must keep its contents and overlap nothing.
func TestArenaModel(t *testing.T) {
	type live struct {
		b []byte
		v byte
	}
	for name, makeArena := range map[string]func() *arena.Arena{
		"mmap":   func() *arena.Arena { return new(arena.Arena) },
		"goheap": func() *arena.Arena { return arena.NewArena(&arena.Options{Backing: arena.GoHeap, Limit: 8 << 20}) },
		"bytes":  func() *arena.Arena { return arena.ArenaIn(arena.FromBytes(make([]byte, 1<<20)[1:])) },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				a := makeArena()
				defer func() { require.NoError(t, a.Close()) }()
				var blocks []live
				var marks []arena.Mark
				var heights []int // blocks that were alive at each mark
				serial := byte(0)
				t.Repeat(map[string]func(*rapid.T){
					"": func(t *rapid.T) {
						require.NoError(t, a.Check())
						require.Equal(t, len(marks), a.Stats().Marks)
						for _, l := range blocks {
							require.True(t, isFilledWith(l.b, l.v), "contents of %d bytes", len(l.b))
						}
					},
					"alloc": func(t *rapid.T) {
						size := rapid.SampledFrom([]int{0, 1, 7, 100, 4096, 70_000, 300_000}).Draw(t, "size")
						align := 1 << rapid.IntRange(0, 13).Draw(t, "align")
						b, err := a.Alloc(size, align)
						if err != nil {
							require.ErrorIs(t, err, arena.ErrFull)
							return
						}
						require.True(t, size == 0 || addressOf(b)%uintptr(align) == 0)
						require.True(t, isFilledWith(b, 0), "fresh memory is zero")
						serial++
						fillWith(b, serial)
						blocks = append(blocks, live{b, serial})
					},
					"mark": func(t *rapid.T) {
						marks, heights = append(marks, a.Mark()), append(heights, len(blocks))
					},
					"release": func(t *rapid.T) {
						if len(marks) == 0 {
							t.Skip("no mark")
						}
						i := rapid.IntRange(0, len(marks)-1).Draw(t, "mark")
						require.NoError(t, a.Release(marks[i]))
						blocks = blocks[:heights[i]]
						marks, heights = marks[:i], heights[:i]
					},
					"trim": func(t *rapid.T) { require.NoError(t, a.Trim()) },
				})
			})
		})
	}
}

// fillWith sets every byte of b to v, by copying what is set already.
func fillWith(b []byte, v byte) {
	for i := range b[:min(1, len(b))] {
		b[i] = v
	}
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// isFilledWith reports whether every byte of b is v: the first one is, and each
// equals the one before it.
func isFilledWith(b []byte, v byte) bool {
	return len(b) == 0 || b[0] == v && bytes.Equal(b[1:], b[:len(b)-1])
}
