package lsm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A model is a store as simple as can be: what it holds is a map.
type model map[string]string

func (m model) keys() []string { return slices.Sorted(maps.Keys(m)) }

func (m model) deleteRange(lo, hi string) {
	for k := range m {
		if lo <= k && k < hi {
			delete(m, k)
		}
	}
}

// A machine runs a store and its model side by side.
type machine struct {
	t     *rapid.T
	fs    *vfs.Mem
	opts  Options
	d     *DB
	m     model
	snaps []*Snapshot
	views []model // what each snapshot must see

	dir    string
	copies int // checkpoints made
}

func (c *machine) open() {
	o := c.opts
	o.FS = c.fs
	d, err := Open(c.dir, &o)
	require.NoError(c.t, err)
	c.d = d
}

// drawOptions draws options that may change how the store works, but nothing of
// what it answers.
func drawOptions(t *rapid.T) Options {
	return Options{
		WriteBufferSize:      rapid.SampledFrom([]int{4 << 10, 16 << 10, 256 << 10}).Draw(t, "buffer"),
		BlockCacheSize:       rapid.SampledFrom([]int{64 << 10, 1 << 20}).Draw(t, "cache"),
		TablesSize:           1 << 20,
		BlockSize:            rapid.SampledFrom([]int{1, 100, 4096, 65536}).Draw(t, "block"),
		BlockRestartInterval: rapid.SampledFrom([]int{1, 3, 16}).Draw(t, "restart"),
		BloomBitsPerKey:      rapid.SampledFrom([]float64{-1, 3, 10}).Draw(t, "bloom"),
		Compression:          rapid.SampledFrom([]Compression{Snappy, None, Zstd}).Draw(t, "codec"),
		Backing:              rapid.SampledFrom([]arena.Backing{arena.Mmap, arena.GoHeap}).Draw(t, "backing"),
		Durability:           rapid.SampledFrom([]Durability{OS, Sync}).Draw(t, "durability"),
		MmapTables:           rapid.Bool().Draw(t, "mmap"),
		TargetFileSize:       rapid.SampledFrom([]int{1 << 10, 64 << 10}).Draw(t, "file"),
		LevelSize:            rapid.SampledFrom([]int{2 << 10, 1 << 20}).Draw(t, "level"),
		LevelMultiplier:      rapid.SampledFrom([]int{2, 10}).Draw(t, "multiplier"),
		L0CompactionTrigger:  rapid.SampledFrom([]int{1, 4}).Draw(t, "trigger"),
		MaxCompactions:       rapid.SampledFrom([]int{-1, 1, 2}).Draw(t, "compactors"),
		MaxOpenFiles:         rapid.SampledFrom([]int{1, 1000}).Draw(t, "files"),
	}
}

func drawKey(t *rapid.T, name string) string {
	return fmt.Sprintf("k%02d", rapid.IntRange(0, 40).Draw(t, name))
}

func drawValue(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, 20, 20).Draw(t, "v") +
		string(bytes.Repeat([]byte{'.'}, rapid.SampledFrom([]int{0, 0, 0, 500}).Draw(t, "pad")))
}

func (c *machine) Put(t *rapid.T) {
	k, v := drawKey(t, "k"), drawValue(t)
	require.NoError(t, c.d.Put([]byte(k), []byte(v)))
	c.m[k] = v
}

func (c *machine) Delete(t *rapid.T) {
	k := drawKey(t, "k")
	require.NoError(t, c.d.Delete([]byte(k)))
	delete(c.m, k)
}

func (c *machine) DeleteRange(t *rapid.T) {
	lo, hi := drawKey(t, "lo"), drawKey(t, "hi")
	err := c.d.DeleteRange([]byte(lo), []byte(hi))
	if lo > hi {
		require.ErrorIs(t, err, ErrBadRange)
		return
	}
	require.NoError(t, err)
	c.m.deleteRange(lo, hi)
}

