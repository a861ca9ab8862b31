package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestNils holds that nil options, batches and slices mean what the documentation
// says, or nothing.
func TestNils(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "a", "b"), nil)
	require.NoError(t, err)
	require.NoError(t, d.Apply(nil, nil))
	require.NoError(t, d.Apply(&Batch{}, nil))
	require.NoError(t, d.Put(nil, nil))
	v, err := d.Get(nil)
	require.NoError(t, err)
	require.Equal(t, []byte{}, v)
	v, err = d.AppendTo(nil, []byte{})
	require.NoError(t, err)
	require.Empty(t, v)
	require.NoError(t, d.DeleteRange(nil, nil), "an empty range")
	require.NoError(t, d.CompactRange(nil, nil))
	require.NoError(t, d.IngestTable())
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.SeekGE(nil))
	require.False(t, it.SeekLT(nil))
	require.NoError(t, it.Close())
	require.NoError(t, d.Delete(nil))
	_, err = d.Get(nil)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
}

// TestBadOptions holds that options which make no sense are refused by name.
func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{WriteBufferSize: -1}, "WriteBufferSize"},
		{Options{WriteBufferSize: 100}, "WriteBufferSize"},
		{Options{WriteBufferSize: math.MaxInt}, "WriteBufferSize"},
		{Options{BlockCacheSize: -1}, "BlockCacheSize"},
		{Options{BlockCacheSize: math.MaxInt}, "BlockCacheSize"},
		{Options{MemoryLimit: 1}, "MemoryLimit"},
		{Options{MemoryLimit: 1 << 20, TablesSize: 1 << 21}, "MemoryLimit"},
		{Options{MaxWriteBuffers: 1}, "MaxWriteBuffers"},
		{Options{MaxWriteBuffers: math.MaxInt}, "MaxWriteBuffers"},
		{Options{BlockSize: -4}, "BlockSize"},
		{Options{BlockSize: maxBlockSize + 1}, "BlockSize"},
		{Options{LevelMultiplier: 1}, "LevelMultiplier"},
		{Options{CompactionRate: -1}, "CompactionRate"},
		{Options{MaxOpenFiles: -1}, "MaxOpenFiles"},
		{Options{BloomBitsPerKey: math.NaN()}, "BloomBitsPerKey"},
		{Options{BloomBitsPerKey: math.Inf(1)}, "BloomBitsPerKey"},
		{Options{StallLimit: -time.Second}, "StallLimit"},
		{Options{Durability: 9}, "durability 9"},
		{Options{Recovery: 9}, "recovery mode 9"},
		{Options{Compression: 9}, "compression 9"},
		{Options{Backing: arena.File}, "backing"},
		{Options{Comparer: &Comparer{}}, "comparer"},
		{Options{MustExist: true, ErrorIfExists: true}, "exclude"},
		{Options{ReadOnly: true, ErrorIfExists: true}, "exclude"},
	} {
		c.o.FS = vfs.NewMem()
		_, err := Open("db", &c.o)
		require.Error(t, err, "%+v", c)
		require.ErrorContains(t, err, c.want)
		require.ErrorIs(t, err, ErrOptions, "%+v", c)
		_, err = c.o.FS.OpenDir("db", false)
		require.ErrorIs(t, err, errNotExist, "nothing is made: %+v", c)
	}
	for _, path := range []string{"", "a\x00b"} {
		_, err := Open(path, nil)
		require.Error(t, err, "%q", path)
	}
}

