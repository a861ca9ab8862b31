package lsm

import (
	"bytes"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func testNoSpace(t *testing.T) {
	h := crashHistory()
	for _, where := range []filename.Kind{filename.Log, filename.Table, filename.Manifest, filename.Unknown} {
		mem := vfs.NewMem()
		in := vfs.NewInjector(mem)
		var full atomic.Bool
		in.Decide(func(c vfs.Call) *vfs.Fault {
			kind, _ := filename.Parse(c.Name)
			if full.Load() && (c.Op == vfs.OpWrite || c.Op == vfs.OpCreate) && (kind == where || where == filename.Unknown) {
				return &vfs.Fault{Err: syscall.ENOSPC, Short: c.Size / 2}
			}
			return nil
		})
		d := mustOpen(t, small(in))
		acked := 0
		for round := range 3 {
			full.Store(true)
			for range 200 {
				var b Batch
				h.add(&b, acked+1)
				err := d.Apply(&b, nil)
				if err != nil {
					require.ErrorIs(t, err, syscall.ENOSPC, where)
					break
				}
				acked++
			}
			require.Equal(t, acked, h.check(t, d), "reads go on without space")
			full.Store(false)
			for range 60 {
				var b Batch
				h.add(&b, acked+1)
				require.Eventually(t, func() bool { return d.Apply(&b, nil) == nil }, 5*time.Second, time.Millisecond,
					"space is back, round %d, %d", round, where)
				acked++
			}
			require.Eventually(t, func() bool { return d.Flush() == nil }, 5*time.Second, time.Millisecond)
			require.Equal(t, acked, h.check(t, d))
		}
		require.NoError(t, d.Close())
		require.Equal(t, acked, h.reopen(t, mem), where)
		requireTidy(t, mem)
	}
}

// testManifestReplaced makes a MANIFEST so long that it is replaced. No space for the
// new CURRENT leaves the old one, and the store goes on; a directory that cannot be
// synced latches. One that is long from the start is not replaced by every edit.
func testManifestReplaced(t *testing.T) {
	fails := map[string]func(vfs.Call) *vfs.Fault{
		"current": func(c vfs.Call) *vfs.Fault {
			if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpCreate && kind == filename.Temp {
				return &vfs.Fault{Err: syscall.ENOSPC}
			}
			return nil
		},
		"dir": func() func(vfs.Call) *vfs.Fault {
			var manifest atomic.Bool
			return func(c vfs.Call) *vfs.Fault {
				if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpCreate && kind == filename.Manifest {
					manifest.Store(true)
				}
				if c.Op == vfs.OpSyncDir && manifest.Load() {
					return &vfs.Fault{Err: syscall.EIO}
				}
				return nil
			}
		}(),
	}
	for what, fail := range fails {
		t.Run(what, func(t *testing.T) {
			in := vfs.NewInjector(vfs.NewMem())
			o := small(in)
			o.WriteBufferSize, o.TablesSize, o.MaxCompactions = 16<<20, 8<<20, -1
			d := mustOpen(t, o)
			long := bytes.Repeat([]byte("k"), 3<<20) // an edit has it twice
			require.NoError(t, d.Put(long, nil))
			require.NoError(t, d.Flush())
			full, _ := manifestOf(d)
			require.True(t, full)
			in.Decide(fail)
			require.NoError(t, d.Put([]byte("a"), nil))
			err := d.Flush()
			in.Decide(nil)
			if what == "dir" {
				require.ErrorIs(t, err, ErrReadOnly)
			} else {
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.NotErrorIs(t, err, ErrReadOnly)
				_, old := manifestOf(d)
				require.Eventually(t, func() bool { return d.Flush() == nil }, 20*time.Second, 10*time.Millisecond)
				for i := range 6 {
					require.NoError(t, d.Put([]byte{byte(i)}, nil))
					require.NoError(t, d.Flush())
					full, _ := manifestOf(d)
					require.False(t, full)
				}
				_, num := manifestOf(d)
				require.Greater(t, num, old)
			}
			_ = d.Close() // when it has latched it says so
			d = mustOpen(t, o)
			for _, key := range [][]byte{long, []byte("a")} {
				_, err := d.Get(key)
				require.NoError(t, err)
			}
			require.NoError(t, d.Close())
		})
	}
}

// manifestOf says if the live MANIFEST is full, and its number.
func manifestOf(d *DB) (full bool, num uint64) {
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	return d.manifest.full(), d.manifest.num
}

func testShortWrite(t *testing.T) {
	h := crashHistory()
	for _, short := range []int{0, 1, 7, 40} {
		mem := vfs.NewMem()
		in := vfs.NewInjector(mem)
		n := 0
		in.Decide(func(c vfs.Call) *vfs.Fault {
			if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpWrite && kind == filename.Log {
				if n++; n%3 == 0 {
					return &vfs.Fault{Err: []error{syscall.EIO, syscall.EINTR, io.ErrShortWrite}[n/3%3], Short: short}
				}
			}
			return nil
		})
		d := mustOpen(t, small(in))
		for i := 1; i <= 60; {
			var b Batch
			h.add(&b, i)
			if err := d.Apply(&b, &WriteOptions{Durability: Durability(i % 3)}); err == nil {
				i++
			}
		}
		require.Equal(t, 60, h.check(t, d))
		in.Decide(nil)
		require.NoError(t, d.Close())
		require.Equal(t, 60, h.reopen(t, mem))
	}
}

func testSyncFails(t *testing.T) {
	h := crashHistory()
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	d := mustOpen(t, small(in))
	for i := 1; i <= 5; i++ {
		require.NoError(t, h.step(d, i, Sync))
	}
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpSync && kind == filename.Log {
			in.Decide(nil) // the next one "succeeds"
			return &vfs.Fault{Err: syscall.EIO}
		}
		return nil
	})
	err := h.step(d, 6, Sync)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, err, ErrReadOnly)
	for range 3 {
		require.ErrorIs(t, h.step(d, 6, Sync), ErrReadOnly, "nothing may depend on the retried sync")
		require.ErrorIs(t, d.Flush(), ErrReadOnly)
	}
	require.Equal(t, 5, h.check(t, d), "reads go on")
	require.NotEmpty(t, d.Stats().Warnings)
	fs := mem.CrashClone(0, 0)
	_ = d.Close() // what it reports is not the point here
	require.GreaterOrEqual(t, h.reopen(t, fs), 5)
	n := h.reopen(t, mem)
	require.GreaterOrEqual(t, n, 5)
	d = mustOpen(t, small(mem))
	require.NoError(t, h.step(d, n+1, Sync), "opened again, it writes again")
	require.NoError(t, d.Close())
}