func (c *machine) Batch(t *rapid.T) {
	var b Batch
	for range rapid.IntRange(0, 30).Draw(t, "n") {
		switch k := drawKey(t, "k"); rapid.IntRange(0, 8).Draw(t, "op") {
		case 0:
			hi := drawKey(t, "hi")
			b.DeleteRange([]byte(k), []byte(hi))
			c.m.deleteRange(k, hi)
		case 1, 2:
			b.Delete([]byte(k))
			delete(c.m, k)
		default:
			v := drawValue(t)
			b.Put([]byte(k), []byte(v))
			c.m[k] = v
		}
	}
	require.NoError(t, c.d.Apply(&b, &WriteOptions{Durability: rapid.SampledFrom([]Durability{OS, Sync}).Draw(t, "d")}))
}

func (c *machine) Get(t *rapid.T) {
	k := drawKey(t, "k")
	checkGet(t, c.d, c.m, k)
	for i, s := range c.snaps {
		checkGet(t, s, c.views[i], k)
	}
}

// A getterOf is a store or a snapshot.
type getterOf interface {
	Get([]byte) ([]byte, error)
	NewIter(*IterOptions) (*Iterator, error)
}

func checkGet(t *rapid.T, g getterOf, m model, k string) {
	v, err := g.Get([]byte(k))
	if want, ok := m[k]; ok {
		require.NoError(t, err)
		require.Equal(t, want, string(v))
	} else {
		require.ErrorIs(t, err, ErrNotFound, "Get(%q) = %q", k, v)
	}
}

func (c *machine) Snapshot(t *rapid.T) {
	if len(c.snaps) > 3 {
		i := rapid.IntRange(0, len(c.snaps)-1).Draw(t, "drop")
		require.NoError(t, c.snaps[i].Close())
		c.snaps = slices.Delete(c.snaps, i, i+1)
		c.views = slices.Delete(c.views, i, i+1)
	}
	s, err := c.d.NewSnapshot()
	require.NoError(t, err)
	c.snaps = append(c.snaps, s)
	c.views = append(c.views, maps.Clone(c.m))
}

func (c *machine) Walk(t *rapid.T) {
	g, m := getterOf(c.d), maps.Clone(c.m)
	if n := len(c.snaps); n > 0 && rapid.Bool().Draw(t, "snap") {
		i := rapid.IntRange(0, n-1).Draw(t, "i")
		g, m = c.snaps[i], c.views[i]
	}
	o := &IterOptions{}
	keys := m.keys()
	if rapid.Bool().Draw(t, "lower") {
		lo := drawKey(t, "lo")
		o.LowerBound = []byte(lo)
		keys = slices.DeleteFunc(keys, func(k string) bool { return k < lo })
	}
	if rapid.Bool().Draw(t, "upper") {
		hi := drawKey(t, "hi")
		if o.LowerBound != nil && hi < string(o.LowerBound) {
			hi = string(o.LowerBound)
		}
		o.UpperBound = []byte(hi)
		keys = slices.DeleteFunc(keys, func(k string) bool { return k >= hi })
	}
	it, err := g.NewIter(o)
	require.NoError(t, err)
	walk := &modelIter{keys: keys, i: -1}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		if rapid.IntRange(0, 9).Draw(t, "disturb") == 0 {
			c.Put(t)
			c.Flush(t)
		}
		var got, want bool
		op := rapid.SampledFrom([]string{"first", "last", "ge", "lt", "next", "next", "next", "prev", "prev", "prev"}).Draw(t, "move")
		switch op {
		case "first":
			got, want = it.First(), walk.to(0)
		case "last":
			got, want = it.Last(), walk.to(len(keys)-1)
		case "ge":
			k := drawKey(t, "seek")
			got, want = it.SeekGE([]byte(k)), walk.to(walk.find(k))
		case "lt":
			k := drawKey(t, "seek")
			got, want = it.SeekLT([]byte(k)), walk.to(walk.find(k)-1)
		case "next":
			got, want = it.Next(), walk.to(walk.i+1)
		case "prev":
			got, want = it.Prev(), walk.to(walk.i-1)
		}
		require.Equal(t, want, got, op)
		require.Equal(t, want, it.Valid())
		if want {
			require.Equal(t, keys[walk.i], string(it.Key()), op)
			require.Equal(t, m[keys[walk.i]], string(it.Value()), op)
		}
		require.NoError(t, it.Err())
	}
	require.NoError(t, it.Close())
}

// A modelIter is a place in a sorted list of keys; -1 and len are off its ends.
type modelIter struct {
	keys []string
	i    int
}

