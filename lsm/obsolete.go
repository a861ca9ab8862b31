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
}

// retireTable notes that no version holds f. It may be called under any lock but
// its own.
func (o *obsoleteFiles) retireTable(f *fileMeta) {
	o.mu.Lock()
	o.tables = append(o.tables, f)
	o.mu.Unlock()
}

func (o *obsoleteFiles) retireName(names ...string) {
	o.mu.Lock()
	o.names = append(o.names, names...)
	o.mu.Unlock()
}

// take empties the lists.
func (o *obsoleteFiles) take() ([]*fileMeta, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, n := o.tables, o.names
	o.tables, o.names = nil, nil
	return t, n
}

func (o *obsoleteFiles) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.tables)+len(o.names) == 0
}

// loop removes files until the store closes.
func (o *obsoleteFiles) loop() {
	d := o.d
	defer d.background.Done()
	for {
		d.mu.Lock()
		for o.empty() && !d.closing {
			d.change.Wait()
		}
		closing := d.closing
		d.mu.Unlock()
		if closing {
			return
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
		if d.tables != nil {
			d.tables.forget(f)
		}
		names = append(names, f.name())
	}
	if d.fatal.Load() != nil || d.opts.ReadOnly || d.manifest == nil {
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
	d.change.Broadcast()
}