// TestAfterClose calls everything there is on what is closed.
func TestAfterClose(t *testing.T) {
	mem := vfs.NewMem()
	d := mustOpen(t, small(mem))
	require.NoError(t, d.Put([]byte("k"), []byte("v")))
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.First())
	require.NoError(t, it.Close())
	for name, move := range map[string]func() bool{
		"First": it.First, "Last": it.Last, "Next": it.Next, "Prev": it.Prev, "Valid": it.Valid,
		"SeekGE": func() bool { return it.SeekGE([]byte("a")) }, "SeekLT": func() bool { return it.SeekLT([]byte("z")) },
	} {
		require.False(t, move(), name)
	}
	require.Nil(t, it.Key())
	require.Nil(t, it.Value())
	require.ErrorIs(t, it.Err(), ErrClosed)
	for range it.All() {
		t.Fatal("a closed iterator walks")
	}
	s, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = s.AppendTo(nil, []byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.NewIter(nil)
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, d.Close())

	var b Batch
	b.Put([]byte("k"), nil)
	for name, err := range map[string]error{
		"Put": d.Put(nil, nil), "Delete": d.Delete(nil), "DeleteRange": d.DeleteRange([]byte("a"), []byte("b")),
		"Apply": d.Apply(&b, nil), "Apply of nothing": d.Apply(nil, nil), "Flush": d.Flush(), "Check": d.Check(),
		"CompactRange": d.CompactRange(nil, nil), "Checkpoint": d.Checkpoint("copy"), "IngestTable": d.IngestTable(),
	} {
		require.ErrorIs(t, err, ErrClosed, name)
	}
	makeTable(t, mem, "a", map[string]string{"k": "v"})
	require.ErrorIs(t, d.IngestTable("in/a"), ErrClosed)
	dst := []byte("as it was")
	dst, err = d.AppendTo(dst, []byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, "as it was", string(dst))
	_, err = d.NewSnapshot()
	require.ErrorIs(t, err, ErrClosed)
	_ = d.Stats() // counters only
	_ = d.Recovery()
	require.Equal(t, "db", d.Path())
}

// TestPublishAfterClose: work that holds Close up, and ends while Close waits for it, makes the
// store readable no more.
func TestPublishAfterClose(t *testing.T) {
	d := mustOpen(t, small(vfs.NewMem()))
	let, err := d.hold()
	require.NoError(t, err)
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	for err == nil {
		time.Sleep(time.Millisecond)
		_, err = d.Get([]byte("k"))
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	require.ErrorIs(t, err, ErrClosed)
	d.mu.Lock()
	d.publish()
	d.mu.Unlock()
	_, err = d.Get([]byte("k"))
	require.ErrorIs(t, err, ErrClosed)
	let()
	require.NoError(t, <-closed)
}

// TestTableAfterClose does the same with a table on its own.
func TestTableAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.ldb")
	w, err := NewTableWriter(path, nil)
	require.NoError(t, err)
	require.ErrorIs(t, w.Put(make([]byte, MaxKeyLen+1), nil), ErrTooLarge)
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.Put([]byte("k"), nil), ErrClosed)
	_, err = w.Finish()
	require.ErrorIs(t, err, ErrClosed)
	_ = w.EstimatedSize()

	writeTableFile(t, path, 10, nil)
	tb, err := OpenTable(path, nil)
	require.NoError(t, err)
	it, err := tb.NewIter(nil)
	require.NoError(t, err)
	require.Nil(t, it.Key(), "nowhere yet")
	require.Nil(t, it.Value())
	require.Zero(t, it.Seq())
	require.False(t, it.Deleted())
	require.True(t, it.First())
	require.NoError(t, it.Close())
	require.False(t, it.First())
	require.False(t, it.Next())
	require.False(t, it.Prev())
	require.False(t, it.Valid())
	require.Nil(t, it.Key())
	require.Nil(t, it.Value())
	require.ErrorIs(t, it.Err(), ErrClosed)
	_, err = tb.NewIter(&IterOptions{LowerBound: []byte("b"), UpperBound: []byte("a")})
	require.ErrorIs(t, err, ErrBadRange)
	require.NoError(t, tb.Close())
	require.ErrorIs(t, tb.Check(), ErrClosed)
}

// TestNumbersUsedUp comes to the last sequence number: it is never passed, and what is
// there can be read.
func TestNumbersUsedUp(t *testing.T) {
	mem := vfs.NewMem()
	d := mustOpen(t, small(mem))
	require.NoError(t, d.Put([]byte("a"), []byte("1")))
	require.NoError(t, d.Flush())
	makeTable(t, mem, "a", map[string]string{"k": "v"})
	require.NoError(t, d.exclusive(func() error {
		d.lastSeq = keys.MaxSeqNum - 2
		return nil
	}))
	var b Batch
	b.Put([]byte("b"), nil)
	b.Put([]byte("c"), nil)
	b.Put([]byte("d"), nil)
	require.ErrorIs(t, d.Apply(&b, nil), ErrReadOnly)
	require.NoError(t, d.Put([]byte("b"), []byte("2")))
	require.NoError(t, d.Put([]byte("c"), []byte("3")))
	require.ErrorIs(t, d.Delete([]byte("c")), ErrReadOnly)
	require.ErrorIs(t, d.IngestTable("in/a"), ErrReadOnly)
	require.Equal(t, model{"a": "1", "b": "2", "c": "3"}, contentsOf(t, d))
	require.NoError(t, d.CompactRange(nil, nil))
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
	m, err := readAll("db", small(mem))
	require.NoError(t, err)
	require.Equal(t, model{"a": "1", "b": "2", "c": "3"}, m)
}

