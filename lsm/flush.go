package lsm

import (
	"fmt"
	"slices"
	"time"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
)

// retryDelay is how long the flusher waits after a failure before it tries again.
const retryDelay = 50 * time.Millisecond

// rotate makes a new memtable, with room for a batch of need bytes, and a new log,
// and hands the old memtable to the flusher. The caller leads the commit queue.
//
// The old log is synced first: a later log may only hold what comes after
// everything that is durable of an earlier one, or a power loss would leave a
// hole instead of a missing suffix.
func (d *DB) rotate(need int) error {
	next, err := d.waitForMemtable(need)
	if err != nil {
		return err
	}
	installed := false
	defer func() { // also when a listener does not return
		if !installed {
			next.unref()
		}
	}()
	if d.mem.empty() { // one batch larger than a memtable, or numbers ran out
		next.logNum, installed = d.mem.logNum, true
		return d.swapMemtable(next, nil)
	}
	if err := d.finishLog(); err != nil {
		return err
	}
	w, err := d.createLog(d.newFileNum())
	if err != nil {
		return fmt.Errorf("lsm: new log: %w", err)
	}
	next.logNum, installed = w.num, true
	return d.swapMemtable(next, w)
}

// finishLog brings the current log to the disk.
func (d *DB) finishLog() error {
	mark := d.wal.mark()
	if err := d.wal.flush(); err != nil {
		return d.logFailed(mark, err)
	}
	if err := d.wal.sync(); err != nil {
		return d.latch(fmt.Errorf("fsync of %s: %w", d.wal.name, err))
	}
	return nil
}

// swapMemtable installs a new memtable and, if w is not nil, its log.
func (d *DB) swapMemtable(next *memTable, w *walWriter) error {
	var err error
	if w != nil {
		err = d.wal.f.Close()
		d.wal = w
	}
	d.mu.Lock()
	old := d.mem
	d.mem = next
	if w != nil {
		d.imms = append(d.imms, old)
	}
	d.publish()
	if w == nil {
		old.unref()
	}
	d.mu.Unlock()
	d.wakeBackground()
	return err
}

// waitForMemtable gets an empty memtable, waiting for flushes and readers while
// the share of the memtables is used up.
func (d *DB) waitForMemtable(need int) (m *memTable, err error) {
	m, err = d.tryMemtable(need)
	if m != nil || err != nil {
		return m, err
	}
	returned := false
	defer func() { // a listener may not return
		if !returned && m != nil {
			m.unref()
		}
	}()
	ended := d.stalled("memtables are full")
	w := waiter{d: d, kind: errFlush, until: time.Now().Add(d.opts.StallLimit), state: "memtables are full and cannot be flushed"}
	err = w.wait(func() (bool, error) {
		m, err = d.tryMemtable(need)
		return m != nil, err
	})
	ended()
	returned = true
	if err == errTooLong {
		return nil, fmt.Errorf("%w: memtables are full after %v: flushes are too slow, or iterators hold old memtables",
			ErrMemoryLimit, d.opts.StallLimit)
	}
	return m, err
}

func (d *DB) tryMemtable(need int) (*memTable, error) {
	d.mu.Lock()
	full := len(d.imms) >= d.opts.MaxWriteBuffers-1 && !d.mem.empty()
	d.mu.Unlock()
	if full {
		return nil, nil
	}
	return d.pool.get(need, d.lastSeq+1, 0)
}

// flushLoop writes full memtables to level 0, oldest first, until the store
// closes.
func (d *DB) flushLoop() {
	defer d.background.Done()
	for {
		d.mu.Lock()
		for len(d.imms) == 0 && !d.closing {
			d.change.Wait()
		}
		if d.closing {
			d.mu.Unlock()
			return
		}
		m := d.imms[0]
		d.mu.Unlock()
		err := d.writable()
		if err == nil {
			err = d.flushMemtable(m)
		}
		d.setBackgroundError(errFlush, err)
		if err != nil && !d.pause(retryDelay) {
			return
		}
	}
}

// flushMemtable writes m, the oldest memtable that is not being written, to a
// table on level 0 and retires its log.
func (d *DB) flushMemtable(m *memTable) error {
	start := time.Now()
	d.emit(Event{Kind: FlushBegin, Bytes: int64(m.arena.Size())})
	files, err := d.writeMemtable(m)
	if err != nil {
		d.emit(Event{Kind: FlushEnd, Err: err})
		return fmt.Errorf("lsm: flush: %w", err)
	}
	e, fresh := addTo(0, files)
	bytes := totalSize(files)
	d.mu.Lock()
	after := d.mem
	if len(d.imms) > 1 {
		after = d.imms[1]
	}
	d.stamp(e, after.logNum, after.baseSeq-1)
	d.mu.Unlock()
	err = d.logEdit(e, fresh, func() {
		d.imms = append(d.imms[:0:0], d.imms[1:]...)
		d.liveLog, d.liveLogSeq = after.logNum, after.baseSeq
	})
	if err != nil {
		d.dropUnlessUnknown(files, err)
		d.emit(Event{Kind: FlushEnd, Err: err})
		return err
	}
	m.unref()
	d.outputsDone(files)
	d.retireLogs(after.logNum)
	d.counters.flushes.Add(1)
	d.counters.flushBytes.Add(bytes)
	d.counters.flushNs.Add(int64(time.Since(start)))
	d.emit(Event{Kind: FlushEnd, Files: len(files), Bytes: int64(bytes), Took: time.Since(start)})
	d.wakeBackground()
	return nil
}

// addTo is the edit that adds files to a level.
func addTo(level int, files []*fileMeta) (*manifest.Edit, map[uint64]*fileMeta) {
	e, fresh := &manifest.Edit{}, map[uint64]*fileMeta{}
	for _, f := range files {
		e.Added = append(e.Added, f.meta(level))
		fresh[f.num] = f
	}
	return e, fresh
}

func totalSize(files []*fileMeta) (sum uint64) {
	for _, f := range files {
		sum += f.size
	}
	return sum
}

// writeMemtable writes the entries of m that anybody can still see to tables.
func (d *DB) writeMemtable(m *memTable) ([]*fileMeta, error) {
	job := &compactionJob{
		d:         d,
		input:     m.newIter(),
		ranges:    m.tombstones().tombstones(),
		snapshots: d.snapshotSeqs(),
		keep:      func(lo, hi []byte) bool { return true },
	}
	return job.run()
}

// Flush writes everything that was committed before to tables and waits until it
// is there. Errors are those of Apply and of the file system.
func (d *DB) Flush() error {
	var target *memTable
	err := d.exclusive(func() error {
		if err := d.writable(); err != nil {
			return err
		}
		if d.mem.empty() {
			d.mu.Lock()
			if n := len(d.imms); n > 0 {
				target = d.imms[n-1]
			}
			d.mu.Unlock()
			return nil
		}
		target = d.mem
		return d.rotate(0)
	})
	if err != nil || target == nil {
		return err
	}
	return d.waitFlushed(target)
}

// waitFlushed waits until m is no longer among the memtables.
func (d *DB) waitFlushed(m *memTable) error {
	w := waiter{d: d, kind: errFlush, since: d.failures(errFlush)}
	return w.wait(func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !slices.Contains(d.imms, m), nil
	})
}

// snapshotSeqs returns the sequence numbers that somebody may read at, oldest
// first, without the current one.
func (d *DB) snapshotSeqs() []keys.SeqNum {
	d.snapMu.Lock()
	defer d.snapMu.Unlock()
	return d.snapshots.seqs()
}
