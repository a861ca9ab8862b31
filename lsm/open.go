package lsm

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/memlab-go/memlab/lsm/internal/cache"
	"github.com/memlab-go/memlab/lsm/internal/filename"
)

// Open opens the store in dir, or makes one there if there is none. The caller
// closes it.
//
//  1. The directory is locked; whoever holds it already makes this [ErrLocked].
//  2. CURRENT names the MANIFEST, whose edits give the live tables.
//  3. Every live table is opened, so that a missing, cut or exchanged one is found
//     now: size, number, index, filter and bounds are checked, data blocks are not.
//  4. The logs that no table covers are replayed, under the rules of
//     [Options.Recovery], and written to tables.
//  5. A new MANIFEST and a new log are begun; what is obsolete is removed.
//
// Nothing that was there is changed before step 5, so an Open that fails or is cut
// short can be repeated. Damage is an [ErrCorrupt] that points at Repair.
func Open(dir string, o *Options) (_ *DB, err error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	vdir, err := opts.FS.OpenDir(dir, !opts.ReadOnly && !opts.MustExist)
	if err != nil {
		return nil, fmt.Errorf("lsm: open: %w", err)
	}
	d := newDB(dir, opts)
	d.dir = vdir
	opened := false
	defer func() {
		if !opened { // also when what the options name panics
			d.closed.Store(true)
			close(d.closeCh)
			err = errors.Join(err, d.releaseAll())
		}
	}()
	if err := d.openAll(); err != nil {
		if errors.Is(err, ErrCorrupt) {
			err = repairHint(dir, err)
		}
		return nil, err
	}
	d.start()
	opened = true
	return d, nil
}

// newDB makes a DB that has nothing open yet.
func newDB(path string, opts *Options) *DB {
	d := &DB{opts: opts, cmp: opts.Comparer, path: path,
		outputs: map[uint64]bool{}, closeCh: make(chan struct{}), closeDone: make(chan struct{}), getters: newGetterPool()}
	d.change = sync.NewCond(&d.mu)
	d.snapshots.init()
	d.commits.maxNeed = opts.WriteBufferSize - memOverhead
	d.pool = newMemPool(opts, opts.memtableLimit())
	d.bucket = newTokenBucket(opts.CompactionRate, time.Now)
	d.nextFile.Store(1)
	d.obsolete.d, d.obsolete.more = d, make(chan struct{}, 1)
	return d
}

// openAll does what Open says; what it leaves half done, releaseAll frees.
func (d *DB) openAll() error {
	if !d.opts.ReadOnly {
		lock, err := d.dir.Lock(filename.LockName)
		if err != nil {
			return fmt.Errorf("lsm: open %s: %w", d.path, err)
		}
		d.lock = lock
	}
	if err := d.openMemory(); err != nil {
		return fmt.Errorf("lsm: open %s: %w", d.path, err)
	}
	found, err := d.survey()
	if err != nil {
		return err
	}
	if err := d.recoverTables(found); err != nil {
		return err
	}
	if err := d.recoverLogs(found); err != nil {
		return err
	}
	if d.opts.ReadOnly {
		return d.startReadOnly()
	}
	return d.startWriting(found)
}

// openMemory makes the cache and the log buffer.
func (d *DB) openMemory() error {
	o := d.opts
	budget := o.BlockCacheSize + o.TablesSize
	var err error
	if d.blocks, err = newBlockHeap(budget, o.memory()); err != nil {
		return err
	}
	d.cache, err = cache.New(&cache.Options{
		Heap: d.blocks.shared, Region: d.blocks.region, Budget: budget - heapSlack(budget), BlockSize: o.BlockSize,
	})
	if err != nil {
		return err
	}
	d.tables = &openTables{dir: d.dir, opts: o, cache: d.cache, limit: o.MaxOpenFiles}
	if o.ReadOnly {
		return nil
	}
	if d.logMem, err = reserveCommitted(o.logBuffer(), o.memory()); err != nil {
		return err
	}
	d.logBuf = d.logMem.Bytes()
	return nil
}

// startWriting ends recovery: what the logs held goes to tables, a new log and a
// new MANIFEST begin, and obsolete files go.
func (d *DB) startWriting(found *survey) error {
	files, err := d.flushRecovered()
	if err != nil {
		return err
	}
	v, err := d.withFiles(files)
	if err != nil {
		return err
	}
	if d.wal, err = d.createLog(d.newFileNum()); err != nil {
		return fmt.Errorf("lsm: open %s: new log: %w", d.path, err)
	}
	m, err := d.pool.get(0, d.lastSeq+1, d.wal.num)
	if err != nil {
		return err
	}
	d.mem = m
	d.liveLog, d.liveLogSeq = d.wal.num, d.lastSeq+1
	d.manifestMu.Lock()
	err = d.newManifest(v, d.liveLog, d.lastSeq)
	d.manifestMu.Unlock()
	if err != nil {
		return fmt.Errorf("lsm: open %s: new MANIFEST: %w", d.path, err)
	}
	d.outputsDone(files)
	d.counters.l0Files.Store(int64(len(v.levels[0])))
	d.visible.Store(uint64(d.lastSeq))
	d.publish()
	return d.removeLeftovers(found)
}

// withFiles installs the version that has files on level 0 as well.
func (d *DB) withFiles(files []*fileMeta) (*version, error) {
	if len(files) == 0 {
		return d.version, nil
	}
	e, fresh := addTo(0, files)
	v, err := d.version.apply(d.cmp, e, fresh)
	if err != nil {
		return nil, err
	}
	d.version.unref()
	d.version = v
	return v, nil
}

// startReadOnly makes what was recovered readable where it is.
func (d *DB) startReadOnly() error {
	r := d.recovered
	d.recovered = nil
	if err := r.flush(); err != nil {
		r.discard()
		return err
	}
	d.visible.Store(uint64(d.lastSeq))
	d.publish()
	return nil
}

// start begins the background work.
func (d *DB) start() {
	if d.opts.ReadOnly {
		return
	}
	d.background.Add(2)
	go d.flushLoop()
	go d.obsolete.loop()
	for range max(0, d.opts.MaxCompactions) {
		d.background.Add(1)
		go d.compactLoop()
	}
}