func (w *modelIter) to(i int) bool {
	w.i = min(max(i, -1), len(w.keys))
	return w.i >= 0 && w.i < len(w.keys)
}

func (w *modelIter) find(k string) int {
	i, _ := slices.BinarySearch(w.keys, k)
	return i
}

func (c *machine) Flush(t *rapid.T) { require.NoError(t, c.d.Flush()) }

func (c *machine) Compact(t *rapid.T) {
	if rapid.Bool().Draw(t, "all") {
		require.NoError(t, c.d.CompactRange(nil, nil))
		return
	}
	lo, hi := drawKey(t, "lo"), drawKey(t, "hi")
	if lo > hi {
		lo, hi = hi, lo
	}
	require.NoError(t, c.d.CompactRange([]byte(lo), []byte(hi)))
}

// Ingest takes in a table of its own.
func (c *machine) Ingest(t *rapid.T) {
	kv := model{}
	for range rapid.IntRange(1, 10).Draw(t, "n") {
		kv[drawKey(t, "k")] = drawValue(t)
	}
	_, err := c.fs.OpenDir("in", true)
	require.NoError(t, err)
	w, err := NewTableWriter("in/table", &TableOptions{FS: c.fs})
	require.NoError(t, err)
	for _, k := range kv.keys() {
		require.NoError(t, w.Put([]byte(k), []byte(kv[k])))
	}
	_, err = w.Finish()
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, c.d.IngestTable("in/table"))
	maps.Copy(c.m, kv)
}

// Checkpoint opens a copy and goes on with it, or with the store.
func (c *machine) Checkpoint(t *rapid.T) {
	c.copies++
	name := fmt.Sprintf("copy%d", c.copies)
	require.NoError(t, c.d.Checkpoint(name))
	if rapid.Bool().Draw(t, "move over") {
		c.closeSnaps()
		require.NoError(t, c.d.Close())
		c.dir = name
		c.open()
		return
	}
	o := c.opts
	o.FS, o.ReadOnly = c.fs, true
	got, err := readAll(name, &o)
	require.NoError(t, err)
	require.Equal(t, c.m, got)
}

// closeSnaps drops all snapshots, which do not outlive their store.
func (c *machine) closeSnaps() {
	for _, s := range c.snaps {
		require.NoError(c.t, s.Close())
	}
	c.snaps, c.views = nil, nil
}

func (c *machine) Reopen(t *rapid.T) {
	c.closeSnaps()
	require.NoError(t, c.d.Close())
	c.open()
}

// Crash cuts the power. What was written with Sync must be there.
func (c *machine) Crash(t *rapid.T) {
	k := drawKey(t, "k")
	var b Batch
	b.Put([]byte(k), []byte("synced"))
	require.NoError(t, c.d.Apply(&b, &WriteOptions{Durability: Sync}))
	c.m[k] = "synced"
	p := rapid.SampledFrom([]float64{0, 0.3, 0.9, 1}).Draw(t, "p")
	next := c.fs.CrashClone(p, rapid.Uint64().Draw(t, "seed"))
	c.closeSnaps()
	require.NoError(t, c.d.Close())
	c.fs = next
	c.open()
}

func (c *machine) Check(t *rapid.T) {
	require.NoError(t, c.d.Check())
	var keys []string
	it, err := c.d.NewIter(nil)
	require.NoError(t, err)
	for k, v := range it.All() {
		require.Equal(t, c.m[string(k)], string(v))
		keys = append(keys, string(k))
	}
	require.NoError(t, it.Close())
	require.Equal(t, c.m.keys(), keys)
}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &machine{t: t, dir: "db", fs: vfs.NewMem(), opts: drawOptions(t), m: model{}}
		c.open()
		t.Repeat(map[string]func(*rapid.T){
			"Put": c.Put, "Put2": c.Put, "Delete": c.Delete, "DeleteRange": c.DeleteRange, "Batch": c.Batch, "Batch2": c.Batch,
			"Get": c.Get, "Snapshot": c.Snapshot, "Walk": c.Walk, "Flush": c.Flush,
			"Compact": c.Compact, "Ingest": c.Ingest, "Checkpoint": c.Checkpoint, "Reopen": c.Reopen, "Crash": c.Crash, "Check": c.Check,
		})
		c.Check(t)
		c.closeSnaps()
		require.NoError(t, c.d.Close())
	})
}
