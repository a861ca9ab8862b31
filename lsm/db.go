package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
//
// Who guards what, and in which order locks are taken:
//
//	commit leader    wal, ins, lastSeq, memTable.reserved, and who may rotate
//	manifestMu       manifest; held while a version is made from the current one
//	mu               mem, imms, version, liveLog, compactPtr, fileMeta.compacting
//	stateMu          state
//	snapMu           snapshots
type DB struct {
	opts *Options
	cmp  *Comparer
	path string
	dir  vfs.Dir
	lock io.Closer
	ctx  context.Context

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
	bgErr        [numBackground]error
	outputs      map[uint64]bool // tables being written, in no version yet

	stateMu    sync.RWMutex
	state      *readState
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
	bucket   *tokenBucket
	counters counters
	eventMu  sync.Mutex

	obsolete   obsoleteFiles
	background sync.WaitGroup
	closeCh    chan struct{}
	closed     atomic.Bool
	fatal      atomic.Pointer[error]
	recovery   RecoveryReport
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
	b, _ := d.batches().Get().(*Batch)
	if b == nil {
		b = new(Batch)
	}
	b.Reset()
	b.add(kind, key, value)
	err := d.Apply(b, nil)
	if cap(b.rep) <= 64<<10 {
		d.batches().Put(b)
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

// latch makes the store read-only for good, and returns the error that says why.
// The first reason stays.
func (d *DB) latch(cause error) error {
	err := fmt.Errorf("%w until it is opened again: %w", ErrReadOnly, cause)
	if d.fatal.CompareAndSwap(nil, &err) {
		d.emit(Event{Kind: Latched, Err: cause})
	}
	d.wakeBackground()
	return *d.fatal.Load()
}

// wakeBackground tells everybody who waits that something may have changed.
func (d *DB) wakeBackground() {
	d.mu.Lock()
	d.change.Broadcast()
	d.mu.Unlock()
}

// waitChange waits until something changes or the deadline passes, and reports
// whether there is time left.
func (d *DB) waitChange(deadline time.Time) bool {
	left := time.Until(deadline)
	if left <= 0 {
		return false
	}
	t := time.AfterFunc(min(left, 10*time.Millisecond), d.wakeBackground)
	defer t.Stop()
	d.mu.Lock()
	d.change.Wait()
	d.mu.Unlock()
	return true
}

// pause waits after a failure and reports whether the store is still open.
func (d *DB) pause(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.closeCh:
		return false
	}
}

func (d *DB) isClosing() bool {
	select {
	case <-d.closeCh:
		return true
	default:
		return false
	}
}

// setBackgroundError notes how the last background work of a kind ended.
func (d *DB) setBackgroundError(kind int, err error) {
	d.mu.Lock()
	d.bgErr[kind] = err
	d.change.Broadcast()
	d.mu.Unlock()
	if err != nil {
		d.counters.backgroundErrors.Add(1)
	}
}

// backgroundError returns why background work is failing, or nil.
func (d *DB) backgroundError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.bgErr[:]...)
}

// newFileNum gives out a file number.
func (d *DB) newFileNum() uint64 { return d.nextFile.Add(1) - 1 }

// newOutputNum gives out the number of a table and protects the file from being
// taken for an orphan.
func (d *DB) newOutputNum() uint64 {
	num := d.newFileNum()
	d.mu.Lock()
	d.outputs[num] = true
	d.mu.Unlock()
	return num
}

func (d *DB) outputDone(num uint64) {
	d.mu.Lock()
	delete(d.outputs, num)
	d.mu.Unlock()
}

func (d *DB) outputsDone(files []*fileMeta) {
	for _, f := range files {
		d.outputDone(f.num)
	}
}

// dropUnlessUnknown removes the outputs of a job whose edit failed, unless the
// edit may be on the disk after all.
func (d *DB) dropUnlessUnknown(files []*fileMeta, err error) {
	if !errors.Is(err, ErrReadOnly) {
		d.dropOutputs(files)
	}
}

// slowDown makes a commit group wait when compactions fall behind: a millisecond
// from L0SlowdownTrigger on, and at L0StopTrigger until there is room.
func (d *DB) slowDown() error {
	n := int(d.counters.l0Files.Load())
	if n < d.opts.L0SlowdownTrigger || d.opts.MaxCompactions < 0 {
		return nil
	}
	if n < d.opts.L0StopTrigger {
		defer d.stalled("level 0 grows")()
		d.waitChange(time.Now().Add(time.Millisecond))
		return nil
	}
	defer d.stalled("level 0 is full")()
	deadline := time.Now().Add(d.opts.StallLimit)
	for int(d.counters.l0Files.Load()) >= d.opts.L0StopTrigger {
		if err := errors.Join(d.writable(), d.backgroundError()); err != nil {
			return fmt.Errorf("lsm: level 0 is full and cannot be compacted: %w", err)
		}
		if !d.waitChange(deadline) {
			return fmt.Errorf("%w: level 0 is full after %v", ErrMemoryLimit, d.opts.StallLimit)
		}
	}
	return nil
}

// stalled counts a wait of the commit leader; the function it returns ends it.
func (d *DB) stalled(why string) func() {
	start := time.Now()
	d.counters.stalls.Add(1)
	d.emit(Event{Kind: StallBegin, Reason: why})
	return func() {
		took := time.Since(start)
		d.counters.stallNs.Add(int64(took))
		d.emit(Event{Kind: StallEnd, Reason: why, Took: took})
	}
}

// Recovery says what Open found and did.
func (d *DB) Recovery() RecoveryReport { return d.recovery }

// Path returns the directory as it was passed to Open.
func (d *DB) Path() string { return d.path }

// Close ends the background work, brings buffered writes to the operating system
// and releases everything. Calls that are under way end first or return
// [ErrClosed]. With open iterators or snapshots it does nothing and returns
// [ErrBusy]: close them, then close again. Once closed, it returns nil.
func (d *DB) Close() error {
	d.snapMu.Lock()
	iters, snaps := d.openIters.Load(), d.snapshots.n
	d.snapMu.Unlock()
	if !d.closed.Load() && (iters > 0 || snaps > 0) {
		return fmt.Errorf("%w: %d iterators, %d snapshots", ErrBusy, iters, snaps)
	}
	if d.closed.Swap(true) {
		return nil
	}
	close(d.closeCh)
	d.mu.Lock()
	d.closing = true
	d.change.Broadcast()
	d.mu.Unlock()
	d.background.Wait()
	err := d.exclusive(d.closeLog)
	d.stateMu.Lock()
	rs := d.state
	d.state = nil
	d.stateMu.Unlock()
	if rs != nil {
		rs.unref()
	}
	d.liveStates.Wait()
	return errors.Join(err, d.release())
}

// closeLog writes out and closes the log, once nobody commits any more.
func (d *DB) closeLog() error {
	if d.wal == nil {
		return nil
	}
	if d.fatal.Load() != nil { // nothing may follow what has failed
		return d.wal.f.Close()
	}
	return d.wal.close()
}

// release frees what an open store holds, as far as it was made.
func (d *DB) releaseAll() error {
	var errs []error
	if d.mem != nil {
		d.mem.unref()
	}
	for _, m := range d.imms {
		m.unref()
	}
	if d.version != nil {
		d.version.unref()
	}
	errs = append(errs, d.removeObsolete())
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
