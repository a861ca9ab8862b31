package lsm

import (
	"errors"
	"sync"

	"github.com/memlab-go/memlab/lsm/internal/filename"
)

// obsoleteFiles is what may be removed: tables that no version holds, logs whose
// entries are in tables, MANIFESTs that CURRENT no longer names. They are removed
// in the background, and what fails is tried again at the next Open.
type obsoleteFiles struct {
	d      *DB
	mu     sync.Mutex
	tables []*fileMeta
	names  []string
	more   chan struct{} // capacity 1: something was listed
}

// retireTable notes that no version holds f. It may be called under any lock but
// its own.
func (o *obsoleteFiles) retireTable(f *fileMeta) {
	o.mu.Lock()
	o.tables = append(o.tables, f)
	o.mu.Unlock()
	o.wake()
}

func (o *obsoleteFiles) retireName(names ...string) {
	o.mu.Lock()
	o.names = append(o.names, names...)
	o.mu.Unlock()
	o.wake()
}

// wake tells the loop. Who lets go of a table last may hold any lock, so it does not wait.
func (o *obsoleteFiles) wake() {
	select {
	case o.more <- struct{}{}:
	default: // it has been told
	}
}

// take empties the lists.
func (o *obsoleteFiles) take() ([]*fileMeta, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, n := o.tables, o.names
	o.tables, o.names = nil, nil
	return t, n
}

// loop removes files until the store closes.
func (o *obsoleteFiles) loop() {
	d := o.d
	defer d.background.Done()
	for {
		select {
		case <-d.closeCh:
			return
		case <-o.more:
		}
		if err := d.removeObsolete(); err != nil {
			d.log("cannot remove obsolete files; the next Open tries again", "err", err)
		}
	}
}

// removeObsolete removes what is listed. A store that has latched removes
// nothing: the edit that made a file obsolete may not be on the disk.
func (d *DB) removeObsolete() error {
	tables, names := d.obsolete.take()
	var errs []error
	for _, f := range tables {
		d.tables.forget(f)
		names = append(names, f.name())
	}
	if d.fatal.Load() != nil {
		return nil
	}
	for _, name := range names {
		if err := d.dir.Remove(name); err != nil {
			errs = append(errs, err)
			continue
		}
		d.emit(Event{Kind: FileRemoved, Name: name})
	}
	return errors.Join(errs...)
}

// retireManifest notes that CURRENT names another MANIFEST.
func (d *DB) retireManifest(num uint64) { d.obsolete.retireName(filename.MakeManifest(num)) }

// addLog notes a log that will be obsolete one day.
func (d *DB) addLog(num uint64) {
	d.mu.Lock()
	d.logs = append(d.logs, num)
	d.mu.Unlock()
}

// retireLogs notes that logs below num are covered by tables.
func (d *DB) retireLogs(num uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keep []uint64
	for _, n := range d.logs {
		if n < num {
			d.obsolete.retireName(filename.MakeLog(n))
		} else {
			keep = append(keep, n)
		}
	}
	d.logs = keep
}
