package lsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func TestCheckpoint(t *testing.T) {
	for _, mem := range []bool{true, false} {
		o, dir, to := small(nil), filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "copy", "db")
		if mem {
			o, dir, to = small(vfs.NewMem()), "db", "copy"
		}
		d, err := Open(dir, o)
		require.NoError(t, err)
		h := crashHistory()
		for i := 1; i <= 100; i++ {
			require.NoError(t, h.step(d, i, OS))
		}
		require.NoError(t, d.Checkpoint(to))
		require.ErrorIs(t, d.Checkpoint(to), fs.ErrExist)
		for i := 101; i <= 200; i++ {
			require.NoError(t, h.step(d, i, OS))
		}
		c, err := Open(to, o)
		require.NoError(t, err)
		require.Equal(t, 100, h.check(t, c))
		require.NoError(t, h.step(c, 101, Sync), "a checkpoint is a store")
		require.NoError(t, c.Close())
		require.Equal(t, 200, h.check(t, d))
		require.NoError(t, d.Close())
	}
}

// TestCheckpointElsewhere makes checkpoints where the system cannot link: it copies.
func TestCheckpointElsewhere(t *testing.T) {
	to, err := os.MkdirTemp("/dev/shm", "checkpoint")
	if err != nil {
		t.Skip("no second file system:", err)
	}
	defer os.RemoveAll(to)
	d, err := Open(t.TempDir(), small(nil))
	require.NoError(t, err)
	h := crashHistory()
	for i := 1; i <= 50; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	require.NoError(t, d.Checkpoint(to))
	require.NoError(t, d.Close())
	c, err := Open(to, small(nil))
	require.NoError(t, err)
	require.Equal(t, 50, h.check(t, c))
	require.NoError(t, c.Close())
}

// TestCheckpointFails makes every call of a checkpoint fail, one after the other:
// what is left is no store, and the next try works.
func TestCheckpointFails(t *testing.T) {
	mem := vfs.NewMem()
	in := vfs.NewInjector(mem)
	d := mustOpen(t, small(in))
	h := crashHistory()
	for i := 1; i <= 50; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	require.NoError(t, d.CompactRange(nil, nil)) // nothing runs beside
	for n, failed := int64(1), true; failed; n++ {
		to := fmt.Sprint("copy", n)
		in.Decide(vfs.FailAt(in.Calls()+n, errInjected))
		err := d.Checkpoint(to)
		in.Decide(nil)
		if failed = err != nil; failed {
			require.ErrorIs(t, err, errInjected)
			require.NoError(t, d.Checkpoint(to), "after call %d failed: %v", n, err)
		}
		c, err := Open(to, small(mem))
		require.NoError(t, err)
		require.Equal(t, 50, h.check(t, c))
		require.NoError(t, c.Close())
	}
	require.NoError(t, d.Close())
}

