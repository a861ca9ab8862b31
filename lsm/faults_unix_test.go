//go:build unix

package lsm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// fullEnv tells the test binary to run a store whose files may not grow: the
// directory.
const fullEnv = "MEMLAB_LSM_FULL_DIR"

// TestFileLimitChild is a store under RLIMIT_FSIZE, which makes write(2) fail in
// earnest. On its own it does nothing.
func TestFileLimitChild(t *testing.T) {
	dir := os.Getenv(fullEnv)
	if dir == "" {
		t.Skip("run by C19")
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 32 << 10, Max: 32 << 10}))
	o := small(nil)
	o.WriteBufferSize = 1 << 20 // so that the log is what grows
	d, err := Open(dir, o)
	require.NoError(t, err)
	h := history{keys: 40, size: 60}
	acked := 0
	for i := 1; ; i++ {
		var b Batch
		h.add(&b, i)
		if err = d.Apply(&b, nil); err != nil {
			break
		}
		acked = i
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	require.Equal(t, acked, h.check(t, d), "reads go on")
	require.NoError(t, d.Close())
	fmt.Printf("acked %d\n", acked)
}

func TestFaultFileLimit(t *testing.T) {
	t.Run("C19_no_space_of_the_system", func(t *testing.T) {
		exe, err := os.Executable()
		require.NoError(t, err)
		dir := t.TempDir()
		cmd := exec.Command(exe, "-test.run=^TestFileLimitChild$")
		cmd.Env = append(os.Environ(), fullEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		var acked int
		_, err = fmt.Sscanf(string(out), "acked %d", &acked)
		require.NoError(t, err, "%s", out)
		require.Positive(t, acked)
		d, err := Open(dir, small(nil))
		require.NoError(t, err)
		require.Equal(t, acked, history{keys: 40, size: 60}.check(t, d))
		require.NoError(t, d.Close())
	})
}

// TestFaultMapped cuts tables off under a store that has mapped them.
func TestFaultMapped(t *testing.T) {
	t.Run("C25_mapped_table_of_a_store_truncated", func(t *testing.T) {
		for _, comp := range []Compression{None, Snappy} {
			dir := t.TempDir()
			o := &Options{Compression: comp, MmapTables: true, MaxCompactions: -1, TablesSize: 1 << 20, BlockCacheSize: 1 << 20}
			d, err := Open(dir, o)
			require.NoError(t, err)
			value := make([]byte, 100)
			for i := range 20_000 {
				require.NoError(t, d.Put(fmt.Appendf(nil, "key%06d", i), value))
			}
			require.NoError(t, d.CompactRange(nil, nil))
			require.NoError(t, d.Put([]byte("key999999"), []byte("in memory")))
			require.NoError(t, d.Put([]byte("key000000"), value)) // what a compaction merges with the tables
			it, err := d.NewIter(nil)
			require.NoError(t, err)
			require.True(t, it.SeekGE([]byte("key000100")))
			tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
			require.NoError(t, err)
			for _, name := range tables {
				require.NoError(t, os.Truncate(name, 0))
			}
			for i := 500; i < 20_000; i += 1000 {
				_, err := d.Get(fmt.Appendf(nil, "key%06d", i))
				require.ErrorIs(t, err, ErrCorrupt, "%v", comp)
			}
			for it.Next() {
			}
			require.ErrorIs(t, it.Err(), ErrCorrupt)
			require.ErrorIs(t, it.Close(), ErrCorrupt)
			require.ErrorIs(t, d.Check(), ErrCorrupt)
			require.ErrorIs(t, d.CompactRange(nil, nil), ErrCorrupt)
			v, err := d.Get([]byte("key999999"))
			require.NoError(t, err)
			require.Equal(t, "in memory", string(v))
			require.NoError(t, d.Close())
		}
	})
}

// A fullFS is the real file system, but that the tables of its stores are the
// system's device that is always full.
type fullFS struct{ full atomic.Bool }

func (f *fullFS) OpenDir(path string, create bool) (vfs.Dir, error) {
	d, err := vfs.OS().OpenDir(path, create)
	return fullDir{d, f}, err
}

type fullDir struct {
	vfs.Dir
	fs *fullFS
}

func (d fullDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	if kind, _ := filename.Parse(name); err != nil || kind != filename.Table || !d.fs.full.Load() {
		return f, err
	}
	dev, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	return fullFile{f, dev}, err
}

// A fullFile writes to the device.
type fullFile struct {
	vfs.File
	dev *os.File
}

func (f fullFile) Write(b []byte) (int, error) { return f.dev.Write(b) }
func (f fullFile) Close() error                { return errors.Join(f.File.Close(), f.dev.Close()) }

func TestFaultFullDevice(t *testing.T) {
	t.Run("C19_no_space_on_the_full_device", func(t *testing.T) {
		if _, err := os.Stat("/dev/full"); err != nil {
			t.Skip("this system has no such device")
		}
		fs, dir := new(fullFS), t.TempDir()
		o := small(fs)
		o.MaxCompactions = -1
		d, err := Open(dir, o)
		require.NoError(t, err)
		h := crashHistory()
		fs.full.Store(true)
		acked := 0
		for ; err == nil; acked++ {
			var b Batch
			h.add(&b, acked+1)
			if err = d.Apply(&b, nil); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, syscall.ENOSPC, "memtables are full and cannot be flushed")
		require.ErrorIs(t, d.Flush(), syscall.ENOSPC)
		require.Equal(t, acked, h.check(t, d), "reads go on")
		tables, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
		require.NoError(t, err)
		require.LessOrEqual(t, len(tables), 1, "the file that was begun is removed, but for one being tried")
		fs.full.Store(false)
		require.Eventually(t, func() bool { return d.Flush() == nil }, 5*time.Second, time.Millisecond)
		require.NoError(t, h.step(d, acked+1, Sync))
		require.Equal(t, acked+1, h.check(t, d))
		require.NoError(t, d.Close())
		d, err = Open(dir, small(nil))
		require.NoError(t, err)
		require.Equal(t, acked+1, h.check(t, d))
		require.NoError(t, d.Close())
	})
}
