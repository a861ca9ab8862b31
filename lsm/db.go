package lsm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/memtable"
	"github.com/memlab-go/memlab/lsm/vfs"
)

var errNotExist = fs.ErrNotExist

// SeqNum orders the writes of a store: the first has 1, and none is ever used twice.
type SeqNum = keys.SeqNum

// A DB is an open store. Safe for concurrent use.
type DB struct {
	// Who guards what, and in which order locks are taken:
	//
	//	commit leader    wal, ins, lastSeq, memTable.reserved, and who may rotate
	//	manifestMu       manifest; held while a version is made from the current one
	//	mu               mem, imms, version, liveLog, liveLogSeq, compactPtr, compactingL0, closing,
	//	                 bgErr, bgFailed, outputs, logs, fileMeta.compacting
	//	stateMu          state
	//	snapMu           snapshots, and who opens iterators, against Close

	opts *Options
	cmp  *Comparer
	path string
	dir  vfs.Dir
	lock io.Closer

	commits    commitQueue
	commitPool sync.Pool
	seed       atomic.Uint64
	wal        *walWriter
	ins        memtable.Inserter
	lastSeq    keys.SeqNum
	visible    atomic.Uint64 // sequence number that new readers read at

	manifestMu sync.Mutex
	manifest   *manifestWriter
	nextFile   atomic.Uint64

	mu           sync.Mutex
	change       *sync.Cond // something in the background moved on
	mem          *memTable
	imms         []*memTable // full, oldest first
	version      *version
	liveLog      uint64      // oldest log that is needed
	liveLogSeq   keys.SeqNum // its first sequence number
	compactPtr   [numLevels][]byte
	compactingL0 bool
	closing      bool
	bgErr        [numBackground]error  // why the last work of a kind failed, nil if it did not
	bgFailed     [numBackground]uint64 // how often work of a kind has failed
	outputs      map[uint64]bool       // tables being written, in no version yet
	logs         []uint64              // logs in the directory

	stateMu    sync.RWMutex
	state      *readState
	unreadable bool // Close has taken the state: there is no other
	liveStates sync.WaitGroup
	openIters  atomic.Int64

	snapMu    sync.Mutex
	snapshots snapshotList

	tables   *openTables
	cache    *cache.Cache
	blocks   *blockHeap
	pool     *memPool
	logMem   *arena.Region
	logBuf   []byte
	getters  *sync.Pool
	batches  sync.Pool
	iterPool sync.Pool // *iterParts
	bucket   *tokenBucket
	counters counters
	eventMu  sync.Mutex

	obsolete   obsoleteFiles
	background sync.WaitGroup
	closeCh    chan struct{}
	closed     atomic.Bool   // set under snapMu
	closeDone  chan struct{} // the Close that closed the store has ended
	fatal      atomic.Pointer[error]
	recovery   RecoveryReport
	recovered  *replay // between the steps of Open
}

// The kinds of background work that can fail.
const (
	errFlush = iota
	errCompaction
	numBackground
)

// Put stores value under key at the store's default durability. See [DB.Apply].
func (d *DB) Put(key, value []byte) error {
	return d.one(keys.KindSet, key, value)
}

// Delete removes key, which need not exist. See [DB.Apply].
func (d *DB) Delete(key []byte) error {
	return d.one(keys.KindDelete, key, nil)
}

// DeleteRange removes every key in [lo, hi) at the cost of one write. An empty
// range removes nothing; one that ends before it starts is [ErrBadRange].
//
// The record is RocksDB's, as LevelDB has none: LevelDB's own tools refuse a log
// that holds one, and do not see it in a table, until a compaction of everything
// (CompactRange(nil, nil)) has carried the deletion out.
func (d *DB) DeleteRange(lo, hi []byte) error {
	if d.cmp.Compare(lo, hi) > 0 {
		return fmt.Errorf("%w: from %q to %q", ErrBadRange, lo, hi)
	}
	return d.one(keys.KindRangeDelete, lo, hi)
}