// makeTable writes a table of user keys, as other programs hand them over.
func makeTable(t *testing.T, fsys vfs.FS, name string, kv map[string]string) {
	t.Helper()
	dir, err := fsys.OpenDir("in", true)
	require.NoError(t, err)
	f, err := dir.Create(name)
	require.NoError(t, err)
	w := table.NewWriter(f, nil)
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		require.NoError(t, w.Add(keys.Make([]byte(k), 0, keys.KindSet), []byte(kv[k])))
	}
	_, err = w.Finish()
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestIngestTable(t *testing.T) {
	mem := vfs.NewMem()
	d := mustOpen(t, small(mem))
	h := crashHistory()
	for i := 1; i <= 100; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	want := h.state(100)
	snap, err := d.NewSnapshot()
	require.NoError(t, err)
	a := map[string]string{"key0001": "from a", "new1": "a", "new2": "a"}
	b := map[string]string{"new2": "b", "new3": "b"}
	makeTable(t, mem, "a", a)
	makeTable(t, mem, "b", b)
	require.NoError(t, d.IngestTable("in/a", "in/b"))
	maps.Copy(want, a)
	maps.Copy(want, b)
	require.NoError(t, d.Put([]byte("new3"), []byte("later")))
	want["new3"] = "later"
	verify := func() {
		t.Helper()
		got := model{}
		it, err := d.NewIter(nil)
		require.NoError(t, err)
		for k, v := range it.All() {
			got[string(k)] = string(v)
			g, err := d.Get(k)
			require.NoError(t, err)
			require.Equal(t, string(v), string(g))
		}
		require.NoError(t, it.Close())
		require.Equal(t, want, got)
		require.NoError(t, d.Check())
	}
	verify()
	_, err = snap.Get([]byte("new1"))
	require.ErrorIs(t, err, ErrNotFound, "an older snapshot does not see it")
	require.NoError(t, snap.Close())
	require.NoError(t, d.CompactRange(nil, nil))
	verify()
	require.ErrorIs(t, d.IngestTable("in/none"), fs.ErrNotExist)
	require.NoError(t, d.Close())
	d = mustOpen(t, small(mem.CrashClone(0, 0)))
	want["new3"] = "b" // the later Put was not synced
	if v, _ := d.Get([]byte("new3")); string(v) == "later" {
		want["new3"] = "later"
	}
	verify()
	require.NoError(t, d.Close())
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	o := small(nil)
	o.ReadOnly = true
	_, err := Open(dir, o)
	require.ErrorIs(t, err, fs.ErrNotExist)
	h := crashHistory()
	d, err := Open(dir, small(nil))
	require.NoError(t, err)
	for i := 1; i <= 70; i++ {
		require.NoError(t, h.step(d, i, OS))
	}
	require.NoError(t, d.Close())
	listing := func() []string {
		var out []string
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
			out = append(out, f.Name()+string(b))
		}
		return out
	}
	before := listing()
	r1, err := Open(dir, o)
	require.NoError(t, err)
	r2, err := Open(dir, o)
	require.NoError(t, err, "readers do not lock each other out")
	require.Equal(t, 70, h.check(t, r1))
	require.ErrorIs(t, r1.Put([]byte("k"), nil), ErrReadOnly)
	require.ErrorIs(t, r1.Flush(), ErrReadOnly)
	require.ErrorIs(t, r1.CompactRange(nil, nil), ErrReadOnly)
	require.NoError(t, r1.Close())
	require.NoError(t, r2.Close())
	require.Equal(t, before, listing())
}

func TestInPlaceUpdate(t *testing.T) {
	o := small(vfs.NewMem())
	o.InPlaceUpdate = true
	d := mustOpen(t, o)
	_, err := d.NewSnapshot()
	require.ErrorIs(t, err, ErrInPlace)
	for i := range 10_000 {
		require.NoError(t, d.Put([]byte("counter"), fmt.Appendf(nil, "%06d", i)))
	}
	v, err := d.Get([]byte("counter"))
	require.NoError(t, err)
	require.Equal(t, "009999", string(v))
	require.Zero(t, d.Stats().Flushes, "ten thousand updates fit where one does")
	require.NoError(t, d.Close())
	d = mustOpen(t, o)
	v, err = d.Get([]byte("counter"))
	require.NoError(t, err)
	require.Equal(t, "009999", string(v))
	require.NoError(t, d.Close())
}

