package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// memFile is a file in memory.
type memFile struct {
	bytes.Buffer
	readErr error
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.readErr != nil {
		return 0, f.readErr
	}
	return bytes.NewReader(f.Bytes()).ReadAt(p, off)
}
func (f *memFile) Sync() error          { return nil }
func (f *memFile) Truncate(int64) error { return nil }
func (f *memFile) Size() (int64, error) { return int64(f.Len()), nil }
func (f *memFile) Close() error         { return nil }

// newCache returns a cache in a heap-backed region, so that the race detector
// sees it, and checks at the end that everything was given back.
func newCache(t testing.TB, budget int) *cache.Cache {
	t.Helper()
	r, err := arena.Reserve(max(4<<20, 4*budget), &arena.Options{Backing: arena.GoHeap})
	require.NoError(t, err)
	h, err := segregated.New(r, nil)
	require.NoError(t, err)
	locked := alloc.Locked(h)
	c, err := cache.New(&cache.Options{Heap: locked, Region: r, Budget: budget})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		require.NoError(t, h.Close())
		require.NoError(t, r.Close())
	})
	return c
}

type kv struct{ k, v []byte }

// build writes a table of the sorted entries.
func build(t testing.TB, o *WriterOptions, entries []kv) *memFile {
	t.Helper()
	f := &memFile{}
	w := NewWriter(f, o)
	for _, e := range entries {
		require.NoError(t, w.Add(e.k, e.v))
	}
	info, err := w.Finish()
	require.NoError(t, err)
	require.EqualValues(t, f.Len(), info.Size)
	require.Equal(t, len(entries), info.Entries)
	return f
}

