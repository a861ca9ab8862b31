package lsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/memtable"
)

// A memTable is the newest writes: a skip list of entries and one of range
// tombstones in one region. It is written until it is full, then flushed to a
// table, and its region is reused once nobody reads it any more.
type memTable struct {
	pool    *memPool
	region  *arena.Region
	arena   *memtable.Arena
	points  *memtable.SkipList
	ranges  *memtable.SkipList // start → end
	cmp     *Comparer
	logNum  uint64      // oldest log that holds entries of this memtable
	baseSeq keys.SeqNum // no entry is older
	special bool        // larger than the pool's: made for one large batch

	reserved int          // bytes promised to batches; owned by the commit leader
	refs     atomic.Int32 // of read states, flushes and the store
	frags    atomic.Pointer[fragmentCache]
}

// A fragmentCache is the range tombstones of a memtable, cut into fragments, as
// they were when there were n.
type fragmentCache struct {
	n     int
	frags fragments
}

// reserve promises room for need bytes and reports whether there is that much.
// Only the commit leader calls it.
func (m *memTable) reserve(need, count int, seq keys.SeqNum) bool {
	if seq < m.baseSeq || uint64(seq-m.baseSeq)+uint64(count) >= memtable.MaxSpan {
		return false
	}
	if m.arena.Size()+m.reserved+need > m.arena.Capacity() {
		return false
	}
	m.reserved += need
	return true
}

// insert adds the records of a batch whose room was reserved.
func (m *memTable) insert(in *memtable.Inserter, r batchReader, seq keys.SeqNum) error {
	for ; r.next(); seq++ {
		if r.kind == keys.KindRangeDelete {
			if err := m.insertRange(r, seq); err != nil {
				return err
			}
			continue
		}
		if err := m.points.Add(in, r.key, uint64(seq), uint8(r.kind), r.value); err != nil {
			return fmt.Errorf("lsm: insert record with sequence number %d: %w", seq, err)
		}
	}
	return r.err
}

// insertRange adds a range tombstone, unless its range is empty. Values older than
// it are no longer overwritten: the new ones would be hidden, too.
func (m *memTable) insertRange(r batchReader, seq keys.SeqNum) error {
	if m.cmp.Compare(r.key, r.value) >= 0 {
		return nil
	}
	m.points.KeepUpTo(uint64(seq))
	var in memtable.Inserter
	in.Seed(uint64(seq))
	return m.ranges.Add(&in, r.key, uint64(seq), uint8(r.kind), r.value)
}

// empty reports whether nothing was written yet.
func (m *memTable) empty() bool { return m.points.Len() == 0 && m.ranges.Len() == 0 }

// tombstones returns the range tombstones in fragments. O(n log n) after a range
// deletion, O(1) otherwise.
func (m *memTable) tombstones() fragments {
	n := m.ranges.Len()
	if n == 0 {
		return nil
	}
	if c := m.frags.Load(); c != nil && c.n == n {
		return c.frags
	}
	var ts []tombstone
	it := m.ranges.Iter()
	for ok := it.First(); ok; ok = it.Next() {
		ts = append(ts, tombstone{start: it.Key(), end: it.Value(), seq: keys.SeqNum(it.Seq())})
	}
	c := &fragmentCache{n: len(ts), frags: fragment(m.cmp, ts)}
	m.frags.Store(c)
	return c.frags
}

func (m *memTable) ref() { m.refs.Add(1) }

// unref gives up a reference; the last one returns the region to the pool.
func (m *memTable) unref() {
	if m.refs.Add(-1) == 0 {
		m.pool.put(m)
	}
}

// A memPool owns the regions of the memtables and keeps their sum within the
// store's share. Safe for concurrent use.
type memPool struct {
	opts *Options

	mu    sync.Mutex
	free  []*arena.Region
	bytes int // of all regions, free ones included
	limit int // 0: none
}

func newMemPool(o *Options, limit int) *memPool {
	return &memPool{opts: o, limit: limit}
}