// TestLinearizable has goroutines that each own a counter and read those of the
// others: no read may be older than one that ended before it began, and all keys of
// a batch are seen together.
func TestLinearizable(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		o := small(vfs.NewMem())
		o.Backing, o.WriteBufferSize, o.TablesSize = backing, 64<<10, 1<<20
		d := mustOpen(t, o)
		const writers, rounds = 4, 400
		var floor [writers]atomic.Int64 // what every later read must at least see
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				var b Batch
				pad := bytes.Repeat([]byte("p"), 300*w)
				for i := int64(1); i <= rounds; i++ {
					b.Reset()
					b.Put(fmt.Appendf(nil, "a%d", w), append(strconv.AppendInt(nil, i, 10), pad...))
					b.Put(fmt.Appendf(nil, "z%d", w), append(strconv.AppendInt(nil, i, 10), pad...))
					if err := d.Apply(&b, &WriteOptions{Durability: Durability(i % 3)}); err != nil {
						t.Error(err)
						return
					}
					floor[w].Store(i)
				}
			})
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(w), 1))
				for range rounds {
					of := rng.IntN(writers)
					least := floor[of].Load()
					if rng.IntN(2) == 0 {
						v, err := d.Get(fmt.Appendf(nil, "z%d", of))
						if n := number(v); err != nil && least > 0 || n < least {
							t.Errorf("read %d after %d was acknowledged: %v", n, least, err)
						}
						continue
					}
					s, err := d.NewSnapshot()
					if err != nil {
						t.Error(err)
						return
					}
					a, _ := s.Get(fmt.Appendf(nil, "a%d", of))
					z, _ := s.Get(fmt.Appendf(nil, "z%d", of))
					if !bytes.Equal(a, z) || number(a) < least {
						t.Errorf("half a batch: %d and %d, acknowledged %d", number(a), number(z), least)
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.NoError(t, d.Check())
		require.NoError(t, d.Close())
	}
}

// number parses the digits at the start of a value.
func number(v []byte) int64 {
	n, _ := strconv.ParseInt(string(bytes.TrimRight(v, "p")), 10, 64)
	return n
}

// TestParallelGroup commits batches that are large enough for the members of a
// group to insert them at once.
func TestParallelGroup(t *testing.T) {
	d := mustOpen(t, &Options{FS: vfs.NewMem(), WriteBufferSize: 4 << 20, Backing: arena.GoHeap, BlockCacheSize: 1 << 20, TablesSize: 1 << 20})
	var wg sync.WaitGroup
	const writers, rounds, each = 4, 5, 300
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				var b Batch
				for i := range each {
					b.Put(fmt.Appendf(nil, "%d/%d/%04d", w, r, i), bytes.Repeat([]byte{'v'}, 200))
				}
				if err := d.Apply(&b, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	n := 0
	for range it.All() {
		n++
	}
	require.NoError(t, it.Close())
	require.Equal(t, writers*rounds*each, n)
	require.EqualValues(t, n, d.Stats().LastSeq, "sequence numbers are contiguous")
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
}

func TestAppendToAllocatesNothing(t *testing.T) {
	d := mustOpen(t, small(vfs.NewMem()))
	for i := range 500 {
		require.NoError(t, d.Put(fmt.Appendf(nil, "%04d", i), []byte("some value")))
	}
	require.NoError(t, d.CompactRange(nil, nil))
	require.NoError(t, d.Put([]byte("mem"), []byte("some value")))
	buf := make([]byte, 0, 64)
	for _, key := range []string{"0123", "mem", "none"} {
		k := []byte(key)
		allocs := testing.AllocsPerRun(200, func() {
			var err error
			if buf, err = d.AppendTo(buf[:0], k); err != nil && !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		})
		if !raceEnabled { // the detector makes pools forget
			require.Zero(t, allocs, key)
		}
	}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.First())
	require.True(t, it.Last())
	require.True(t, it.First())
	steps := func(first, step func() bool) float64 {
		first()
		return testing.AllocsPerRun(200, func() {
			if !step() {
				first()
			}
		})
	}
	require.Zero(t, steps(it.First, it.Next), "Next")
	require.Zero(t, steps(it.Last, it.Prev), "Prev")
	require.NoError(t, it.Close())
	require.NoError(t, d.Close())
}