// one applies a batch of one record.
func (d *DB) one(kind keys.Kind, key, value []byte) error {
	b, _ := d.batches.Get().(*Batch)
	if b == nil {
		b = new(Batch)
	}
	b.Reset()
	b.add(kind, key, value)
	err := d.Apply(b, nil)
	if cap(b.rep) <= 64<<10 {
		d.batches.Put(b)
	}
	return err
}

// writable says why the store does not take writes, or nil.
func (d *DB) writable() error {
	if d.closed.Load() {
		return ErrClosed
	}
	if p := d.fatal.Load(); p != nil {
		return *p
	}
	if d.opts.ReadOnly {
		return ErrReadOnly
	}
	return nil
}

// Recovery says what Open found and did.
func (d *DB) Recovery() RecoveryReport { return d.recovery }

// Path returns the directory as it was passed to Open.
func (d *DB) Path() string { return d.path }

// Close ends the background work, brings buffered writes to the operating system
// and releases everything. Calls that are under way end first or return
// [ErrClosed]. With open iterators or snapshots it does nothing and returns
// [ErrBusy]: close them, then close again. Once closed, it returns nil; while
// another Close is at work, after that one.
func (d *DB) Close() error {
	if first, err := d.claimClose(); !first {
		return err
	}
	defer close(d.closeDone)
	close(d.closeCh)
	d.mu.Lock()
	d.closing = true
	d.change.Broadcast()
	d.mu.Unlock()
	d.background.Wait()
	err := d.exclusive(d.closeLog)
	return errors.Join(err, d.releaseAll())
}

// claimClose makes the store closed and reports whether the caller is to do the rest.
// From then on no iterator or snapshot is opened.
func (d *DB) claimClose() (first bool, err error) {
	d.snapMu.Lock()
	if d.closed.Load() {
		d.snapMu.Unlock()
		<-d.closeDone
		return false, nil
	}
	defer d.snapMu.Unlock()
	if iters, snaps := d.openIters.Load(), d.snapshots.n; iters > 0 || snaps > 0 {
		return false, fmt.Errorf("%w: %d iterators, %d snapshots", ErrBusy, iters, snaps)
	}
	d.closed.Store(true)
	return true, nil
}

// openIter counts an iterator that is being opened, or fails with ErrClosed.
func (d *DB) openIter() error {
	d.snapMu.Lock()
	defer d.snapMu.Unlock()
	if d.closed.Load() {
		return ErrClosed
	}
	d.openIters.Add(1)
	return nil
}

// closeLog writes out and closes the log, if there still is one, once nobody commits
// any more.
func (d *DB) closeLog() error {
	w := d.wal
	d.wal = nil
	if w == nil {
		return nil
	}
	if d.fatal.Load() != nil { // nothing may follow what has failed
		return w.f.Close()
	}
	return w.close()
}

// closeState takes the current read state away and waits for those who read.
func (d *DB) closeState() {
	d.stateMu.Lock()
	rs := d.state
	d.state, d.unreadable = nil, true
	d.stateMu.Unlock()
	if rs != nil {
		rs.unref()
	}
	d.liveStates.Wait()
}

// releaseAll frees what an open store holds, as far as it was made.
func (d *DB) releaseAll() error {
	errs := []error{d.closeLog()}
	d.closeState()
	if d.mem != nil {
		d.mem.unref()
	}
	for _, m := range d.imms {
		m.unref()
	}
	if d.recovered != nil {
		d.recovered.discard()
	}
	if d.manifest != nil { // it was open for writing; the current version stays referenced, its files are live
		errs = append(errs, d.removeObsolete())
	}
	if d.tables != nil {
		errs = append(errs, d.tables.close())
	}
	if d.manifest != nil {
		errs = append(errs, d.manifest.f.Close())
	}
	if d.cache != nil {
		errs = append(errs, d.cache.Close())
	}
	if d.blocks != nil {
		errs = append(errs, d.blocks.close())
	}
	if d.pool != nil {
		errs = append(errs, d.pool.close())
	}
	if d.logMem != nil {
		errs = append(errs, d.logMem.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(append(errs, d.dir.Close())...)
}
