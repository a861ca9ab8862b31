package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
)

// A Table is a table opened on its own: one that [TableWriter] made, or any table
// of a store or of LevelDB. Index and filter are in memory, off the Go heap; blocks
// are read as needed. Safe for concurrent use.
//
// In a table of a store a key may have several versions, newest first, and
// tombstones. Get returns the newest version; an iterator shows all of them.
// Range tombstones are not looked at.
type Table struct {
	cmp    *Comparer
	blocks *blockHeap
	cache  *cache.Cache
	r      *table.Reader

	mu      sync.RWMutex // held for reading by every use
	iters   int          // open iterators
	closed  bool
	scratch sync.Pool // *[]byte
}

// OpenTable opens the table at path. Damage is a [*CorruptionError]; an index that
// does not fit the memory limit is [ErrMemoryLimit]. The caller closes it.
func OpenTable(path string, o *TableOptions) (*Table, error) {
	c, err := o.complete()
	if err != nil {
		return nil, err
	}
	dir, err := c.FS.OpenDir(filepath.Dir(path), false)
	if err != nil {
		return nil, fmt.Errorf("lsm: open table: %w", err)
	}
	f, err := dir.Open(filepath.Base(path))
	if err = joinClose(err, dir); err != nil {
		if f != nil {
			err = joinClose(err, f)
		}
		return nil, fmt.Errorf("lsm: open table: %w", err)
	}
	t := &Table{cmp: c.Comparer}
	if t.blocks, err = newBlockHeap(max(c.MemoryLimit, minTableMemory), arena.Options{Backing: c.Backing}); err != nil {
		return nil, joinClose(err, f)
	}
	t.cache, err = cache.New(&cache.Options{Heap: t.blocks.shared, Region: t.blocks.region, Budget: c.MemoryLimit})
	if err != nil {
		return nil, errors.Join(err, f.Close(), t.blocks.close())
	}
	t.r, err = table.Open(f, &table.ReaderOptions{Comparer: c.Comparer, Cache: t.cache,
		FileName: filepath.Base(path), Mmap: c.Mmap})
	switch {
	case errors.Is(err, table.ErrComparer):
		err = fmt.Errorf("%w: %w", ErrOptions, err)
	case errors.Is(err, alloc.ErrNoMemory):
		err = fmt.Errorf("%w: index and filter of %s: %w", ErrMemoryLimit, path, err)
	case err != nil && !errors.Is(err, ErrCorrupt):
		err = fmt.Errorf("lsm: open table %s: %w", path, err)
	}
	if err != nil {
		return nil, errors.Join(err, t.cache.Close(), t.blocks.close())
	}
	return t, nil
}

// Get returns a copy of the value of key, or [ErrNotFound].
func (t *Table) Get(key []byte) ([]byte, error) {
	v, err := t.AppendTo(nil, key)
	if v == nil && err == nil {
		v = []byte{}
	}
	return v, err
}

// AppendTo appends the value of key to dst and returns the result. It allocates
// nothing when dst has room. On error it returns dst as it was.
func (t *Table) AppendTo(dst, key []byte) ([]byte, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return dst, ErrClosed
	}
	seek, _ := t.scratch.Get().(*[]byte)
	if seek == nil {
		seek = new([]byte)
	}
	defer t.scratch.Put(seek)
	*seek = keys.Append((*seek)[:0], key, keys.MaxSeqNum, keys.KindSeek)
	var res table.Result
	found, err := t.r.Get(*seek, filter.Hash(key), &res)
	if err != nil {
		return dst, err
	}
	defer res.Release()
	if !found || res.Kind == keys.KindDelete {
		return dst, ErrNotFound
	}
	return res.AppendTo(dst)
}

// Len returns how many entries the table says it has, or -1 for a table of
// LevelDB, which does not say.
func (t *Table) Len() int {
	p := t.r.Properties()
	if !p.Present {
		return -1
	}
	return int(p.Entries)
}

// Size returns the size of the file in bytes.
func (t *Table) Size() int64 { return t.r.Size() }

// Check reads the whole table and returns every fault, joined, or nil: blocks that
// do not check, keys out of order, a wrong number of entries. O(size of the table).
func (t *Table) Check() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return ErrClosed
	}
	var damage []error
	n := 0
	it := t.r.NewIter(&table.IterOptions{NoCache: true, OnCorrupt: func(e *CorruptionError) bool {
		damage = append(damage, e)
		return true
	}})
	err := checkOrder(t.cmp, it, keys.MaxSeqNum, func([]byte) error { n++; return nil })
	if want := t.Len(); want >= 0 && n != want && len(damage) == 0 && err == nil {
		err = fmt.Errorf("lsm: table has %d entries, it says %d", n, want)
	}
	return errors.Join(append(damage, err)...)
}

// Close releases the file and the memory. With open iterators it does nothing and
// returns [ErrBusy]. Once closed, it returns nil.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil
	case t.iters > 0:
		return fmt.Errorf("%w: %d iterators", ErrBusy, t.iters)
	}
	t.closed = true
	return errors.Join(t.r.Close(), t.cache.Close(), t.blocks.close())
}

