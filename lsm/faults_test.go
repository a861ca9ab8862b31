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
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/record"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestFault holds the rows of the fault table that concern the store as a whole.
func TestFault(t *testing.T) {
	t.Run("C01_kill_9_at_a_random_instant", testKill)
	t.Run("C03_crash_rounds_at_random_points", testCrashRounds)
	t.Run("C05_log_cut_at_a_record_boundary", testLogGap)
	t.Run("C07_flip_beside_zeros", testFlipBesideZeros)
	t.Run("C09_logs_are_not_recycled", testNoRecycling)
	t.Run("C15_table_missing_or_unknown", testOrphans)
	t.Run("C17_manifest_and_current", testManifest)
	t.Run("C17_unfinished_edits", testUnfinishedEdits)
	t.Run("C17_lost_ingestion", testLostIngestion)
	t.Run("C19_no_space", testNoSpace)
	t.Run("C19_no_space_round_after_round", testFullRounds)
	t.Run("C19_C22_manifest_replaced", testManifestReplaced)
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

// testFlipBesideZeros flips a bit in a record that holds a sector of zeros: the
// synced records behind it must not go quietly.
func testFlipBesideZeros(t *testing.T) {
	mem := vfs.NewMem()
	d := mustOpen(t, small(mem))
	sync := &WriteOptions{Durability: Sync}
	for _, kv := range [][2]string{{"a", "1"}, {"zeros", string(make([]byte, 2048))}, {"b", "2"}} {
		var b Batch
		b.Put([]byte(kv[0]), []byte(kv[1]))
		require.NoError(t, d.Apply(&b, sync))
	}
	require.NoError(t, d.Close())
	name := names(t, mem, filename.Log)[0]
	log := contents(t, mem, name)
	log[bytes.Index(log, []byte("zeros"))] ^= 1
	rewrite(t, mem, name, log)
	_, err := Open("db", small(mem))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, name)
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

// testUnfinishedEdits stops a store whenever an edit of the MANIFEST has been written
// and not yet synced, and cuts the edit, as a power failure does in its middle. Nobody
// has acted on it, so the store opens, whatever the edit was about.
func testUnfinishedEdits(t *testing.T) {
	h := crashHistory()
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	var mu sync.Mutex
	var acked atomic.Int64
	var cs []crash
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); kind == filename.Manifest && c.Op == vfs.OpSync {
			mu.Lock()
			defer mu.Unlock()
			n := int(acked.Load()) // before the clone, which has at least these
			cs = append(cs, crash{mem.CrashClone(1, 0), c, n})
		}
		return nil
	})
	d := mustOpen(t, small(in))
	makeTable(t, mem, "in", map[string]string{"taken in": "v"})
	for i := 1; i <= 100; i++ {
		require.NoError(t, h.step(d, i, OS))
		acked.Store(int64(i))
		if i%25 == 0 {
			require.NoError(t, d.IngestTable("in/in"))
			require.NoError(t, d.Delete([]byte("taken in")))
		}
	}
	require.NoError(t, d.Close())
	cuts := 0
	for _, c := range cs {
		name := ""
		for _, n := range names(t, c.fs, filename.Manifest) {
			if n == c.call.Name {
				name = n
			}
		}
		body := contents(t, c.fs, name)
		start := len(cutRecord(t, body))
		for at := start + 1; at < len(body); at += 1 + (len(body)-start)/4 {
			fs := c.fs.CrashClone(1, 0)
			rewrite(t, fs, name, body[:at])
			cuts++
			d, err := Open("db", small(fs))
			require.NoError(t, err, "call %d, %s cut to %d of %d bytes", c.call.N, name, at, len(body))
			require.NoError(t, d.Delete([]byte("taken in")))
			require.GreaterOrEqual(t, h.check(t, d), c.acked)
			require.NoError(t, d.Close())
		}
	}
	require.Greater(t, cuts, 50)
}

// testLostIngestion cuts off the edit of a table that was taken in and acknowledged:
// the table is in no log, and it must not be lost silently.
func testLostIngestion(t *testing.T) {
	for _, after := range []int{0, 1, 2} { // more tables taken in, or a write, behind it
		mem := vfs.NewMem()
		d := mustOpen(t, small(mem))
		makeTable(t, mem, "in", map[string]string{"taken in": "v"})
		require.NoError(t, d.Put([]byte("k"), []byte("v")))
		name := names(t, mem, filename.Manifest)[0]
		edit := len(contents(t, mem, name)) // where that of the table begins
		require.NoError(t, d.IngestTable("in/in"))
		switch after {
		case 1:
			edit = len(contents(t, mem, name))
			require.NoError(t, d.IngestTable("in/in"))
		case 2:
			require.NoError(t, d.Put([]byte("k"), []byte("w")))
		}
		fs := mem.CrashClone(1, 0)
		require.NoError(t, d.Close())
		body := contents(t, fs, name)
		end := edit + 7 + int(binary.LittleEndian.Uint16(body[edit+4:])) // a record: checksum, length, type
		rewrite(t, fs, name, body[:end-3])
		_, err := Open("db", small(fs))
		require.ErrorIs(t, err, ErrCorrupt, "%d", after)
		require.ErrorContains(t, err, "repair")
		_, err = Repair("db", small(fs))
		require.NoError(t, err)
		m, err := readAll("db", small(fs))
		require.NoError(t, err)
		require.Equal(t, "v", m["taken in"])
	}
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
