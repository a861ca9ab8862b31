package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// An openTable is a live table with its index and filter in memory. It closes
// when the last user lets go: openTables counts as one while it is listed.
type openTable struct {
	file   *fileMeta
	reader *table.Reader
	frags  fragments
	refs   atomic.Int32
	hot    atomic.Bool // used since the clock hand last passed
}

// tryRef takes a reference unless the table is closing already.
func (t *openTable) tryRef() bool {
	for {
		n := t.refs.Load()
		if n == 0 {
			return false
		}
		if t.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// unref lets go; the last one closes the file.
func (t *openTable) unref() error {
	if t.refs.Add(-1) > 0 {
		return nil
	}
	return t.reader.Close()
}

// openTables opens tables when they are first read and keeps them open, at most
// limit of them and only while their indexes fit into memory. What is used least
// goes first (CLOCK). Safe for concurrent use.
type openTables struct {
	dir   vfs.Dir
	opts  *Options
	cache *cache.Cache
	dec   table.Decoder
	limit int

	mu    sync.Mutex
	ring  []*openTable
	hand  int
	opens uint64
}

// get returns the table of f, referenced.
func (t *openTables) get(f *fileMeta) (*openTable, error) {
	if o := f.open.Load(); o != nil && o.tryRef() {
		if !o.hot.Load() {
			o.hot.Store(true)
		}
		return o, nil
	}
	return t.open(f)
}

// open opens a table, closing others while memory is short.
func (t *openTables) open(f *fileMeta) (*openTable, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := f.open.Load(); o != nil && o.tryRef() {
		return o, nil
	}
	for len(t.ring) >= t.limit && t.evict() {
	}
	r, err := t.read(f)
	for errors.Is(err, alloc.ErrNoMemory) && t.evict() {
		r, err = t.read(f)
	}
	if errors.Is(err, alloc.ErrNoMemory) {
		return nil, fmt.Errorf("%w: index of table %06d: %w", ErrMemoryLimit, f.num, err)
	}
	if err != nil {
		return nil, err
	}
	o := &openTable{file: f, reader: r}
	ts, err := rangeDeletes(r)
	if err != nil {
		return nil, joinClose(err, r)
	}
	o.frags = fragment(t.opts.Comparer, ts)
	o.refs.Store(2)
	f.open.Store(o)
	t.ring = append(t.ring, o)
	t.opens++
	return o, nil
}

// read opens the file and checks that it is the table the MANIFEST means.
func (t *openTables) read(f *fileMeta) (*table.Reader, error) {
	name := f.name()
	file, err := t.dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("lsm: open table: %w", err)
	}
	return table.Open(file, &table.ReaderOptions{
		Comparer: t.opts.Comparer, Cache: t.cache, Decoder: &t.dec, FileName: name,
		FileNum: f.num, Size: int64(f.size), Mmap: t.opts.MmapTables,
	})
}

// name is the file's name in the directory.
func (f *fileMeta) name() string {
	if f.old {
		return filename.MakeOldTable(f.num)
	}
	return filename.MakeTable(f.num)
}

// evict closes the table that CLOCK finds, or reports that there is none. Tables
// in use stay open until they are let go.
func (t *openTables) evict() bool {
	for range 2 * len(t.ring) {
		if t.hand >= len(t.ring) {
			t.hand = 0
		}
		o := t.ring[t.hand]
		if o.hot.Swap(false) {
			t.hand++
			continue
		}
		t.drop(t.hand)
		return true
	}
	return false
}

// drop takes a table off the list.
func (t *openTables) drop(i int) {
	o := t.ring[i]
	last := len(t.ring) - 1
	t.ring[i] = t.ring[last]
	t.ring[last] = nil
	t.ring = t.ring[:last]
	o.file.open.CompareAndSwap(o, nil)
	_ = o.unref() // a file that was only read
}

// forget closes the table of f, which no version holds any more.
func (t *openTables) forget(f *fileMeta) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, o := range t.ring {
		if o.file == f {
			t.drop(i)
			return
		}
	}
}

// tombstones returns the range tombstones of f.
func (t *openTables) tombstones(f *fileMeta) (fragments, error) {
	o, err := t.get(f)
	if err != nil {
		return nil, err
	}
	return o.frags, o.unref()
}

// rangeDeletes reads the range tombstones of a table.
func rangeDeletes(r *table.Reader) ([]tombstone, error) {
	var ts []tombstone
	err := r.RangeDeletes(func(start, end []byte, seq keys.SeqNum) {
		ts = append(ts, tombstone{start, end, seq})
	})
	return ts, err
}

// count returns how many tables are open and how many opens there were.
func (t *openTables) count() (open int, opens uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ring), t.opens
}

// close closes every table.
func (t *openTables) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, o := range t.ring {
		o.file.open.Store(nil)
		errs = append(errs, o.unref())
	}
	t.ring = nil
	return errors.Join(errs...)
}
