package lsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestFault holds the rows of the fault table that concern the store as a whole.
func TestFault(t *testing.T) {
	testCrashes(t)
	t.Run("C01_kill_9_at_a_random_instant", testKill)
	t.Run("C05_log_cut_at_a_record_boundary", testLogGap)
	t.Run("C15_table_missing_or_unknown", testOrphans)
	t.Run("C17_manifest_and_current", testManifest)
	t.Run("C19_no_space", testNoSpace)
	t.Run("C20_short_write", testShortWrite)
	t.Run("C21_fsync_fails_once", testSyncFails)
	t.Run("C22_directory_sync_fails", testDirSyncFails)
	t.Run("C23_close_fails", testCloseFails)
	t.Run("C24_read_fails", testReadFails)
	t.Run("C27_second_open_in_the_same_process", testSecondOpen)
	t.Run("C28_stale_lock_file", testStaleLock)
	t.Run("C31_comparator_mismatch", testComparer)
	t.Run("C32_sizes", testSizes)
	t.Run("C33_iterator_across_flush_compaction_close", testIteratorLife)
	t.Run("C34_tombstones_and_snapshots", testTombstones)
	t.Run("C35_clock_jumps", testClock)
	t.Run("C37_close_beside_other_calls", testConcurrentClose)
}

func mustOpen(t testing.TB, o *Options) *DB {
	t.Helper()
	d, err := Open("db", o)
	require.NoError(t, err)
	return d
}

// fill makes a store of n batches on mem and closes it.
func fill(t testing.TB, mem *vfs.Mem, n int) history {
	t.Helper()
	h := crashHistory()
	d := mustOpen(t, small(mem))
	for i := 1; i <= n; i++ {
		require.NoError(t, h.step(d, i, Sync))
	}
	require.NoError(t, d.Close())
	return h
}

// twoLogs returns what a store leaves whose flushes never worked: several logs.
func twoLogs(t *testing.T) (*vfs.Mem, history) {
	t.Helper()
	h := history{keys: 40, size: 60}
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); c.Op == vfs.OpCreate && kind == filename.Table {
			return &vfs.Fault{Err: errInjected}
		}
		return nil
	})
	o := small(in)
	o.MaxWriteBuffers = 4
	d := mustOpen(t, o)
	for i := 1; len(names(t, mem, filename.Log)) < 3; i++ {
		var b Batch
		h.add(&b, i)
		require.NoError(t, d.Apply(&b, nil))
	}
	require.NoError(t, d.Close())
	return mem, h
}

// cutRecord returns a log without its last record.
func cutRecord(t *testing.T, log []byte) []byte {
	t.Helper()
	r := record.NewReader(bytes.NewReader(log), int64(len(log)))
	last := int64(0)
	for {
		if _, err := r.Next(); err == io.EOF {
			return log[:last]
		} else if err != nil {
			t.Fatal(err)
		}
		last = r.Offset()
	}
}

func testLogGap(t *testing.T) {
	mem, h := twoLogs(t)
	require.Positive(t, h.reopen(t, mem.CrashClone(1, 0)), "undamaged, it opens")
	logs := names(t, mem, filename.Log)
	rewrite(t, mem, logs[0], cutRecord(t, contents(t, mem, logs[0])))
	for _, mode := range []RecoveryMode{TornTail, Strict} {
		o := small(mem)
		o.Recovery = mode
		_, err := Open("db", o)
		require.ErrorIs(t, err, ErrCorrupt, mode)
		require.ErrorContains(t, err, logs[1])
		require.ErrorContains(t, err, "repair")
	}
	o := small(mem)
	o.Recovery = PointInTime
	d := mustOpen(t, o)
	require.Positive(t, h.check(t, d))
	require.True(t, d.recovery.Damaged())
	require.Len(t, d.Recovery().Kept, len(logs)-1)
	require.NoError(t, d.Close())
}

func testOrphans(t *testing.T) {
	mem := vfs.NewMem()
	h := fill(t, mem, 100)
	tables := names(t, mem, filename.Table)
	body := contents(t, mem, tables[0])

	gone := mem.CrashClone(1, 0)
	dir, err := gone.OpenDir("db", false)
	require.NoError(t, err)
	require.NoError(t, dir.Remove(tables[0]))
	_, err = Open("db", small(gone))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, tables[0])

	rewrite(t, mem, filename.MakeTable(2), body)         // older than the MANIFEST's next number
	rewrite(t, mem, filename.MakeTable(900), body)       // finished, and of the future
	rewrite(t, mem, filename.MakeTable(901), body[:100]) // never finished
	rewrite(t, mem, "notes.txt", []byte("mine"))
	d := mustOpen(t, small(mem))
	require.Equal(t, 100, h.check(t, d))
	r := d.Recovery()
	require.Equal(t, []string{filename.MakeTable(900)}, r.Orphans)
	require.Equal(t, []string{"notes.txt"}, r.Unknown)
	require.NoError(t, d.Close())
	left := names(t, mem, filename.Table)
	require.Contains(t, left, filename.MakeTable(900))
	require.NotContains(t, left, filename.MakeTable(2))
	require.NotContains(t, left, filename.MakeTable(901))
	require.Equal(t, []byte("mine"), contents(t, mem, "notes.txt"))
}