func TestMemoryLimit(t *testing.T) {
	_, err := Open("db", &Options{FS: vfs.NewMem(), MemoryLimit: 1 << 20, WriteBufferSize: 1 << 20})
	require.ErrorIs(t, err, ErrOptions)
	const limit = 8 << 20
	d := mustOpen(t, &Options{FS: vfs.NewMem(), MemoryLimit: limit, TargetFileSize: 256 << 10, LevelSize: 1 << 20})
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 60_000 {
		require.NoError(t, d.Put(fmt.Appendf(nil, "%08d", rng.IntN(100_000)), bytes.Repeat([]byte{byte(i)}, 400)))
		if i%5000 == 0 {
			for range 200 {
				if _, err := d.Get(fmt.Appendf(nil, "%08d", rng.IntN(100_000))); err != nil {
					require.ErrorIs(t, err, ErrNotFound)
				}
			}
			m := d.Stats().Memory
			require.Equal(t, limit, m.Memtables.Bytes+m.BlockCache.Bytes+m.Tables.Bytes+m.LogBuffer.Bytes, "the shares add up")
			require.LessOrEqual(t, m.Memtables.Used+m.BlockCache.Used+m.Tables.Used+m.LogBuffer.Used, limit)
			require.LessOrEqual(t, d.blocks.shared.(*alloc.LockedAllocator).Stats().Committed, m.BlockCache.Bytes+m.Tables.Bytes)
		}
	}
	require.NoError(t, d.Close())
}

func TestEventsAndStats(t *testing.T) {
	var mu sync.Mutex
	seen := map[EventKind]int{}
	o := small(vfs.NewMem())
	var errs []error // a compaction that Close interrupts ends with ErrClosed
	o.Events = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.Kind]++
		if e.Err != nil && !errors.Is(e.Err, ErrClosed) {
			errs = append(errs, e.Err)
		}
	}
	d := mustOpen(t, o)
	h := crashHistory()
	for i := 1; i <= 200; i++ {
		require.NoError(t, h.step(d, i, Sync))
	}
	s := d.Stats()
	require.EqualValues(t, 200, s.Groups)
	require.EqualValues(t, 200, s.Syncs)
	require.Greater(t, s.WriteAmplification, 1.0)
	require.NoError(t, d.Close())
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, errs)
	require.Positive(t, seen[FlushBegin])
	require.Equal(t, seen[FlushBegin], seen[FlushEnd])
	require.Positive(t, seen[CompactionBegin])
	require.Equal(t, seen[CompactionBegin], seen[CompactionEnd])
	require.Positive(t, seen[FileRemoved])
}

// TestLevelMaxSaturates opens a store whose lower levels have no bound that fits.
func TestLevelMaxSaturates(t *testing.T) {
	o := small(vfs.NewMem())
	o.LevelSize, o.LevelMultiplier = 1<<20, 1<<22
	d := mustOpen(t, o)
	for level := 2; level < numLevels; level++ {
		require.GreaterOrEqual(t, d.levelMax(level), d.levelMax(level-1))
	}
	_, err := json.Marshal(d.Stats())
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

// TestRangeEndIsNotShared cuts one wide range tombstone into many tables, each ending
// where the next begins: a compaction of one does not take them all.
func TestRangeEndIsNotShared(t *testing.T) {
	o := small(vfs.NewMem())
	o.WriteBufferSize, o.MaxCompactions, o.Compression = 1<<20, -1, None
	d := mustOpen(t, o)
	put := func() {
		for i := range 200 {
			require.NoError(t, d.Put(fmt.Appendf(nil, "k%05d", i), make([]byte, 100)))
		}
	}
	put()
	s, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, d.DeleteRange([]byte("k"), []byte("l")))
	put()
	require.NoError(t, d.CompactRange(nil, nil))
	for level, files := range d.version.levels {
		for i := range files {
			require.LessOrEqual(t, len(d.closeUnder(d.version, level, files[i:i+1])), 2, "of %d", len(files))
		}
	}
	require.NoError(t, d.CompactRange(nil, nil))
	require.NoError(t, d.Check())
	require.NoError(t, s.Close())
	require.NoError(t, d.CompactRange(nil, nil))
	require.Len(t, contentsOf(t, d), 200)
	require.NoError(t, d.Close())
}

