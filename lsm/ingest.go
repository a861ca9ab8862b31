package lsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
)

// IngestTable takes in what the sorted tables at paths hold, as [NewTableWriter]
// makes them, all or nothing, as if it were written by one batch: it hides older
// entries of its keys, and later writes hide it. If a key is in several of the
// tables the last one counts. The files stay as they are.
//
// LevelDB's format keeps a sequence number with each entry, so the entries are
// copied to tables of the store's own. Writes wait meanwhile, reads do not. When
// IngestTable returns nil the data is durable. O(size of the tables).
//
// Errors: a [*CorruptionError], [ErrOptions] if a table is sorted by another order,
// those of Apply, and what the file system said; the store is unchanged then, unless
// the error is [ErrReadOnly]: a store that latches may hold the tables when it is
// opened again.
func (d *DB) IngestTable(paths ...string) error {
	let, err := d.hold()
	if err != nil {
		return err
	}
	defer let()
	in := &ingestion{d: d}
	defer in.close()
	for _, p := range paths {
		if err := in.open(p); err != nil {
			return fmt.Errorf("lsm: ingest %s: %w", p, err)
		}
	}
	if len(paths) == 0 {
		return d.writable()
	}
	return d.exclusive(in.run)
}

// An ingestion is an IngestTable on its way.
type ingestion struct {
	d      *DB
	tables []*table.Reader
}

// open opens one of the tables.
func (in *ingestion) open(path string) error {
	d := in.d
	dir, err := d.opts.FS.OpenDir(filepath.Dir(path), false)
	if err != nil {
		return err
	}
	f, err := dir.Open(filepath.Base(path))
	if err = errors.Join(err, dir.Close()); err != nil {
		if f != nil {
			err = joinClose(err, f)
		}
		return err
	}
	r, err := table.Open(f, &table.ReaderOptions{Comparer: d.opts.Comparer, Cache: d.cache, FileName: filepath.Base(path)})
	if errors.Is(err, table.ErrComparer) {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err == nil {
		in.tables = append(in.tables, r)
	}
	return err
}

func (in *ingestion) close() {
	for _, r := range in.tables {
		_ = r.Close() // it was only read
	}
}

// run copies the tables, while nobody commits: memtables are flushed first, so
// that on level 0 the copies are newer than all there is.
func (in *ingestion) run() error {
	d := in.d
	if err := d.writable(); err != nil {
		return err
	}
	if d.lastSeq > keys.MaxSeqNum-keys.SeqNum(len(in.tables)) {
		return fmt.Errorf("%w: the sequence numbers are used up, the last one was %d", ErrReadOnly, d.lastSeq)
	}
	if !d.mem.empty() {
		if err := d.rotate(0); err != nil {
			return err
		}
	}
	defer d.stalled("a table is taken in")()
	w := waiter{d: d, kind: errFlush, since: d.failures(errFlush)}
	if err := w.wait(func() (bool, error) { return !d.hasImms(), nil }); err != nil {
		return err
	}
	files, err := in.copy()
	if err != nil {
		return fmt.Errorf("lsm: ingest: %w", err)
	}
	if err := d.installIngested(files, d.lastSeq+keys.SeqNum(len(in.tables))); err != nil {
		d.dropUnlessUnknown(files, err)
		return err
	}
	d.outputsDone(files)
	d.counters.ingested.Add(totalSize(files))
	d.wakeBackground()
	return nil
}

func (d *DB) hasImms() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.imms) > 0
}

// copy writes each table again, with one sequence number for all its entries.
func (in *ingestion) copy() (files []*fileMeta, err error) {
	d := in.d
	for i, r := range in.tables {
		seq := d.lastSeq + 1 + keys.SeqNum(i)
		ts, err := rangeDeletes(r)
		own := fragment(d.cmp, slices.Clone(ts))
		for j := range ts {
			ts[j].seq = seq
		}
		var out []*fileMeta
		if err == nil {
			it := &stampedIter{Iterator: r.NewIter(&table.IterOptions{NoCache: true}), cmp: d.cmp, seq: seq, frags: own}
			job := &compactionJob{d: d, input: it, ranges: ts, keep: func(lo, hi []byte) bool { return true }}
			out, err = job.run()
		}
		if err != nil {
			d.dropOutputs(files)
			return nil, err
		}
		files = append(files, out...)
	}
	return files, nil
}

// installIngested makes the copies live and raises the sequence number. The log,
// which is empty, begins behind it.
func (d *DB) installIngested(files []*fileMeta, last keys.SeqNum) error {
	m, err := d.pool.get(0, last+1, d.wal.num)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("%w: no memtable is free", ErrMemoryLimit)
	}
	e, fresh := addTo(0, files)
	d.mu.Lock()
	d.stamp(e, d.wal.num, last)
	d.mu.Unlock()
	old := d.mem
	err = d.logEdit(e, fresh, func() {
		d.mem = m
		d.liveLog, d.liveLogSeq = d.wal.num, last+1
		d.visible.Store(uint64(last))
	})
	if err != nil {
		m.unref()
		return err
	}
	old.unref()
	d.lastSeq = last
	return d.markIngested()
}

// markIngested puts an empty batch into the log, numbered behind the tables that were
// taken in: they are in no log, and by this record recovery can tell that the edit
// which named them was acted on, should the MANIFEST lose its end. That it cannot be
// written costs no more than that.
func (d *DB) markIngested() error {
	mark := d.wal.mark()
	rep := binary.LittleEndian.AppendUint64(make([]byte, 0, batchHeader), uint64(d.lastSeq+1))
	rep = binary.LittleEndian.AppendUint32(rep, 0)
	err := d.wal.append(rep)
	if err == nil {
		err = d.wal.flush()
	}
	if err != nil {
		err = d.logFailed(mark, err)
		d.log("a table was taken in without a mark in the log", "err", err)
		if errors.Is(err, ErrReadOnly) {
			return err
		}
		return nil
	}
	if err := d.wal.sync(); err != nil {
		return d.latch(fmt.Errorf("fsync of %s: %w", d.wal.name, err))
	}
	return nil
}

// A stampedIter gives every key's newest entry the same new sequence number, and
// leaves out the others, as well as those that a range tombstone of their own
// table hides. It only goes forward.
type stampedIter struct {
	*table.Iterator
	cmp   *Comparer
	seq   keys.SeqNum
	frags fragments // of the table
	key   []byte
	last  []byte // user key that was seen last
}

func (s *stampedIter) First() bool { return s.settle(s.Iterator.First(), false) }
func (s *stampedIter) Next() bool  { return s.settle(s.Iterator.Next(), true) }

// settle moves on to an entry that counts. With skipping, those of the user key
// s.last do not.
func (s *stampedIter) settle(ok, skipping bool) bool {
	for ; ok; ok = s.Iterator.Next() {
		k := s.Iterator.Key()
		user := keys.User(k)
		if skipping && s.cmp.Compare(user, s.last) == 0 {
			continue
		}
		s.last, skipping = append(s.last[:0], user...), true
		if s.frags.covering(s.cmp, user, keys.MaxSeqNum) <= keys.SeqOf(k) {
			s.key = keys.Append(s.key[:0], user, s.seq, keys.KindOf(k))
			return true
		}
	}
	return false
}

func (s *stampedIter) Key() []byte { return s.key }