func testManifest(t *testing.T) {
	mem := vfs.NewMem()
	h := fill(t, mem, 100)
	name := names(t, mem, filename.Manifest)[0]
	body := contents(t, mem, name)
	refuse := func(what, file string, b []byte) {
		t.Helper()
		fs := mem.CrashClone(1, 0)
		rewrite(t, fs, file, b)
		_, err := Open("db", small(fs))
		require.ErrorIs(t, err, ErrCorrupt, what)
		require.ErrorContains(t, err, "repair", what)
	}
	flip := bytes.Clone(body)
	flip[20] ^= 1
	refuse("flip in the middle", name, flip)
	refuse("empty", name, nil)
	refuse("CURRENT without a newline", filename.CurrentName, []byte(name))
	refuse("CURRENT names nothing", filename.CurrentName, []byte("MANIFEST-000777\n"))
	refuse("CURRENT names something else", filename.CurrentName, []byte("../MANIFEST-000001\n"))
	refuse("CURRENT empty", filename.CurrentName, nil)
	for _, gone := range []string{name, filename.CurrentName} {
		fs := mem.CrashClone(1, 0)
		dir, err := fs.OpenDir("db", false)
		require.NoError(t, err)
		require.NoError(t, dir.Remove(gone))
		_, err = Open("db", small(fs))
		require.ErrorIs(t, err, ErrCorrupt, gone)
	}
	// Cut anywhere: an edit that was acted on is never lost silently.
	opened := 0
	for n := range body {
		fs := mem.CrashClone(1, 0)
		rewrite(t, fs, name, body[:n])
		d, err := Open("db", small(fs))
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt, "cut to %d bytes", n)
			continue
		}
		opened++
		require.Equal(t, 100, h.check(t, d), "cut to %d of %d bytes", n, len(body))
		require.NoError(t, d.Close())
	}
	t.Logf("%d of %d cuts were provably not acted on", opened, len(body))
}

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

func testSecondOpen(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir, nil)
	require.NoError(t, err)
	_, err = Open(dir, nil)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()))
	require.NoError(t, d.Close())
	d, err = Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func testStaleLock(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, filename.LockName), []byte("1\n"), 0o600))
	d, err := Open(dir, nil)
	require.NoError(t, err, "the lock is what counts, not the file")
	require.NoError(t, d.Close())
}

func testComparer(t *testing.T) {
	mem := vfs.NewMem()
	fill(t, mem, 50)
	before := mem.CrashClone(1, 0)
	reverse := &Comparer{Name: "reverse", Compare: func(a, b []byte) int { return bytes.Compare(b, a) }}
	o := small(mem)
	o.Comparer = reverse
	_, err := Open("db", o)
	require.ErrorIs(t, err, ErrOptions)
	require.ErrorContains(t, err, "reverse")
	for _, name := range names(t, mem, filename.Log) {
		require.Equal(t, contents(t, before, name), contents(t, mem, name), "nothing was written")
	}
	o.FS = vfs.NewMem()
	d := mustOpen(t, o)
	for _, k := range []string{"a", "c", "b"} {
		require.NoError(t, d.Put([]byte(k), nil))
	}
	require.NoError(t, d.CompactRange(nil, nil))
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	var got string
	for k := range it.All() {
		got += string(k)
	}
	require.Equal(t, "cba", got)
	require.NoError(t, it.Close())
	require.NoError(t, d.Close())
	_, err = Open("db", small(o.FS))
	require.ErrorIs(t, err, ErrOptions)
}

func testSizes(t *testing.T) {
	o := small(vfs.NewMem())
	d := mustOpen(t, o)
	big := bytes.Repeat([]byte("v"), 1<<20) // far larger than a memtable
	key := bytes.Repeat([]byte("k"), 64<<10)
	require.NoError(t, d.Put(nil, nil), "an empty key and an empty value")
	require.NoError(t, d.Put(key, big))
	require.NoError(t, d.Put([]byte("x"), []byte("y")))
	require.ErrorIs(t, d.Put(make([]byte, MaxKeyLen+1), nil), ErrTooLarge)
	require.ErrorIs(t, d.Put([]byte("k"), make([]byte, MaxValueLen+1)), ErrTooLarge)
	var b Batch
	for i := range 2000 { // a batch larger than a memtable
		b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), []byte("value"))
	}
	require.NoError(t, d.Apply(&b, nil))
	verify := func() {
		v, err := d.Get(nil)
		require.NoError(t, err)
		require.Empty(t, v)
		require.NotNil(t, v)
		v, err = d.Get(key)
		require.NoError(t, err)
		require.True(t, bytes.Equal(big, v))
		v, err = d.Get([]byte{0, 0, 7, 0xcf})
		require.NoError(t, err)
		require.Equal(t, "value", string(v))
	}
	verify()
	require.NoError(t, d.CompactRange(nil, nil))
	verify()
	require.NoError(t, d.Close())
	d = mustOpen(t, o)
	verify()
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())

	o = &Options{FS: vfs.NewMem(), MemoryLimit: 1 << 20, Backing: arena.GoHeap}
	d = mustOpen(t, o)
	err := d.Put([]byte("k"), big)
	require.True(t, errors.Is(err, ErrMemoryLimit) || errors.Is(err, ErrTooLarge), "%v", err)
	require.NoError(t, d.Put([]byte("k"), []byte("small")), "the store goes on")
	require.NoError(t, d.Close())
}

