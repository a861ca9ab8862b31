package arena_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestArenaInARegionWithALimit holds that the arena commits no further ahead
// than the limit of the caller's region allows: all of the limit can be used.
func TestArenaInARegionWithALimit(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			page := pageSizeOf()
			limited := *o
			limited.Limit = 5*page + page/2 // half a page is no use
			r := reserve(t, 1<<20, &limited)
			a := arena.ArenaIn(r)
			for i := range 5 {
				b, err := a.Alloc(page, 1)
				require.NoError(t, err, "page %d of 5", i)
				b[page-1] = 1
			}
			_, err := a.Alloc(1, 1)
			require.ErrorIs(t, err, arena.ErrLimit)
			require.NoError(t, a.Check())
			require.Equal(t, 5*page, r.Stats().Committed)
			require.Equal(t, 5*page, a.Stats().Used, "a failed call hands nothing out")
			require.NoError(t, a.Close())
			require.Zero(t, r.Stats().Committed)
		})
	}
}

// TestArenaUsesWhatItHas resets an arena that has committed all that it may: what
// does not fit in the committed part of the first chunk goes to one behind it.
func TestArenaUsesWhatItHas(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		fill := func(a *arena.Arena) {
			for _, size := range []int{100, 4 << 20, 12 << 20} { // each in a chunk of its own
				_, err := a.Alloc(size, 1)
				require.NoError(t, err)
			}
		}
		free := arena.NewArena(&arena.Options{Backing: backing})
		fill(free)
		limit := free.Stats().Committed
		require.NoError(t, free.Close())

		a := arena.NewArena(&arena.Options{Backing: backing, Limit: limit})
		fill(a)
		require.Equal(t, limit, a.Stats().Committed)
		a.Reset()
		for _, size := range []int{100, 12 << 20, 900 << 10} { // the last behind the second chunk: 4 MiB
			b, err := a.Alloc(size, 1)
			require.NoError(t, err, "%v: %d bytes", backing, size)
			require.True(t, isFilledWith(b, 0))
			fillWith(b, 1)
			require.NoError(t, a.Check())
		}
		require.Equal(t, limit, a.Stats().Committed)
		_, err := a.Alloc(12<<20, 1)
		require.ErrorIs(t, err, arena.ErrLimit)
		require.NoError(t, a.Close())
	}
}

func TestArenaNegativeLimit(t *testing.T) {
	a := arena.NewArena(&arena.Options{Limit: -1})
	_, err := a.Alloc(1, 1)
	require.ErrorIs(t, err, arena.ErrSize)
	require.Zero(t, a.Stats().Committed)
	require.NoError(t, a.Close())
}

// TestConcurrentGivesBackTheLastPage commits under a limit that has no room for
// a step ahead: the last page is given back like the others.
func TestConcurrentGivesBackTheLastPage(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			page := pageSizeOf()
			limited := *o
			limited.Limit = 4 * page
			r := reserve(t, 1<<20, &limited)
			c := arena.ConcurrentIn(r)
			_, _, err := c.Alloc(2*page, 1) // ends inside the third page
			require.NoError(t, err)
			require.Equal(t, 3*page, r.Stats().Committed)
			c.Reset()
			_, _, err = c.Alloc(1, 1)
			require.NoError(t, err)
			require.NoError(t, c.Trim())
			require.Equal(t, page, r.Stats().Committed)
			_, b, err := c.Alloc(3*page-100, 1)
			require.NoError(t, err)
			require.True(t, isFilledWith(b, 0))
			require.NoError(t, c.Close())
			require.Zero(t, r.Stats().Committed, "the caller's region as it was")
		})
	}
}

// TestLimitAcrossMoves walks the committed bytes up to the limit and expects
// each refusal to leave the figures and the contents alone.
func TestLimitAcrossMoves(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			page := pageSizeOf()
			limited := *o
			limited.Limit = 4 * page
			r := reserve(t, 16*page, &limited)
			at := func(p int) arena.Offset { return arena.Offset(p * page) }
			require.NoError(t, r.Commit(0, 4*page))
			for p := range 4 {
				r.Bytes()[p*page] = byte(p + 1)
			}
			require.NoError(t, r.Move(at(2), 0, 4*page), "overlapping, up: the count stays")
			require.NoError(t, r.Move(at(1), at(2), 4*page), "overlapping, down")
			require.NoError(t, r.Move(at(10), at(1), 4*page), "without overlap, at the limit")
			for p := range 4 {
				require.Equal(t, byte(p+1), r.Bytes()[(10+p)*page])
			}
			require.Equal(t, 4*page, r.Stats().Committed)
			require.NoError(t, r.Decommit(at(13), page))
			require.NoError(t, r.Commit(0, page))
			require.ErrorIs(t, r.Commit(at(1), 1), arena.ErrLimit)
			before := r.Stats()
			require.ErrorIs(t, r.Move(at(4), at(10), 4*page), arena.ErrUncommitted)
			require.ErrorIs(t, r.Move(at(4), at(10)+1, page), arena.ErrAlign)
			require.ErrorIs(t, r.Move(at(4), at(10), page-1), arena.ErrAlign)
			require.NoError(t, r.Move(at(10), at(10), 3*page), "onto itself")
			require.Equal(t, before, r.Stats())
			require.NoError(t, r.Move(0, at(10), 3*page), "onto a page that is committed: one fewer")
			require.Equal(t, 3*page, r.Stats().Committed)
			require.NoError(t, r.Commit(at(15), page), "room for one again")
			require.Equal(t, 4*page, r.Stats().Peak)
		})
	}
}