func open(t testing.TB, f *memFile, c *cache.Cache) *Reader {
	t.Helper()
	r, err := Open(f, &ReaderOptions{Cache: c, FileName: "000007.ldb"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// testEntries makes n user keys with one to three versions each, some of them
// tombstones, with keys that share long prefixes and keys that are prefixes of
// others.
func testEntries(rng *rand.Rand, n int) []kv {
	cmp := keys.Bytewise()
	var out []kv
	for i := range n {
		user := fmt.Appendf(nil, "key%0*d", 1+rng.IntN(6), i)
		if rng.IntN(4) == 0 {
			user = user[:3+rng.IntN(len(user)-2)]
		}
		if rng.IntN(8) == 0 {
			user = append(user, make([]byte, rng.IntN(12))...)
		}
		for v := range 1 + rng.IntN(3) {
			kind := keys.KindSet
			var val []byte
			if rng.IntN(5) == 0 {
				kind = keys.KindDelete
			} else {
				val = bytes.Repeat([]byte{byte('a' + i%26)}, rng.IntN(200))
			}
			out = append(out, kv{keys.Make(user, keys.SeqNum(1+10*i+v), kind), val})
		}
	}
	slices.SortFunc(out, func(a, b kv) int { return cmp.CompareInternal(a.k, b.k) })
	return slices.CompactFunc(out, func(a, b kv) bool { return bytes.Equal(a.k, b.k) })
}

// forOptions runs f over options in which every pair of values meets.
func forOptions(t *testing.T, f func(t *testing.T, o *WriterOptions)) {
	blocks, restarts := []int{1, 200, 4096, 64 << 10}, []int{1, 3, 16}
	for i, block := range blocks {
		for j, restart := range restarts {
			comp := Compression((i + j) % 3)
			bits := float64(10 * ((i + j/2) % 2))
			o := &WriterOptions{BlockSize: block, RestartInterval: restart, Compression: comp, BitsPerKey: bits}
			t.Run(fmt.Sprintf("block=%d/restart=%d/%v/bits=%v", block, restart, comp, bits),
				func(t *testing.T) { f(t, o) })
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	entries := testEntries(rng, 500)
	c := newCache(t, 1<<20)
	forOptions(t, func(t *testing.T, o *WriterOptions) {
		r := open(t, build(t, o, entries), c)
		it := r.NewIter(nil)
		defer func() { require.NoError(t, it.Close()) }()
		i := 0
		for ok := it.First(); ok; ok = it.Next() {
			require.Equal(t, entries[i].k, it.Key())
			require.True(t, bytes.Equal(entries[i].v, it.Value()))
			i++
		}
		require.NoError(t, it.Err())
		require.Equal(t, len(entries), i)
		for ok := it.Last(); ok; ok = it.Prev() {
			i--
			require.Equal(t, entries[i].k, it.Key())
			require.True(t, bytes.Equal(entries[i].v, it.Value()))
		}
		require.NoError(t, it.Err())
		require.Zero(t, i)
		require.NoError(t, r.CheckBounds(entries[0].k, entries[len(entries)-1].k))
		require.Error(t, r.CheckBounds(entries[1].k, nil))
	})
}

// TestSeekAndGet compares every seek and Get near every key with the sorted
// slice.
func TestSeekAndGet(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	entries := testEntries(rng, 120)
	cmp := keys.Bytewise()
	var probes [][]byte
	for _, e := range entries {
		u := keys.User(e.k)
		for _, user := range [][]byte{u, append(bytes.Clone(u), 0), u[:len(u)-1], append(bytes.Clone(u[:len(u)-1]), u[len(u)-1]-1, 0xff)} {
			for _, d := range []keys.SeqNum{0, 1, keys.MaxSeqNum - keys.SeqOf(e.k)} {
				probes = append(probes, keys.Make(user, keys.SeqOf(e.k)+d, keys.KindSeek))
			}
			probes = append(probes, keys.Make(user, keys.SeqOf(e.k)-1, keys.KindSeek))
		}
	}
	c := newCache(t, 1<<20)
	forOptions(t, func(t *testing.T, o *WriterOptions) {
		r := open(t, build(t, o, entries), c)
		it := r.NewIter(nil)
		defer func() { require.NoError(t, it.Close()) }()
		for _, p := range probes {
			i, _ := slices.BinarySearchFunc(entries, p, func(e kv, p []byte) int { return cmp.CompareInternal(e.k, p) })
			checkGet(t, r, p, entries, i)
			require.Equal(t, i < len(entries), it.SeekGE(p))
			if i < len(entries) {
				require.Equal(t, entries[i].k, it.Key())
				require.Equal(t, i > 0, it.Prev())
				if i > 0 {
					require.Equal(t, entries[i-1].k, it.Key())
					require.True(t, it.Next())
					require.Equal(t, entries[i].k, it.Key())
				}
			}
			require.Equal(t, i > 0, it.SeekLT(p))
			if i > 0 {
				require.Equal(t, entries[i-1].k, it.Key())
				require.Equal(t, i < len(entries), it.Next())
			}
		}
	})
}

func checkGet(t *testing.T, r *Reader, p []byte, entries []kv, i int) {
	t.Helper()
	var res Result
	ok, err := r.Get(p, filter.Hash(keys.User(p)), &res)
	require.NoError(t, err)
	want := i < len(entries) && bytes.Equal(keys.User(entries[i].k), keys.User(p))
	require.Equal(t, want, ok, "get %s", keys.Format(p))
	if ok {
		require.Equal(t, keys.KindOf(entries[i].k), res.Kind)
		require.Equal(t, keys.SeqOf(entries[i].k), res.Seq)
		require.True(t, bytes.Equal(entries[i].v, res.Value))
	}
	res.Release()
}

func TestGetAllocatesNothing(t *testing.T) {
	entries := testEntries(rand.New(rand.NewPCG(5, 6)), 2000)
	c := newCache(t, 1<<20)
	r := open(t, build(t, &WriterOptions{BitsPerKey: 10}, entries), c)
	var res Result
	i := 0
	n := testing.AllocsPerRun(1000, func() {
		k := entries[i%len(entries)].k
		_, err := r.Get(k, filter.Hash(keys.User(k)), &res)
		if err != nil {
			t.Fatal(err)
		}
		res.Release()
		i += 17
	})
	require.Zero(t, n)
}