// TestSeparatorOfVersions writes versions of one key that take blocks of their own:
// the comparer is asked for no key between two equal ones.
func TestSeparatorOfVersions(t *testing.T) {
	o := small(vfs.NewMem())
	b := BytewiseComparer()
	var asked, wrong atomic.Int64
	o.Comparer = &Comparer{Name: "checked", Compare: b.Compare, Successor: b.Successor,
		Separator: func(dst, lo, hi []byte) []byte {
			asked.Add(1)
			if bytes.Compare(lo, hi) >= 0 {
				wrong.Add(1)
			}
			return b.Separator(dst, lo, hi)
		}}
	o.WriteBufferSize = 64 << 10
	d := mustOpen(t, o)
	var snaps []*Snapshot
	for _, key := range []string{"a", "a", "b", "b"} {
		require.NoError(t, d.Put([]byte(key), make([]byte, 1000)))
		s, err := d.NewSnapshot()
		require.NoError(t, err)
		snaps = append(snaps, s)
	}
	require.NoError(t, d.Flush())
	require.Positive(t, asked.Load())
	require.Zero(t, wrong.Load())
	for _, s := range snaps {
		require.NoError(t, s.Close())
	}
	require.NoError(t, d.Close())
}

// TestCheckFinds breaks laws and expects Check to say so.
func TestCheckFinds(t *testing.T) {
	mem := vfs.NewMem()
	fill(t, mem, 130)
	o := small(mem)
	o.MaxCompactions = -1
	d := mustOpen(t, o)
	require.NoError(t, d.Check())
	v := d.version
	var level int
	for l := range v.levels {
		if len(v.levels[l]) > 0 {
			level = l
		}
	}
	f := v.levels[level][0]
	keep := f.largest
	f.largest = f.smallest
	require.ErrorContains(t, d.Check(), "L2")
	f.largest = keep
	v.levels[level] = append(v.levels[level], f)
	require.ErrorContains(t, d.Check(), "is on level")
	v.levels[level] = v.levels[level][:len(v.levels[level])-1]
	last := d.visible.Load()
	d.visible.Store(3)
	require.ErrorContains(t, d.Check(), "L5")
	d.visible.Store(last)
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
	name := filename.MakeTable(f.num)
	b := contents(t, mem, name)
	b[10] ^= 0x40
	rewrite(t, mem, name, b)
	d = mustOpen(t, o)
	require.ErrorIs(t, d.Check(), ErrCorrupt)
	require.NoError(t, d.Close())
}

func TestFragment(t *testing.T) {
	cmp := BytewiseComparer()
	ts := func(spec ...string) (out []tombstone) {
		for i, s := range spec {
			out = append(out, tombstone{[]byte(s[:1]), []byte(s[1:]), keys.SeqNum(i + 1)})
		}
		return out
	}
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"ac"}, []string{"a-c [1]"}},
		{[]string{"ac", "bd"}, []string{"a-b [1]", "b-c [2 1]", "c-d [2]"}},
		{[]string{"ad", "bc", "ef"}, []string{"a-b [1]", "b-c [2 1]", "c-d [1]", "e-f [3]"}},
		{[]string{"ab", "ab"}, []string{"a-b [2 1]"}},
	} {
		var got []string
		for _, f := range fragment(cmp, ts(c.in...)) {
			got = append(got, fmt.Sprintf("%s-%s %v", f.start, f.end, f.seqs))
		}
		require.Equal(t, c.want, got, c.in)
	}
}

// TestIngestWritten takes in a table as a program writes it, from the real file
// system, into a store in a directory.
func TestIngestWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "colours.ldb")
	w, err := NewTableWriter(path, nil)
	require.NoError(t, err)
	require.NoError(t, w.Put([]byte("blue"), []byte("0000ff")))
	require.NoError(t, w.Put([]byte("red"), []byte("ff0000")))
	_, err = w.Finish()
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	d, err := Open(filepath.Join(dir, "db"), small(nil))
	require.NoError(t, err)
	require.NoError(t, d.Put([]byte("red"), []byte("old")))
	require.NoError(t, d.IngestTable(path))
	require.NoError(t, d.Put([]byte("blue"), []byte("new")))
	for k, want := range map[string]string{"red": "ff0000", "blue": "new"} {
		v, err := d.Get([]byte(k))
		require.NoError(t, err)
		require.Equal(t, want, string(v))
	}
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}
