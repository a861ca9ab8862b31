package arena_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// backings lists the options of every backing that this system has.
func backings(t testing.TB) map[string]*arena.Options {
	t.Helper()
	all := map[string]*arena.Options{
		"mmap":   {},
		"guard":  {Guard: true},
		"goheap": {Backing: arena.GoHeap},
		"file":   {Backing: arena.File, Path: filepath.Join(t.TempDir(), "region")},
		"sparse": {Backing: arena.Sparse},
	}
	for name, o := range all {
		r, err := arena.Reserve(1<<20, o)
		if errors.Is(err, errors.ErrUnsupported) {
			delete(all, name)
			continue
		}
		require.NoError(t, err, name)
		require.NoError(t, r.Close(), name)
	}
	return all
}

// reserve reserves a region that the test closes at its end, after checking it.
func reserve(t testing.TB, size int, o *arena.Options) *arena.Region {
	t.Helper()
	r, err := arena.Reserve(size, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, r.Check())
		if r.Bytes() != nil {
			require.NoError(t, r.Close())
		}
	})
	return r
}

// needMappings skips a test of what only mappings do.
func needMappings(t testing.TB) {
	t.Helper()
	if r := reserve(t, 1, nil); r.Backing() != arena.Mmap {
		t.Skip("no mappings on this system")
	}
}

func TestCommitGivesZeroAgainAfterDecommit(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, 1<<20, o)
			page := r.PageSize()
			require.NoError(t, r.Commit(arena.Offset(page), 3*page))
			mem := r.Bytes()[page : 4*page]
			require.Equal(t, make([]byte, 3*page), mem)
			for i := range mem {
				mem[i] = 0xAB
			}
			require.Equal(t, 3*page, r.Stats().Committed)
			require.NoError(t, r.Decommit(arena.Offset(2*page), page))
			require.Equal(t, 2*page, r.Stats().Committed)
			require.NoError(t, r.Commit(arena.Offset(page), 3*page))
			full := bytes.Repeat([]byte{0xAB}, page)
			require.Equal(t, full, mem[:page])
			require.Equal(t, make([]byte, page), mem[page:2*page])
			require.Equal(t, full, mem[2*page:])
			require.Equal(t, 3*page, r.Stats().Peak)
		})
	}
}

// TestPartialPages holds what Commit and Decommit do with a range that does
// not begin and end on page boundaries.
func TestPartialPages(t *testing.T) {
	page := os.Getpagesize()
	tests := []struct {
		name      string
		off, size int // decommitted, of 4 committed pages
		committed int // pages that stay
	}{
		{"inside one page", 100, 200, 4},
		{"to a page boundary", 100, page - 100, 4},
		{"from a page boundary", page, 100, 4},
		{"one whole page", page, page, 3},
		{"a page and parts", 100, 2 * page, 3},
		{"across a boundary", page - 10, 20, 4},
		{"almost two pages", page + 1, 2*page - 2, 4},
		{"everything but two bytes", 1, 4*page - 2, 2},
		{"everything", 0, 4 * page, 0},
		{"nothing", 2 * page, 0, 4},
	}
	for name, o := range backings(t) {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				r := reserve(t, 8*page, o)
				require.NoError(t, r.Commit(1, 4*page-1))
				require.Equal(t, 4*page, r.Stats().Committed)
				mem := r.Bytes()[:4*page]
				for i := range mem {
					mem[i] = 0xEE
				}
				require.NoError(t, r.Decommit(arena.Offset(tt.off), tt.size))
				require.Equal(t, tt.committed*page, r.Stats().Committed)
				require.NoError(t, r.Commit(0, 4*page))
				for i := range mem {
					want := byte(0xEE)
					if tt.off <= i && i < tt.off+tt.size {
						want = 0
					}
					if mem[i] != want {
						t.Fatalf("byte %d = %#x, want %#x", i, mem[i], want)
					}
				}
			})
		}
	}
}

