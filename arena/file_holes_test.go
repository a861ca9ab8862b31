package arena_test

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// TestFileReopenedWithHoles writes a sparse file, and opens it: what holds data
// is committed, and what was decommitted is a hole the next time.
func TestFileReopenedWithHoles(t *testing.T) {
	o, page := fileOptions(t), pageSizeOf()
	const length = 64
	f, err := os.Create(o.Path)
	require.NoError(t, err)
	for _, p := range []int{3, 4, 40} {
		_, err = f.WriteAt(bytes.Repeat([]byte{byte(p)}, page), int64(p*page))
		require.NoError(t, err)
	}
	require.NoError(t, f.Truncate(int64(length*page)))
	require.NoError(t, f.Close())

	r, err := arena.Reserve(128*page, o)
	require.NoError(t, err)
	require.Equal(t, length*page, r.Stats().Existing)
	in := committedPages(r)
	require.True(t, in[3] && in[4] && in[40])
	require.NotContains(t, in[length:], true, "past the end of the file")
	if runtime.GOOS == "linux" && slices.Contains(in[:length], false) { // the file system keeps holes
		require.False(t, in[2] || in[5] || in[39] || in[41])
		require.Equal(t, 3*page, r.Stats().Committed)
	}
	for _, p := range []int{3, 4, 40} {
		require.True(t, isFilledWith(r.Bytes()[p*page:][:page], byte(p)))
	}
	require.NoError(t, r.Commit(0, length*page))
	require.True(t, isFilledWith(r.Bytes()[5*page:40*page], 0))
	require.NoError(t, r.Decommit(arena.Offset(4*page), (length-4)*page))
	require.NoError(t, r.Check())
	require.NoError(t, r.Close())

	o.Limit = 5 * page // the hole does not count
	r = reserve(t, 128*page, o)
	require.Equal(t, length*page, r.Stats().Existing, "the file keeps its length")
	require.True(t, isFilledWith(r.Bytes()[3*page:4*page], 3))
	require.NoError(t, r.Commit(arena.Offset(40*page), page))
	require.True(t, isFilledWith(r.Bytes()[40*page:41*page], 0), "what was decommitted is gone")
}

// TestFileSystemsWithoutHoles decommits where blocks cannot be given back:
// zeros are written instead, and the file says so when it is reopened.
func TestFileSystemsWithoutHoles(t *testing.T) {
	o, page, p := fileOptions(t), pageSizeOf(), arenatest.New()
	o.Pager = p
	r, err := arena.Reserve(8*page, o)
	require.NoError(t, err)
	require.NoError(t, r.Commit(0, 3*page))
	fillWith(r.Bytes()[:3*page], 9)
	p.FailAt(1, arena.ErrUnsupported, arenatest.Punch)
	require.NoError(t, r.Decommit(arena.Offset(page), 4*page))
	require.True(t, p.Injected())
	require.Equal(t, page, r.Stats().Committed)
	require.NoError(t, r.Commit(arena.Offset(page), page))
	require.True(t, isFilledWith(r.Bytes()[:page], 9))
	require.True(t, isFilledWith(r.Bytes()[page:2*page], 0))
	require.NoError(t, r.Close())
	content, err := os.ReadFile(o.Path)
	require.NoError(t, err)
	require.True(t, isFilledWith(content[page:], 0))

	r, err = arena.Reserve(8*page, o)
	require.NoError(t, err)
	fillWith(r.Bytes()[:page], 8)
	before := r.Stats()
	p.FailAt(1, syscall.EIO, arenatest.Punch)
	require.ErrorIs(t, r.Decommit(0, page), syscall.EIO)
	require.Equal(t, before, r.Stats(), "a failed call changes nothing")
	require.True(t, isFilledWith(r.Bytes()[:page], 8))
	require.NoError(t, r.Close())
	require.NoError(t, p.Check())
}

// TestSyncWritesTheCommittedParts counts the calls: one for each stretch of a
// File, none for memory that has no device.
func TestSyncWritesTheCommittedParts(t *testing.T) {
	for name, o := range backings(t) {
		t.Run(name, func(t *testing.T) {
			p := arenatest.New()
			opts := *o
			opts.Pager = p
			if opts.Backing == arena.File {
				opts.Path += ".sync"
			}
			page := pageSizeOf()
			r := reserve(t, 16*page, &opts)
			require.NoError(t, r.Sync(), "nothing is committed")
			require.Zero(t, p.Count(arenatest.Sync))
			require.NoError(t, r.Commit(0, 2*page))
			require.NoError(t, r.Commit(arena.Offset(5*page), 1))
			p.FailAt(2, syscall.EIO, arenatest.Sync)
			err := r.Sync()
			if opts.Backing != arena.File {
				require.NoError(t, err)
				require.Zero(t, p.Count(arenatest.Sync))
				return
			}
			require.ErrorIs(t, err, syscall.EIO)
			require.ErrorContains(t, err, "arena: sync")
			require.Equal(t, 2, p.Count(arenatest.Sync))
			require.NoError(t, r.Sync())
			require.Equal(t, 4, p.Count(arenatest.Sync))
		})
	}
}