// TestCallersMemory holds that the store keeps nothing of what it was given, and that
// what it gave away is the caller's.
func TestCallersMemory(t *testing.T) {
	d := mustOpen(t, small(vfs.NewMem()))
	key, value := []byte("key"), []byte("value")
	lower := []byte("a")
	var b Batch
	b.Put(key, value)
	clear(key)
	clear(value)
	require.NoError(t, d.Apply(&b, nil))
	b.Reset()
	b.Put([]byte("yyy"), []byte("zzzzz"))
	v, err := d.Get([]byte("key"))
	require.NoError(t, err)
	require.Equal(t, "value", string(v))
	clear(v[:cap(v)])
	it, err := d.NewIter(&IterOptions{LowerBound: lower})
	require.NoError(t, err)
	lower[0] = 'z'
	require.True(t, it.First())
	k := it.Key()
	_ = append(k, "more"...) // must not reach what lies behind the key
	require.Equal(t, "value", string(append(it.Value(), "!!!"...)[:5]))
	require.Equal(t, "key", string(it.Key()))
	require.NoError(t, it.Close())
	v, err = d.Get([]byte("key"))
	require.NoError(t, err)
	require.Equal(t, "value", string(v))
	require.NoError(t, d.Close())
}

// TestEverythingAtOnce runs every method beside every other, on memory that the race
// detector sees. What each goroutine wrote last it must read back.
func TestEverythingAtOnce(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.Backing, o.MaxCompactions, o.MaxOpenFiles = arena.GoHeap, 2, 8
	o.Events = func(Event) {}
	d := mustOpen(t, o)
	makeTable(t, mem, "a", map[string]string{"in 1": "a", "in 2": "b"})
	steps := 300
	if testing.Short() {
		steps = 60
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 9))
			for i := range steps {
				if err := everyStep(d, g, i, rng); err != nil {
					t.Errorf("goroutine %d, step %d: %v", g, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, d.Check())
	for g := range 8 {
		v, err := d.Get(fmt.Appendf(nil, "own %d", g))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(steps-1), string(v))
	}
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
}

// everyStep writes a counter and does one thing more.
func everyStep(d *DB, g, i int, rng *rand.Rand) error {
	own, value := fmt.Appendf(nil, "own %d", g), fmt.Appendf(nil, "%d", i)
	if err := d.Put(own, value); err != nil {
		return err
	}
	key := fmt.Appendf(nil, "k%03d", rng.IntN(200))
	var err error
	switch rng.IntN(14) {
	case 0, 1, 2:
		var b Batch
		b.Put(key, bytes.Repeat(key, 30))
		b.Delete(fmt.Appendf(nil, "k%03d", rng.IntN(200)))
		err = d.Apply(&b, &WriteOptions{Durability: Durability(rng.IntN(3))})
	case 3:
		err = d.DeleteRange(key, fmt.Appendf(nil, "%sz", key))
	case 4, 5:
		err = walkSome(d, key)
	case 6:
		s, serr := d.NewSnapshot()
		if serr != nil {
			return serr
		}
		if v, gerr := s.Get(own); gerr != nil || string(v) != string(value) {
			err = fmt.Errorf("snapshot has %q, want %q: %w", v, value, gerr)
		}
		err = errors.Join(err, walkSome(s, key), s.Close())
	case 7:
		if g%4 == 0 {
			err = d.Flush()
		}
	case 8:
		if g%4 == 1 {
			err = d.CompactRange(key, nil)
		}
	case 9:
		if g%4 == 2 {
			err = d.Checkpoint(fmt.Sprintf("copy %d %d", g, i))
		}
	case 10:
		if g%4 == 3 {
			err = d.IngestTable("in/a")
		}
	case 11:
		_ = d.Stats()
		err = d.Check()
	default:
		if _, err = d.Get(key); errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if got, err := d.AppendTo(nil, own); err != nil || !bytes.Equal(got, value) {
		return fmt.Errorf("own value is %q, want %q: %w", got, value, err)
	}
	return nil
}

// walkSome moves an iterator about.
func walkSome(g getterOf, key []byte) error {
	it, err := g.NewIter(nil)
	if err != nil {
		return err
	}
	it.SeekGE(key)
	for range 10 {
		it.Next()
	}
	it.SeekLT(key)
	for range 10 {
		it.Prev()
	}
	return it.Close()
}
