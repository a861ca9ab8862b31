package lsm

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A countingFS knows which files are open. For one goroutine.
type countingFS struct {
	vfs.FS
	open map[string]int
}

func (c countingFS) OpenDir(path string, create bool) (vfs.Dir, error) {
	d, err := c.FS.OpenDir(path, create)
	return countingDir{d, c}, err
}

type countingDir struct {
	vfs.Dir
	c countingFS
}

func (d countingDir) Open(name string) (vfs.File, error) {
	f, err := d.Dir.Open(name)
	return d.count(name, f, err)
}

func (d countingDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	return d.count(name, f, err)
}

func (d countingDir) count(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	d.c.open[name]++
	return countedFile{f, d.c, name}, nil
}

type countedFile struct {
	vfs.File
	c    countingFS
	name string
}

func (f countedFile) Close() error {
	if f.c.open[f.name]--; f.c.open[f.name] == 0 {
		delete(f.c.open, f.name)
	}
	return f.File.Close()
}

// TestOpenFails makes every call of an Open fail, in turn: it leaves no file open and
// no memory mapped.
func TestOpenFails(t *testing.T) {
	mem := vfs.NewMem()
	h := fill(t, mem, 70)
	rewrite(t, mem, filename.MakeTable(900), nil) // a table that was never finished
	failed := 0
	for k := int64(1); ; k++ {
		p := arenatest.New()
		in := vfs.NewInjector(mem.CrashClone(1, 1))
		in.Decide(vfs.FailAt(k, syscall.EIO))
		c := countingFS{FS: in, open: map[string]int{}}
		o := small(c)
		o.Backing, o.guard, o.pager, o.MaxCompactions = arena.Mmap, false, p, -1
		d, err := Open("db", o)
		calls := in.Calls()
		if err == nil {
			in.Decide(nil)
			require.Equal(t, 70, h.check(t, d))
			require.NoError(t, d.Close())
		} else {
			failed++
		}
		require.Empty(t, c.open, "open files after call %d failed with %v", k, err)
		require.NoError(t, p.Check(), "call %d failed with %v", k, err)
		if err == nil && calls < k {
			break
		}
	}
	require.Greater(t, failed, 10)
}
