package arena_test

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// TestPopulate: on every backing contents and committed pages stay as they are, and
// where the system can, the pages are resident afterwards.
func TestPopulate(t *testing.T) {
	const pages = 64
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, pages*pageSizeOf(), o)
			page := r.PageSize()
			require.NoError(t, r.Commit(0, pages/2*page))
			require.NoError(t, r.Decommit(arena.Offset(5*page), page))
			fillWith(r.Bytes()[3*page:][:page], 7)
			before := committedPages(r)
			require.NoError(t, r.Populate(arena.Offset(page+1), (pages-2)*page))
			require.Equal(t, before, committedPages(r))
			for p := range pages / 2 {
				v := byte(0)
				if p == 3 {
					v = 7
				}
				require.True(t, p == 5 || isFilledWith(r.Bytes()[p*page:][:page], v), "page %d", p)
			}
			require.NoError(t, r.Populate(0, 0))
			require.ErrorIs(t, r.Populate(arena.Offset(page), pages*page), arena.ErrRange)
			require.NoError(t, r.Close())
			require.ErrorIs(t, r.Populate(0, page), arena.ErrClosed)
		})
	}
}

// TestPopulateResident: the committed pages of the range, and no others, are there.
func TestPopulateResident(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux populates")
	}
	for _, b := range mappedBackings(t) {
		p := arenatest.New()
		r := reserve(t, 64*pageSizeOf(), &arena.Options{Backing: b, Pager: p})
		page := r.PageSize()
		require.NoError(t, r.Commit(0, 40*page))
		require.NoError(t, r.Populate(arena.Offset(10*page), 54*page))
		if err := p.Advise(r.Bytes()[10*page:11*page], arena.AdvisePopulate); err != nil {
			t.Skip("the system does not populate: ", err)
		}
		n, err := r.Resident()
		require.NoError(t, err)
		require.Equal(t, 30*page, n)
	}
}

// TestPopulateProtected: pages that may not be written to are left out, and are no reason
// not to ask the system again.
func TestPopulateProtected(t *testing.T) {
	for _, b := range mappedBackings(t) {
		p := arenatest.New()
		r := reserve(t, 64*pageSizeOf(), &arena.Options{Backing: b, Pager: p})
		if r.Backing() != b {
			t.Skip("no mappings here")
		}
		page := r.PageSize()
		require.NoError(t, r.Commit(0, r.Size()))
		require.NoError(t, r.Protect(arena.Offset(10*page), page, arena.ProtRead))
		require.NoError(t, r.Protect(arena.Offset(20*page), page, arena.ProtNone))
		calls := p.Count(arenatest.Advise)
		require.NoError(t, r.Populate(0, 30*page))
		asked := p.Count(arenatest.Advise) - calls
		if err := p.Advise(r.Bytes()[:page], arena.AdvisePopulate); err != nil {
			t.Skip("the system does not populate: ", err)
		}
		require.Equal(t, 3, asked)
		n, err := r.Resident()
		require.NoError(t, err)
		require.Equal(t, 28*page, n)
		require.NoError(t, r.Populate(arena.Offset(30*page), 10*page))
		n, err = r.Resident()
		require.NoError(t, err)
		require.Equal(t, 38*page, n)
	}
}

// TestPopulateRefused: a region asks no more once the system has refused.
func TestPopulateRefused(t *testing.T) {
	p := arenatest.New()
	r := reserve(t, 64*pageSizeOf(), &arena.Options{Pager: p})
	if r.Backing() != arena.Mmap {
		t.Skip("no mappings here")
	}
	require.NoError(t, r.Commit(0, r.Size()))
	p.FailAt(1, syscall.EINVAL, arenatest.Advise)
	require.NoError(t, r.Populate(0, r.Size()))
	require.True(t, p.Injected())
	calls := p.Count(arenatest.Advise)
	require.NoError(t, r.Populate(0, r.Size()))
	require.Equal(t, calls, p.Count(arenatest.Advise))
	r.Bytes()[r.Size()-1] = 1
}

// mappedBackings returns the backings without a file that are mappings here.
func mappedBackings(t *testing.T) (out []arena.Backing) {
	all := backings(t)
	for _, b := range []struct {
		name string
		arena.Backing
	}{{"mmap", arena.Mmap}, {"sparse", arena.Sparse}} {
		if all[b.name] != nil {
			out = append(out, b.Backing)
		}
	}
	return out
}
