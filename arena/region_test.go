package arena_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
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

// reserve reserves a region that the test closes at its end.
func reserve(t testing.TB, size int, o *arena.Options) *arena.Region {
	t.Helper()
	r, err := arena.Reserve(size, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if r.Bytes() != nil {
			require.NoError(t, r.Close())
		}
	})
	return r
}

func TestCommitGivesZeroAgainAfterDecommit(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			r := reserve(t, 1<<20, o)
			page := r.PageSize()
			require.NoError(t, r.Commit(arena.Offset(page), 3*page))
			mem := r.Bytes()[page : 4*page]
			for i := range mem {
				require.Zero(t, mem[i])
				mem[i] = 0xAB
			}
			require.Equal(t, 3*page, r.Stats().Committed)
			require.NoError(t, r.Decommit(arena.Offset(2*page), page))
			require.Equal(t, 2*page, r.Stats().Committed)
			require.NoError(t, r.Commit(arena.Offset(page), 3*page))
			for i := range page {
				require.Equal(t, byte(0xAB), mem[i])
				require.Zero(t, mem[page+i])
				require.Equal(t, byte(0xAB), mem[2*page+i])
			}
		})
	}
}