// get makes a memtable with room for at least size bytes, or returns nil when the
// share is used up for now. The caller owns one reference.
func (p *memPool) get(size int, seq keys.SeqNum, logNum uint64) (*memTable, error) {
	size = max(size+memOverhead, p.opts.WriteBufferSize)
	r, err := p.region(size)
	if r == nil || err != nil {
		return nil, err
	}
	m := &memTable{pool: p, region: r, cmp: p.opts.Comparer, logNum: logNum, baseSeq: seq,
		special: size > p.opts.WriteBufferSize, arena: memtable.NewArena(r.Bytes())}
	compare := memtable.Compare(p.opts.Comparer.Compare)
	if p.opts.Comparer.IsBytewise() {
		compare = nil
	}
	if m.points, err = memtable.NewSkipList(m.arena, compare, uint64(seq)); err == nil {
		m.ranges, err = memtable.NewSkipList(m.arena, compare, uint64(seq))
	}
	if err != nil {
		return nil, err
	}
	if p.opts.InPlaceUpdate {
		m.points.EnableInPlace()
	}
	m.refs.Store(1)
	return m, nil
}

// memOverhead is what a memtable takes before its first entry.
const memOverhead = 256

// region takes a free region of size bytes or reserves one, nil if that would
// pass the limit.
func (p *memPool) region(size int) (*arena.Region, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 && size == p.opts.WriteBufferSize {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		return r, nil
	}
	if room := p.limit - p.opts.WriteBufferSize; p.limit > 0 && size > room && size > p.opts.WriteBufferSize {
		return nil, fmt.Errorf("%w: a batch that takes %d bytes, the memtables' share leaves %d", ErrMemoryLimit, size, room)
	}
	for p.limit > 0 && p.bytes+size > p.limit && len(p.free) > 0 {
		if err := p.drop(); err != nil {
			return nil, err
		}
	}
	if p.limit > 0 && p.bytes+size > p.limit {
		return nil, nil
	}
	r, err := reserveCommitted(size, p.opts.memory())
	if err != nil {
		return nil, err
	}
	p.bytes += size
	return r, nil
}

// drop releases one free region.
func (p *memPool) drop() error {
	r := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.bytes -= r.Size()
	return r.Close()
}

// put takes back the region of a memtable that nobody reads any more.
func (p *memPool) put(m *memTable) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, m.region)
	if m.special || len(p.free) > p.opts.MaxWriteBuffers {
		_ = p.drop() // nothing is lost by a failed unmap
	}
}

// held returns the bytes of all regions.
func (p *memPool) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// close releases the free regions.
func (p *memPool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	for len(p.free) > 0 {
		if err := p.drop(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// hugeFrom is the size from which a memtable asks for huge pages: a search touches
// a page at every step, and the rounding is lost in the size.
const hugeFrom = 8 << 20

// reserveCommitted reserves a region and commits all of it.
func reserveCommitted(size int, mem arena.Options) (*arena.Region, error) {
	mem.HugePages = size >= hugeFrom
	r, err := arena.Reserve(size, &mem)
	if err != nil {
		return nil, err
	}
	if err := r.Commit(0, size); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// memory says how the store's regions are made.
func (o *Options) memory() arena.Options {
	return arena.Options{Backing: o.Backing, Guard: o.guard, Pager: o.pager}
}

// A memIter walks a memtable by internal key.
type memIter struct {
	it    memtable.Iter
	key   []byte // internal key of the entry, rebuilt at each step
	valid bool
}

func (m *memTable) newIter() *memIter { return &memIter{it: m.points.Iter()} }

func (i *memIter) stand(ok bool) bool {
	i.valid = ok
	if ok {
		i.key = keys.Append(i.key[:0], i.it.Key(), keys.SeqNum(i.it.Seq()), keys.Kind(i.it.Kind()))
	}
	return ok
}

func (i *memIter) First() bool { return i.stand(i.it.First()) }
func (i *memIter) Last() bool  { return i.stand(i.it.Last()) }
func (i *memIter) Next() bool  { return i.stand(i.it.Next()) }
func (i *memIter) Prev() bool  { return i.stand(i.it.Prev()) }

func (i *memIter) SeekGE(k []byte) bool {
	return i.stand(i.it.SeekGE(keys.User(k), uint64(keys.SeqOf(k)), uint8(keys.KindOf(k))))
}

func (i *memIter) SeekLT(k []byte) bool {
	return i.stand(i.it.SeekLT(keys.User(k), uint64(keys.SeqOf(k)), uint8(keys.KindOf(k))))
}

func (i *memIter) Valid() bool   { return i.valid }
func (i *memIter) Key() []byte   { return i.key }
func (i *memIter) Value() []byte { return i.it.Value() }
func (i *memIter) Err() error    { return nil }
func (i *memIter) Close() error  { return nil }