func testIteratorLife(t *testing.T) {
	mem := vfs.NewMem()
	h := crashHistory()
	d := mustOpen(t, small(mem))
	for i := 1; i <= 70; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	want := h.state(70)
	snap, err := d.NewSnapshot()
	require.NoError(t, err)
	for i := 71; i <= 200; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	require.NoError(t, d.CompactRange(nil, nil))
	got := model{}
	for k, v := range it.All() {
		got[string(k)] = string(v)
	}
	require.Equal(t, want, got)
	require.ErrorIs(t, d.Close(), ErrBusy)
	require.NoError(t, it.Close())
	require.NoError(t, it.Close())
	require.False(t, it.First())
	require.ErrorIs(t, it.Err(), ErrClosed)
	require.ErrorIs(t, d.Close(), ErrBusy)
	require.NoError(t, snap.Close())
	_, err = snap.Get([]byte("n"))
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, 200, h.check(t, d), "a refused Close changed nothing")
	require.NoError(t, d.Close())
	requireTidy(t, mem)
	_, err = d.NewIter(nil)
	require.ErrorIs(t, err, ErrClosed)
}

func testTombstones(t *testing.T) {
	o := small(vfs.NewMem())
	d := mustOpen(t, o)
	key := []byte("k")
	require.NoError(t, d.Put(key, []byte("old")))
	require.NoError(t, d.CompactRange(nil, nil)) // to level 1
	require.NoError(t, d.Put([]byte("a"), nil))
	require.NoError(t, d.Put([]byte("z"), nil))
	s1, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, d.Delete(key))
	s2, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, d.Put(key, []byte("new")))
	require.NoError(t, d.DeleteRange([]byte("j"), []byte("l")))
	check := func() {
		t.Helper()
		v, err := s1.Get(key)
		require.NoError(t, err)
		require.Equal(t, "old", string(v))
		_, err = s2.Get(key)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = d.Get(key)
		require.ErrorIs(t, err, ErrNotFound)
	}
	check()
	require.NoError(t, d.Flush())
	check()
	require.NoError(t, d.CompactRange(nil, nil))
	check()
	require.NoError(t, s1.Close())
	require.NoError(t, s2.Close())
	require.NoError(t, d.CompactRange(nil, nil))
	_, err = d.Get(key)
	require.ErrorIs(t, err, ErrNotFound, "the deleted key came back")
	require.NoError(t, d.Close())
	d = mustOpen(t, o)
	_, err = d.Get(key)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, d.Close())
}

func testClock(t *testing.T) {
	dir := t.TempDir()
	h := crashHistory()
	for round := range 4 {
		o := small(nil)
		d, err := Open(dir, o)
		require.NoError(t, err)
		require.Equal(t, 30*round, h.check(t, d))
		for i := 30*round + 1; i <= 30*round+30; i++ {
			require.NoError(t, h.step(d, i, OS))
		}
		require.NoError(t, d.Close())
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for i, f := range files { // every file from another year, newer ones older
			at := time.Date(2040-10*round-i, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600*i%40000))
			require.NoError(t, os.Chtimes(filepath.Join(dir, f.Name()), at, at))
		}
	}
}

func testConcurrentClose(t *testing.T) {
	for range 20 {
		o := small(vfs.NewMem())
		o.Backing = arena.GoHeap
		d := mustOpen(t, o)
		var wg sync.WaitGroup
		fine := func(err error) bool {
			return err == nil || errors.Is(err, ErrNotFound)
		}
		for g := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					k := fmt.Appendf(nil, "%d", (i*7+g)%50)
					var err error
					switch g {
					case 0:
						err = d.Put(k, bytes.Repeat(k, 20))
					case 1:
						_, err = d.Get(k)
					case 2:
						var it *Iterator
						if it, err = d.NewIter(nil); err == nil {
							it.SeekGE(k)
							it.Next()
							err = it.Close()
						}
					case 3:
						err = d.Flush()
					}
					if !fine(err) {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		for {
			if err := d.Close(); err == nil {
				break
			} else if !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
		}
		wg.Wait()
	}
}