// NewIter returns an iterator over the entries within the bounds of o, which may
// be nil. It must be closed, before the table. The error is [ErrClosed], or
// [ErrBadRange] for bounds that exclude each other.
func (t *Table) NewIter(o *IterOptions) (*TableIterator, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	it := &TableIterator{t: t}
	if o != nil {
		it.lower, it.upper = bytes.Clone(o.LowerBound), bytes.Clone(o.UpperBound)
		if it.lower != nil && it.upper != nil && t.cmp.Compare(it.lower, it.upper) > 0 {
			return nil, fmt.Errorf("%w: lower bound %q, upper bound %q", ErrBadRange, it.lower, it.upper)
		}
	}
	it.it.Init(t.r, nil)
	t.iters++
	return it, nil
}

// A TableIterator walks the entries of a [Table] in key order, versions of one key
// from the newest to the oldest. It begins before the first entry; a move reports
// whether it stands on an entry then. Key and Value are views, valid until the
// next move. For one goroutine at a time. Steps allocate nothing.
type TableIterator struct {
	t            *Table
	it           table.Iterator
	lower, upper []byte
	seek         []byte
	closed       bool
	err          error // once closed
	out          bool  // off the bounds
}

// begin readies the iterator for an absolute move.
func (it *TableIterator) begin() bool {
	if it.closed {
		it.err = ErrClosed
	}
	return !it.closed
}

// First moves to the first entry.
func (it *TableIterator) First() bool {
	if !it.begin() {
		return false
	}
	if it.lower != nil {
		return it.SeekGE(it.lower)
	}
	return it.settle(it.it.First())
}

// Last moves to the last entry.
func (it *TableIterator) Last() bool {
	if !it.begin() {
		return false
	}
	if it.upper != nil {
		return it.SeekLT(it.upper)
	}
	return it.settle(it.it.Last())
}

// SeekGE moves to the first entry at or after key.
func (it *TableIterator) SeekGE(key []byte) bool {
	if !it.begin() {
		return false
	}
	if it.lower != nil && it.t.cmp.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	it.seek = keys.Append(it.seek[:0], key, keys.MaxSeqNum, keys.KindSeek)
	return it.settle(it.it.SeekGE(it.seek))
}

// SeekLT moves to the last entry before key.
func (it *TableIterator) SeekLT(key []byte) bool {
	if !it.begin() {
		return false
	}
	if it.upper != nil && it.t.cmp.Compare(key, it.upper) > 0 {
		key = it.upper
	}
	it.seek = keys.Append(it.seek[:0], key, keys.MaxSeqNum, keys.KindSeek)
	return it.settle(it.it.SeekLT(it.seek))
}

// Next moves on by one entry. It is false when the iterator stands nowhere.
func (it *TableIterator) Next() bool { return it.Valid() && it.settle(it.it.Next()) }

// Prev moves back by one entry. It is false when the iterator stands nowhere.
func (it *TableIterator) Prev() bool { return it.Valid() && it.settle(it.it.Prev()) }

// settle holds the bounds.
func (it *TableIterator) settle(ok bool) bool {
	it.out = !ok
	if ok {
		key := keys.User(it.it.Key())
		it.out = it.lower != nil && it.t.cmp.Compare(key, it.lower) < 0 ||
			it.upper != nil && it.t.cmp.Compare(key, it.upper) >= 0
	}
	return !it.out
}

// Valid reports whether the iterator stands on an entry.
func (it *TableIterator) Valid() bool { return !it.closed && !it.out && it.it.Valid() }

// Key returns the current key, nil if there is none.
func (it *TableIterator) Key() []byte {
	if !it.Valid() {
		return nil
	}
	return keys.User(it.it.Key())
}

// Value returns the current value, empty for a tombstone, nil if there is none.
func (it *TableIterator) Value() []byte {
	if !it.Valid() {
		return nil
	}
	v := it.it.Value()
	return v[:len(v):len(v)]
}

// Seq returns the sequence number of the current entry: 0 in a table that
// [TableWriter] made, and where there is none.
func (it *TableIterator) Seq() SeqNum {
	if !it.Valid() {
		return 0
	}
	return keys.SeqOf(it.it.Key())
}

// Deleted reports whether the current entry is a tombstone.
func (it *TableIterator) Deleted() bool {
	return it.Valid() && keys.KindOf(it.it.Key()) == keys.KindDelete
}

// Err returns what stopped the iterator, nil at an end, [ErrClosed] after a move of
// a closed one.
func (it *TableIterator) Err() error {
	if it.closed {
		return it.err
	}
	return it.it.Err()
}

// All returns the entries from the first to the last. Look at Err afterwards.
func (it *TableIterator) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for ok := it.First(); ok; ok = it.Next() {
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}

// Close ends the iterator and returns its error, if any.
func (it *TableIterator) Close() error {
	if it.closed {
		return nil
	}
	it.closed = true
	it.t.mu.Lock()
	defer it.t.mu.Unlock()
	it.t.iters--
	it.err = it.it.Close()
	return it.err
}
