package arena_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
)

// fileOptions returns options for a fresh file, or skips the test.
func fileOptions(t testing.TB) *arena.Options {
	t.Helper()
	o, ok := backings(t)["file"]
	if !ok {
		t.Skip("no file mappings on this system")
	}
	o.Path = filepath.Join(t.TempDir(), "heap")
	return o
}

func TestFileIsReopened(t *testing.T) {
	o := fileOptions(t)
	r, err := arena.Reserve(1<<24, o)
	require.NoError(t, err)
	page := r.PageSize()
	require.Zero(t, r.Stats().Existing)
	require.NoError(t, r.Commit(0, 2*page))
	require.NoError(t, r.Commit(arena.Offset(40*page), page))
	copy(r.Bytes()[page:], "hello")
	r.Bytes()[40*page] = 40
	require.NoError(t, r.Sync())
	require.NoError(t, r.Close())

	info, err := os.Stat(o.Path)
	require.NoError(t, err)
	require.Equal(t, int64(41*page), info.Size(), "as long as the last page that was committed")
	content, err := os.ReadFile(o.Path)
	require.NoError(t, err)
	require.Equal(t, "hello", string(content[page:page+5]))

	// Reopened with a size of its own, at whatever address.
	r = reserve(t, 1<<26, o)
	require.Equal(t, 41*page, r.Stats().Existing)
	require.Equal(t, "hello", string(r.Bytes()[page:page+5]))
	require.Equal(t, byte(40), r.Bytes()[40*page])
	require.LessOrEqual(t, r.Stats().Committed, 41*page)
	require.GreaterOrEqual(t, r.Stats().Committed, 2*page)
	require.NoError(t, r.Commit(0, 50*page), "what holds data keeps it")
	require.Equal(t, "hello", string(r.Bytes()[page:page+5]))
	require.Equal(t, byte(40), r.Bytes()[40*page])
	require.Equal(t, make([]byte, page), r.Bytes()[30*page:31*page])
}

func TestFileGivesBlocksBack(t *testing.T) {
	r := reserve(t, 1<<24, fileOptions(t))
	const size = 1 << 20
	require.NoError(t, r.Commit(0, 2*size))
	for i := range 2 * size {
		r.Bytes()[i] = 1
	}
	require.NoError(t, r.Sync())
	require.NoError(t, r.Decommit(0, size))
	require.NoError(t, r.Commit(0, size))
	require.Equal(t, make([]byte, size), r.Bytes()[:size])
	require.Equal(t, bytes.Repeat([]byte{1}, size), r.Bytes()[size:2*size])
}

// TestFileOnAFullDisk makes the allocation of blocks fail as a full disk does:
// an error of Commit, and no signal later.
func TestFileOnAFullDisk(t *testing.T) {
	o := fileOptions(t)
	p := arenatest.New()
	o.Pager = p
	r := reserve(t, 1<<24, o)
	require.NoError(t, r.Commit(0, 1<<16))
	before := r.Stats()
	p.FailAt(1, syscall.ENOSPC, arenatest.Allocate)
	err := r.Commit(1<<16, 1<<16)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, before, r.Stats())
	r.Bytes()[0] = 1
	require.NoError(t, r.Commit(1<<16, 1<<16), "once there is room")
	r.Bytes()[1<<16] = 1
}

func TestFileBadInput(t *testing.T) {
	o := fileOptions(t)
	require.NoError(t, os.WriteFile(o.Path, make([]byte, 1<<20), 0o600))
	_, err := arena.Reserve(1<<16, o)
	require.ErrorIs(t, err, arena.ErrSize)
	require.ErrorContains(t, err, "longer than the region")

	limited := *o
	limited.Limit = 1 << 16
	_, err = arena.Reserve(1<<21, &limited)
	require.ErrorIs(t, err, arena.ErrLimit, "what the file holds is over the limit")

	o.Path = filepath.Join(t.TempDir(), "missing", "heap")
	_, err = arena.Reserve(1<<16, o)
	require.ErrorIs(t, err, os.ErrNotExist)

	o.Path = t.TempDir()
	_, err = arena.Reserve(1<<16, o)
	require.Error(t, err, "a directory")
}

func TestFileOfOddLength(t *testing.T) {
	o := fileOptions(t)
	require.NoError(t, os.WriteFile(o.Path, bytes.Repeat([]byte{7}, 5000), 0o600))
	r := reserve(t, 1<<20, o)
	require.Equal(t, 5000, r.Stats().Existing)
	require.Equal(t, byte(7), r.Bytes()[4999])
	require.NoError(t, r.Commit(0, 3*r.PageSize()))
	require.Zero(t, r.Bytes()[5000])
	r.Bytes()[3*r.PageSize()-1] = 1
}

// TestFileGrowsByItsLastPage writes behind the odd end of a file: it is as it was
// until a Commit covers the page, and a whole page long afterwards.
func TestFileGrowsByItsLastPage(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, r *arena.Region, page int){
		"commit": func(t *testing.T, r *arena.Region, page int) { require.NoError(t, r.Commit(0, 1)) },
		"again":  func(t *testing.T, r *arena.Region, page int) { require.NoError(t, r.Commit(0, 4*page)) },
		"decommit": func(t *testing.T, r *arena.Region, page int) {
			require.NoError(t, r.Decommit(0, page))
			require.NoError(t, r.Commit(0, page))
		},
		"move": func(t *testing.T, r *arena.Region, page int) {
			require.NoError(t, r.Commit(arena.Offset(page), page))
			require.NoError(t, r.Move(0, arena.Offset(page), page))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := fileOptions(t)
			require.NoError(t, os.WriteFile(o.Path, bytes.Repeat([]byte{1}, 100), 0o600))
			r, err := arena.Reserve(1<<20, o)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			content, err := os.ReadFile(o.Path)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat([]byte{1}, 100), content, "opening and closing changes nothing")

			r, err = arena.Reserve(1<<20, o)
			require.NoError(t, err)
			page := r.PageSize()
			change(t, r, page)
			require.Zero(t, r.Bytes()[150])
			r.Bytes()[200] = 7
			require.NoError(t, r.Close())
			content, err = os.ReadFile(o.Path)
			require.NoError(t, err)
			require.Zero(t, len(content)%page)
			require.Equal(t, byte(7), content[200])
		})
	}
}