func testDirSyncFails(t *testing.T) {
	h := crashHistory()
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	d := mustOpen(t, small(in))
	require.NoError(t, h.step(d, 1, Sync))
	in.Decide(vfs.FailNthOp(vfs.OpSyncDir, 1, syscall.EIO))
	require.ErrorIs(t, d.Flush(), ErrReadOnly)
	require.ErrorIs(t, h.step(d, 2, Sync), ErrReadOnly)
	in.Decide(nil)
	_ = d.Close() // what it reports is not the point here
	require.Equal(t, 1, h.reopen(t, mem.CrashClone(0, 0)))
	require.Equal(t, 1, h.reopen(t, mem))
}

func testCloseFails(t *testing.T) {
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	d := mustOpen(t, small(in))
	require.NoError(t, d.Put([]byte("k"), []byte("v")))
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpClose && kind == filename.Log {
			return &vfs.Fault{Err: syscall.EIO}
		}
		return nil
	})
	require.ErrorIs(t, d.Close(), syscall.EIO)
	require.NoError(t, d.Close(), "closed is closed")
}

func testReadFails(t *testing.T) {
	mem := vfs.NewMem()
	fill(t, mem, 100)
	in := vfs.NewInjector(mem)
	o := small(in)
	o.MaxCompactions = -1
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("zz"), []byte("v")))
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpRead && kind == filename.Table {
			return &vfs.Fault{Err: syscall.EIO}
		}
		return nil
	})
	_, err := d.Get([]byte("key0001"))
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, ErrNotFound)
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.False(t, it.First())
	require.ErrorIs(t, it.Err(), syscall.EIO)
	require.False(t, it.Valid())
	require.ErrorIs(t, it.Close(), syscall.EIO)
	before := names(t, mem, filename.Table)
	require.ErrorIs(t, d.CompactRange(nil, nil), syscall.EIO)
	require.Subset(t, names(t, mem, filename.Table), before, "the inputs are kept")
	in.Decide(nil)
	v, err := d.Get([]byte("zz"))
	require.NoError(t, err)
	require.Equal(t, "v", string(v))
	require.NoError(t, d.CompactRange(nil, nil))
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
}
