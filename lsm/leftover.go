package lsm

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// lostDir is where damaged logs go that were not replayed whole.
const lostDir = "lost"

// excuseCut decides whether a MANIFEST whose last edit was cut may be opened
// without it: only if the edit was provably never acted on. An edit is acted on by
// removing the logs and tables that it makes obsolete, or, if it took in a table, by a
// record in the log. So the log and the tables that the readable edits name must still
// be there, and the log go on where they end, which was checked before, and each
// finished table that no readable edit names must hold
//
//   - nothing newer than what the named tables hold: a compaction of theirs that the
//     cut edit was to record, or an old table that a power failure brought back
//   - or nothing but what the logs hold: a flush that the cut edit was to record
//   - or nothing that is not newer than everything: a table that was being taken in
func (d *DB) excuseCut(s *survey, r *replay) error {
	fail := func(format string, args ...any) error {
		return &corrupt.Error{File: filename.MakeManifest(s.manifest), Kind: corrupt.Manifest, Off: -1,
			Err: fmt.Errorf("an edit at its end was cut (%w), and it may have been acted on: %w", s.cut, fmt.Errorf(format, args...))}
	}
	for num, name := range s.tables {
		if s.named[num] {
			continue
		}
		done, err := d.isFinished(name)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		lo, hi, err := d.seqRange(num, name)
		if err != nil {
			return err
		}
		inTables := hi <= s.lastSeq
		inLogs := r.first != 0 && lo >= r.first && hi <= r.last
		if !inTables && !inLogs && lo <= max(s.lastSeq, r.last) {
			return fail("table %s holds sequence numbers %d to %d, the logs %d to %d", name, lo, hi, r.first, r.last)
		}
	}
	return nil
}

// seqRange returns the smallest and the largest sequence number in a table.
func (d *DB) seqRange(num uint64, name string) (lo, hi keys.SeqNum, err error) {
	info, err := d.dir.Stat(name)
	if err != nil {
		return 0, 0, err
	}
	f := &fileMeta{num: num, size: uint64(info.Size), old: name == filename.MakeOldTable(num)}
	o, err := d.tables.get(f)
	if err != nil {
		return 0, 0, err
	}
	defer d.tables.forget(f)
	defer func() { err = errors.Join(err, o.unref()) }()
	if p := o.reader.Properties(); p.Present {
		return p.MinSeq, p.MaxSeq, nil
	}
	it := o.reader.NewIter(nil)
	lo = keys.MaxSeqNum
	for ok := it.First(); ok; ok = it.Next() {
		lo, hi = min(lo, keys.SeqOf(it.Key())), max(hi, keys.SeqOf(it.Key()))
	}
	return lo, hi, errors.Join(it.Err(), it.Close())
}

// removeLeftovers removes what is provably obsolete now that a new MANIFEST is
// live: older MANIFESTs, temporary files, logs that were replayed whole, tables
// that the MANIFEST's numbering is past but that it does not name, and tables
// that were never finished. Everything else is left, and reported.
func (d *DB) removeLeftovers(s *survey) error {
	live := map[uint64]bool{}
	for _, files := range d.version.levels {
		for _, f := range files {
			live[f.num] = true
		}
	}
	for _, n := range s.manifests {
		if n < d.manifest.num {
			d.removeLeftover(filename.MakeManifest(n))
		}
	}
	for _, name := range s.temps {
		d.removeLeftover(name)
	}
	if err := d.removeOldLogs(s); err != nil {
		return err
	}
	for num, name := range s.tables {
		if live[num] {
			continue
		}
		done, err := d.isFinished(name)
		if err != nil {
			return err
		}
		if done && num >= s.next {
			d.recovery.Orphans = append(d.recovery.Orphans, name)
			d.log("a finished table that nothing names is left alone", "file", name)
			continue
		}
		d.removeLeftover(name)
	}
	d.recovery.Unknown = s.unknown
	return nil
}

// removeOldLogs removes the logs that tables cover. One that was not replayed
// whole, for damage in its middle, is moved aside.
func (d *DB) removeOldLogs(s *survey) error {
	keep := map[string]bool{}
	if m := d.opts.Recovery; m == PointInTime || m == Salvage {
		for _, l := range d.recovery.Logs {
			keep[l.Name] = len(l.Damage) > 0
		}
	}
	for _, n := range s.logs {
		name := filename.MakeLog(n)
		if !keep[name] {
			d.removeLeftover(name)
			continue
		}
		if err := d.dir.Mkdir(lostDir); err != nil {
			return err
		}
		if err := d.dir.Rename(name, lostDir+"/"+name); err != nil {
			return err
		}
		d.recovery.Kept = append(d.recovery.Kept, lostDir+"/"+name)
	}
	return nil
}

// removeLeftover removes a file; that it stays is no failure, since the next Open
// tries again.
func (d *DB) removeLeftover(name string) {
	if err := d.dir.Remove(name); err != nil {
		d.log("cannot remove an obsolete file", "file", name, "err", err)
		return
	}
	d.recovery.Removed = append(d.recovery.Removed, name)
	d.emit(Event{Kind: FileRemoved, Name: name})
}
