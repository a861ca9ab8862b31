package arena_test

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// dividesMappings says that the system can end a part of a mapping.
const dividesMappings = runtime.GOOS != "windows"

func needDivision(t *testing.T) {
	t.Helper()
	needMappings(t)
	if !dividesMappings {
		t.Skip("mappings are not divided on this system")
	}
}

// TestShrink gives the end of a region back: what is before it stays as it is, the region
// works on, and Close releases the rest.
func TestShrink(t *testing.T) {
	needMappings(t)
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			opts := *o
			opts.Pager = p
			r := reserve(t, 1<<20, &opts)
			page := r.PageSize()
			require.NoError(t, r.Commit(0, 4*page))
			require.NoError(t, r.Commit(arena.Offset(8*page), 4*page))
			copy(r.Bytes()[page:], "stays")
			err := r.Shrink(9*page - 5)
			if r.Backing() == arena.GoHeap || r.Backing() == arena.File || !dividesMappings {
				require.ErrorIs(t, err, arena.ErrUnsupported)
				require.Equal(t, 1<<20, r.Size())
				return
			}
			require.NoError(t, err)
			require.Equal(t, 9*page, r.Size())
			require.Len(t, r.Bytes(), 9*page)
			require.Equal(t, 9*page, cap(r.Bytes()))
			st := r.Stats()
			require.Equal(t, [3]int{9 * page, 5 * page, 8 * page}, [3]int{st.Reserved, st.Committed, st.Peak})
			_, held := p.Held()
			guards := 0
			if opts.Guard {
				guards = 2 * page
			}
			require.Equal(t, 9*page+guards, held)
			require.Equal(t, "stays", string(r.Bytes()[page:page+5]))
			require.ErrorIs(t, r.Commit(arena.Offset(9*page), page), arena.ErrRange)
			require.NoError(t, r.Commit(0, 9*page))
			r.Bytes()[9*page-1] = 1
			require.NoError(t, r.Check())

			require.NoError(t, r.Shrink(9*page), "not smaller")
			require.NoError(t, r.Shrink(1<<30))
			require.ErrorIs(t, r.Shrink(0), arena.ErrSize)
			require.ErrorIs(t, r.Shrink(-1), arena.ErrSize)
			require.Equal(t, 9*page, r.Size())
			require.NoError(t, r.Shrink(1))
			require.Equal(t, page, r.Size())
			require.NoError(t, r.Close())
			require.ErrorIs(t, r.Shrink(1), arena.ErrClosed)
			require.NoError(t, p.Check())
		})
	}
}

// TestShrinkFails: if the system refuses, the region is as before.
func TestShrinkFails(t *testing.T) {
	needDivision(t)
	for _, guard := range []bool{false, true} {
		for _, op := range []arenatest.Op{arenatest.Unmap, arenatest.Protect} {
			p := arenatest.New()
			r := reserve(t, 1<<20, &arena.Options{Pager: p, Guard: guard})
			require.NoError(t, r.Commit(0, 1<<20))
			before := r.Stats()
			p.FailAt(1, syscall.ENOMEM, op)
			err := r.Shrink(1 << 19)
			if op == arenatest.Protect && !guard {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, syscall.ENOMEM)
			require.Equal(t, before, r.Stats())
			for i := range r.Bytes() {
				r.Bytes()[i] = 1
			}
			require.NoError(t, r.Check())
			require.NoError(t, r.Close())
			require.NoError(t, p.Check())
		}
	}
}

// TestShrinkGuard: the page after the new end cannot be touched, as that after the old one.
func TestShrinkGuard(t *testing.T) {
	needDivision(t)
	r := reserve(t, 1<<20, &arena.Options{Guard: true})
	require.NoError(t, r.Commit(0, 1<<20))
	past := r.Bytes()[1<<16 : 1<<16+1 : 1<<16+1]
	require.NoError(t, r.Shrink(1<<16))
	require.True(t, faults(func() { past[0] = 1 }))
	require.False(t, faults(func() { r.Bytes()[1<<16-1] = 1 }))
}