func TestRangeErrors(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, 1<<20, o)
			calls := map[string]func(arena.Offset, int) error{
				"commit":   r.Commit,
				"decommit": r.Decommit,
				"protect":  func(off arena.Offset, n int) error { return r.Protect(off, n, arena.ProtRead) },
				"move src": func(off arena.Offset, n int) error { return r.Move(0, off, n) },
				"move dst": func(off arena.Offset, n int) error { return r.Move(off, 0, n) },
			}
			for call, f := range calls {
				require.ErrorIs(t, f(0, -1), arena.ErrSize, call)
				require.ErrorIs(t, f(0, math.MinInt), arena.ErrSize, call)
				require.ErrorIs(t, f(0, 1<<20+1), arena.ErrRange, call)
				require.ErrorIs(t, f(1<<20, 1), arena.ErrRange, call)
				require.ErrorIs(t, f(1<<20+1, 0), arena.ErrRange, call)
				require.ErrorIs(t, f(math.MaxUint64, 1), arena.ErrRange, call)
				require.ErrorIs(t, f(4096, math.MaxInt), arena.ErrRange, call)
				require.NoError(t, f(1<<20, 0), call)
			}
			require.Zero(t, r.Stats().Committed)
		})
	}
}

func TestReserveErrors(t *testing.T) {
	var e *arena.Error
	_, err := arena.Reserve(-1, nil)
	require.ErrorIs(t, err, arena.ErrSize)
	require.ErrorAs(t, err, &e)
	require.Contains(t, []string{"reserve mmap", "reserve goheap"}, e.Op)
	_, err = arena.Reserve(math.MaxInt, nil)
	require.ErrorIs(t, err, arena.ErrSize)
	_, err = arena.Reserve(4096, &arena.Options{Backing: 99})
	require.ErrorContains(t, err, "unknown backing")
	_, err = arena.Reserve(4096, &arena.Options{Limit: -1})
	require.ErrorIs(t, err, arena.ErrSize)
	_, err = arena.Reserve(4096, &arena.Options{Backing: arena.File})
	require.Error(t, err, "a File without a path")
	if math.MaxInt > math.MaxInt32 {
		_, err = arena.Reserve(math.MaxInt/2, nil)
		require.Error(t, err, "more than any address space")
	}
}

func TestDefaultSizes(t *testing.T) {
	r := reserve(t, 0, nil)
	require.GreaterOrEqual(t, r.Size(), 1<<20)
	require.LessOrEqual(t, uint64(r.Size()), uint64(64<<30))
	require.Equal(t, r.Size(), len(r.Bytes()))
	h := reserve(t, 0, &arena.Options{Backing: arena.GoHeap})
	require.Equal(t, 64<<20, h.Size())
	require.Equal(t, arena.GoHeap, h.Backing())
	small := reserve(t, 1, nil)
	require.Equal(t, small.PageSize(), small.Size(), "sizes are rounded up to pages")
}

func TestLimit(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			page := os.Getpagesize()
			limited := *o
			limited.Limit = 4 * page
			r := reserve(t, 16*page, &limited)
			require.NoError(t, r.Commit(0, 3*page))
			err := r.Commit(arena.Offset(2*page), 3*page)
			require.ErrorIs(t, err, arena.ErrLimit)
			require.ErrorIs(t, err, arena.ErrFull)
			var e *arena.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, [3]int{3 * page, 4 * page, 3 * page}, [3]int{e.Have, e.Limit, e.Size})
			require.Equal(t, 3*page, r.Stats().Committed, "a failed commit changes nothing")
			require.NoError(t, r.Commit(arena.Offset(2*page), 2*page))
			require.ErrorIs(t, r.Commit(arena.Offset(15*page), 1), arena.ErrLimit)
			require.NoError(t, r.Decommit(0, page))
			require.NoError(t, r.Commit(arena.Offset(15*page), 1), "room again")
			require.Equal(t, 4*page, r.Stats().Committed)
		})
	}
}