// TestConcurrentAlignment allocates at every alignment from many goroutines
// until there is no more room; FromBytes gives it a base that is not aligned.
func TestConcurrentAlignment(t *testing.T) {
	const size, goroutines = 1 << 19, 6
	makers := map[string]func() *arena.Concurrent{
		"mmap":   func() *arena.Concurrent { return newConcurrent(t, size, nil) },
		"goheap": func() *arena.Concurrent { return newConcurrent(t, size, &arena.Options{Backing: arena.GoHeap}) },
		"odd":    func() *arena.Concurrent { return arena.ConcurrentIn(arena.FromBytes(make([]byte, size+5)[3:])) },
		"limit": func() *arena.Concurrent {
			return newConcurrent(t, 4*size, &arena.Options{Backing: arena.GoHeap, Limit: size})
		},
	}
	for name, newArena := range makers {
		t.Run(name, func(t *testing.T) {
			c := newArena()
			var wg sync.WaitGroup
			got := make([][][2]int, goroutines)
			for g := range goroutines {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(g)))
					for {
						n, align := 1+rnd.IntN(300), 1<<rnd.IntN(13)
						off, b, err := c.Alloc(n, align)
						if err != nil {
							requireFull(t, err)
							return
						}
						if len(b) != n || cap(b) != n || addressOf(b)%uintptr(align) != 0 || off == 0 {
							t.Errorf("Alloc(%d, %d) = %#x, %d bytes at %#x", n, align, off, len(b), addressOf(b))
						}
						b[0], b[n-1] = byte(g), byte(g)
						got[g] = append(got[g], [2]int{int(off), int(off) + n})
					}
				})
			}
			wg.Wait()
			require.NoError(t, c.Check())
			all := slices.Concat(got...)
			slices.SortFunc(all, func(a, b [2]int) int { return a[0] - b[0] })
			for i := 1; i < len(all); i++ {
				require.LessOrEqual(t, all[i-1][1], all[i][0], "blocks overlap")
			}
			for g := range got {
				for _, s := range got[g] {
					require.Equal(t, [2]byte{byte(g), byte(g)}, [2]byte{c.Bytes()[s[0]], c.Bytes()[s[1]-1]})
				}
			}
			require.LessOrEqual(t, c.Used(), c.Region().Stats().Committed)
			require.Greater(t, c.Used(), size-1<<13, "room is left only for what was too large")
		})
	}
}

// isFull reports whether err says that there is no room.
func isFull(err error) bool { return errors.Is(err, arena.ErrFull) }

// requireFull is for goroutines of their own: it does not end the test.
func requireFull(t *testing.T, err error) {
	t.Helper()
	if !isFull(err) {
		t.Errorf("%v, want ErrFull", err)
	}
}

// TestConcurrentInTinyRegions looks at regions around the few bytes that no
// allocation gets.
func TestConcurrentInTinyRegions(t *testing.T) {
	for size := range 20 {
		c := arena.ConcurrentIn(arena.FromBytes(make([]byte, size)))
		_, _, err := c.Alloc(1, 1)
		if size <= 16 {
			require.ErrorIs(t, err, arena.ErrFull, "size %d", size)
		} else {
			require.NoError(t, err, "size %d", size)
			require.Equal(t, 17, c.Used())
		}
		_, _, err = c.Alloc(size+1, 1)
		require.ErrorIs(t, err, arena.ErrFull, "more than all of it")
		require.NoError(t, c.Check())
		require.NoError(t, c.Trim())
		require.NoError(t, c.Close())
		_, _, err = c.Alloc(0, 1)
		require.ErrorIs(t, err, arena.ErrClosed)
		require.Nil(t, c.Bytes())
	}
}
