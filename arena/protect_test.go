package arena_test

import (
	"errors"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// faults reports whether f touched memory that it may not touch.
func faults(f func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	f()
	return false
}

func TestProtect(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, 1<<20, o)
			page := r.PageSize()
			require.NoError(t, r.Commit(0, 4*page))
			mem := r.Bytes()
			mem[page] = 7
			err := r.Protect(arena.Offset(page), page, arena.ProtRead)
			if r.Backing() == arena.GoHeap {
				require.ErrorIs(t, err, arena.ErrUnsupported)
				require.ErrorIs(t, err, errors.ErrUnsupported)
				return
			}
			require.NoError(t, err)
			require.ErrorIs(t, r.Protect(1, page, arena.ProtRead), arena.ErrAlign)
			require.Equal(t, byte(7), mem[page])
			require.True(t, faults(func() { mem[page] = 8 }), "a store to a read-only page")
			require.NoError(t, r.Protect(arena.Offset(page), page, arena.ProtNone))
			require.True(t, faults(func() { _ = mem[page] == 7 && mem[page+1] == 1 }), "a load from an inaccessible page")
			require.False(t, faults(func() { mem[0], mem[2*page] = 1, 1 }), "its neighbours")
			require.NoError(t, r.Protect(arena.Offset(page), page, arena.ProtReadWrite))
			require.Equal(t, byte(7), mem[page], "contents are kept")

			require.NoError(t, r.Protect(arena.Offset(page), page, arena.ProtNone))
			require.NoError(t, r.Decommit(0, 4*page))
			require.NoError(t, r.Commit(0, 4*page))
			mem[page] = 9 // writable again
			require.Zero(t, mem[page+1])
			require.LessOrEqual(t, r.Stats().Mappings, 9)
		})
	}
}

// TestProtectedPagesAreChanged has Decommit clear a part of pages that may not be
// written to, and Move copy from and to such pages.
func TestProtectedPagesAreChanged(t *testing.T) {
	for name, o := range backings(t) {
		for _, prot := range []arena.Prot{arena.ProtNone, arena.ProtRead} {
			t.Run(name, func(t *testing.T) {
				r := reserve(t, 1<<20, o)
				if r.Backing() == arena.GoHeap {
					t.Skip("nothing can be protected")
				}
				page := r.PageSize()
				at := func(n int) arena.Offset { return arena.Offset(n * page) }
				require.NoError(t, r.Commit(0, 8*page))
				mem := r.Bytes()
				for i := range 8 * page {
					mem[i] = byte(1 + i/page)
				}
				require.NoError(t, r.Protect(0, 3*page, prot))
				require.NoError(t, r.Decommit(100, 2*page))
				require.False(t, faults(func() { mem[0], mem[3*page-1] = 1, 3 }))
				require.Equal(t, [4]byte{1, 0, 0, 3}, [4]byte{mem[99], mem[100], mem[2*page+99], mem[2*page+100]})

				require.NoError(t, r.Protect(at(3), page, prot))
				require.NoError(t, r.Protect(at(5), page, prot))
				require.NoError(t, r.Move(at(5), at(3), page))
				require.Equal(t, byte(4), mem[5*page])
				require.NoError(t, r.Protect(at(5), 3*page, prot))
				require.NoError(t, r.Move(at(6), at(5), 2*page), "onto itself, in part: copied")
				require.Equal(t, [2]byte{4, 7}, [2]byte{mem[6*page], mem[7*page]})
				require.False(t, faults(func() { mem[6*page], mem[7*page] = 1, 1 }))
				require.NoError(t, r.Check())
			})
		}
	}
}

func TestGuardPagesFault(t *testing.T) {
	needMappings(t)
	r := reserve(t, 1<<20, &arena.Options{Guard: true})
	require.NoError(t, r.Commit(0, r.Size()))
	mem := r.Bytes()
	mem[0], mem[len(mem)-1] = 1, 1
	require.True(t, faults(func() { touch(mem, -1) }))
	require.True(t, faults(func() { touch(mem, len(mem)) }))
}

// TestUncommittedPagesFault holds what the invariants tag adds.
func TestUncommittedPagesFault(t *testing.T) {
	r := reserve(t, 1<<20, nil)
	if !invariants.Enabled || r.Backing() != arena.Mmap {
		t.Skip("only under the invariants tag")
	}
	mem, page := r.Bytes(), r.PageSize()
	require.True(t, faults(func() { mem[0] = 1 }), "never committed")
	require.NoError(t, r.Commit(0, 2*page))
	mem[0], mem[page] = 1, 1
	require.NoError(t, r.Decommit(0, page))
	require.True(t, faults(func() { mem[0] = 1 }), "decommitted")
	mem[page] = 2
}