func TestClose(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r, err := arena.Reserve(1<<20, o)
			require.NoError(t, err)
			require.NoError(t, r.Commit(0, 4096))
			b := r.Bytes()[:16]
			require.True(t, r.Owns(b))
			require.NoError(t, r.Close())
			require.Nil(t, r.Bytes())
			require.False(t, r.Owns(b))
			require.Equal(t, 1<<20, r.Size())
			require.Zero(t, r.Stats().Committed)
			require.ErrorIs(t, r.Commit(0, 1), arena.ErrClosed)
			require.ErrorIs(t, r.Decommit(0, 1), arena.ErrClosed)
			require.ErrorIs(t, r.Protect(0, 4096, arena.ProtNone), arena.ErrClosed)
			require.ErrorIs(t, r.Move(0, 0, 0), arena.ErrClosed)
			require.ErrorIs(t, r.Sync(), arena.ErrClosed)
			_, err = r.Resident()
			require.ErrorIs(t, err, arena.ErrClosed)
			require.NoError(t, r.Check())
			if invariants.Enabled {
				require.Panics(t, func() { _ = r.Close() })
			} else {
				require.NoError(t, r.Close())
			}
		})
	}
}

func TestOwns(t *testing.T) {
	r := reserve(t, 1<<20, nil)
	other := reserve(t, 1<<20, nil)
	mem := r.Bytes()
	require.True(t, r.Owns(mem))
	require.True(t, r.Owns(mem[100:200]))
	require.True(t, r.Owns(mem[len(mem)-1:]))
	require.True(t, r.Owns(mem[5:5:6]), "empty, inside")
	require.False(t, r.Owns(nil))
	require.False(t, r.Owns(make([]byte, 10)))
	require.False(t, r.Owns(other.Bytes()))
	off, ok := r.OffsetOf(mem[4096:4097])
	require.True(t, ok)
	require.Equal(t, arena.Offset(4096), off)
}

func TestResident(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			const pages = 300
			r := reserve(t, pages*os.Getpagesize(), o)
			page := r.PageSize()
			require.NoError(t, r.Commit(0, r.Size()))
			n, err := r.Resident()
			if errors.Is(err, arena.ErrUnsupported) {
				t.Skip("this system cannot say")
			}
			require.NoError(t, err)
			if r.Backing() == arena.Mmap {
				require.Zero(t, n, "nothing is touched")
			}
			for i := range 100 {
				r.Bytes()[2*i*page] = 1
			}
			n, err = r.Resident()
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, 100*page)
			require.LessOrEqual(t, n, r.Size())
			if r.Backing() == arena.Mmap || r.Backing() == arena.Sparse {
				require.Equal(t, 100*page, n, "pages that were touched")
				require.NoError(t, r.Decommit(0, 100*page))
				n, err = r.Resident()
				require.NoError(t, err)
				require.Equal(t, 50*page, n)
			}
		})
	}
}

// TestRegionConcurrently runs commits and decommits of disjoint parts side by
// side; the counts must add up. Under -race it says whether the bookkeeping is
// sound.
func TestRegionConcurrently(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(backing.String(), func(t *testing.T) {
			const goroutines, pages = 8, 16
			page := os.Getpagesize()
			r := reserve(t, goroutines*pages*page, &arena.Options{Backing: backing})
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					base := g * pages * page
					for i := range 200 {
						off, size := base+i%pages*page, page
						if err := r.Commit(arena.Offset(off), size); err != nil {
							t.Error(err)
						}
						r.Bytes()[off] = byte(i)
						if i%3 == 0 {
							if err := r.Decommit(arena.Offset(off), size); err != nil {
								t.Error(err)
							}
						}
						_ = r.Stats()
					}
					if err := r.Commit(arena.Offset(base), pages*page); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, r.Size(), r.Stats().Committed)
		})
	}
}
