package lsm

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/record"
)

// A RecoveryReport says what Open found and what it did about it.
type RecoveryReport struct {
	Created     bool        `json:"created"`                // the store was made by this Open
	Logs        []LogReport `json:"logs"`                   // the logs that were replayed, oldest first
	ManifestCut string      `json:"manifest_cut,omitempty"` // what was wrong with the end of the MANIFEST, if an edit was cut there
	Orphans     []string    `json:"orphans,omitempty"`      // finished tables that nothing names, left alone
	Unknown     []string    `json:"unknown,omitempty"`      // files that are none of the store's, left alone
	Removed     []string    `json:"removed,omitempty"`      // obsolete files that were removed
	Kept        []string    `json:"kept,omitempty"`         // damaged logs, moved to the directory lost
}

// A LogReport says how the replay of one log went.
type LogReport struct {
	Name    string   `json:"name"`
	Batches int      `json:"batches"`
	Records int      `json:"records"`
	Bytes   int64    `json:"bytes"`            // of the file
	Dropped int64    `json:"dropped"`          // bytes at the end or across damage that were not replayed
	Damage  []string `json:"damage,omitempty"` // what was wrong there
	// CutShort says that the one thing wrong is that the file ends inside its last
	// record: a write that a crash interrupted, not bytes that went bad.
	CutShort bool `json:"cut_short,omitempty"`
}

// Damaged reports whether anything was left out.
func (r *RecoveryReport) Damaged() bool {
	return slices.ContainsFunc(r.Logs, func(l LogReport) bool { return len(l.Damage) > 0 })
}

// recoverTables makes the version that the MANIFEST describes and opens every
// table of it.
func (d *DB) recoverTables(s *survey) error {
	v := &version{retire: d.obsolete.retireTable}
	v.refs.Store(1)
	d.compactPtr = s.pointers
	for _, t := range s.live {
		name, ok := s.tables[t.Num]
		if !ok {
			return corrupt.New(filename.MakeTable(t.Num), corrupt.Table, -1, "the table is missing (level %d, %d bytes)", t.Level, t.Size)
		}
		f := &fileMeta{num: t.Num, size: t.Size, smallest: t.Smallest, largest: t.Largest, old: name == filename.MakeOldTable(t.Num)}
		if err := d.checkTable(f); err != nil {
			return err
		}
		f.refs.Store(1)
		v.levels[t.Level] = append(v.levels[t.Level], f)
		v.sizes[t.Level] += f.size
		if f.ranges {
			v.ranged = append(v.ranged, f)
		}
	}
	for level := range v.levels {
		sortLevel(d.cmp, level, v.levels[level])
	}
	d.version = v
	if err := v.check(d.cmp); err != nil {
		return &corrupt.Error{File: filename.MakeManifest(s.manifest), Kind: corrupt.Manifest, Off: -1, Err: err}
	}
	d.nextFile.Store(max(s.next, s.maxNum()+1))
	d.lastSeq = s.lastSeq
	return nil
}

// checkTable opens a table and compares it with what the MANIFEST says of it. A
// damaged data block is left to whoever reads it.
func (d *DB) checkTable(f *fileMeta) error {
	o, err := d.tables.get(f)
	if err != nil {
		return err
	}
	f.ranges = len(o.frags) > 0
	if !f.ranges {
		err = o.reader.CheckBounds(f.smallest, f.largest)
		var ce *corrupt.Error
		if errors.As(err, &ce) && ce.Kind == corrupt.DataBlock {
			d.log("a table is damaged", "err", err)
			err = nil
		}
	}
	return errors.Join(err, o.unref())
}

// A replay reads logs into memtables.
type replay struct {
	d      *DB
	mode   RecoveryMode
	mem    *memTable
	files  []*fileMeta // written when memtables were full
	first  keys.SeqNum // of the first batch; 0: none yet
	last   keys.SeqNum // of the last record; 0: none yet
	before keys.SeqNum // last sequence number in the tables
	report *LogReport
}

// recoverLogs replays the logs that no table covers.
func (d *DB) recoverLogs(s *survey) error {
	r := &replay{d: d, mode: d.opts.Recovery, before: s.lastSeq}
	logs := s.neededLogs()
	if s.logNum != 0 && !slices.Contains(s.logs, s.logNum) {
		// A log is made before an edit names it and removed after a later edit
		// names another, so edits are missing, though none looks cut.
		return corrupt.New(filename.MakeManifest(s.manifest), corrupt.Manifest, -1,
			"it names the log %s, which is gone: edits at its end are missing, or the log is", filename.MakeLog(s.logNum))
	}
	last, err := lastNonEmpty(s, logs)
	if err != nil {
		return err
	}
	for i, num := range logs {
		goOn, err := r.log(num, i >= last)
		if err != nil {
			r.discard()
			return err
		}
		if !goOn {
			r.skipRest(logs[i+1:])
			break
		}
	}
	d.recovered = r
	d.lastSeq = max(s.lastSeq, r.last)
	if s.cut != nil {
		d.recovery.ManifestCut = s.cut.Error()
		if bad := new(record.Error); d.opts.Recovery == Strict && errors.As(s.cut, &bad) {
			r.discard()
			return &corrupt.Error{File: filename.MakeManifest(s.manifest), Kind: corrupt.Manifest, Off: bad.Off, Err: s.cut}
		}
		if err := d.excuseCut(s, r); err != nil {
			r.discard()
			return err
		}
	}
	return nil
}

// lastNonEmpty returns the index of the last log that holds anything. Empty ones
// behind it were made and not written to: one that an Open made that did not end.
func lastNonEmpty(s *survey, logs []uint64) (int, error) {
	last := len(logs) - 1
	for ; last > 0; last-- {
		info, err := s.dir.Stat(filename.MakeLog(logs[last]))
		if err != nil {
			return 0, err
		}
		if info.Size > 0 {
			break
		}
	}
	return last, nil
}

// log replays one log. It reports false when nothing behind it may be replayed.
func (r *replay) log(num uint64, last bool) (goOn bool, err error) {
	name := filename.MakeLog(num)
	f, err := r.d.dir.Open(name)
	if err != nil {
		return false, err
	}
	size, err := f.Size()
	if err != nil {
		return false, joinClose(err, f)
	}
	r.d.recovery.Logs = append(r.d.recovery.Logs, LogReport{Name: name, Bytes: size})
	r.report = &r.d.recovery.Logs[len(r.d.recovery.Logs)-1]
	goOn, err = r.records(record.NewReader(f, size), last)
	return goOn, joinClose(err, f)
}

func (r *replay) records(rd *record.Reader, last bool) (goOn bool, err error) {
	for first := true; ; first = false {
		rec, err := rd.Next()
		if err == io.EOF {
			return true, nil
		}
		var bad *record.Error
		if errors.As(err, &bad) {
			end, err := r.damaged(rd, bad, last)
			if end || err != nil {
				return err == nil && r.mode != PointInTime, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		if err := r.batch(rec, first); err != nil {
			var ce *corrupt.Error
			if !errors.As(err, &ce) {
				return false, err
			}
			ce.File, ce.Off = r.report.Name, rd.Offset()
			r.report.Damage = append(r.report.Damage, ce.Error())
			switch r.mode {
			case Salvage:
				r.report.Dropped += int64(len(rec))
			case PointInTime:
				r.report.Dropped += r.report.Bytes - rd.Offset()
				return false, nil
			default:
				return false, ce
			}
		}
	}
}

// damaged decides what damage means. It reports whether the log ends here.
func (r *replay) damaged(rd *record.Reader, bad *record.Error, last bool) (end bool, err error) {
	what := &corrupt.Error{File: r.report.Name, Kind: corrupt.Log, Off: bad.Off, Err: bad}
	r.report.Damage = append(r.report.Damage, what.Error())
	r.report.CutShort = last && bad.Reason == record.Cut && bad.Torn() && len(r.report.Damage) == 1
	switch {
	case r.mode == Salvage:
		if rd.Skip() {
			r.report.Dropped += rd.Pos() - bad.Record
			return false, nil
		}
	case r.mode == TornTail && last && (bad.Torn() || bad.Hole), r.mode == PointInTime:
	default:
		return true, what
	}
	r.report.Dropped += r.report.Bytes - bad.Record
	return true, nil
}

// batch applies one batch to the memtable.
func (r *replay) batch(rec []byte, firstOfLog bool) error {
	seq, count, br, err := decodeBatch(rec)
	var need int
	if err == nil {
		need, err = checkBatch(br, count)
	}
	if err == nil && count > 0 && seq > keys.MaxSeqNum-keys.SeqNum(count) {
		err = fmt.Errorf("sequence numbers from %d on pass the largest", seq)
	}
	if err == nil && (firstOfLog || count == 0) { // an empty one marks tables taken in: see markIngested
		err = r.checkGap(seq)
	}
	if err != nil {
		return &corrupt.Error{Kind: corrupt.Log, Err: err}
	}
	if count == 0 {
		return nil
	}
	if err := r.room(need, int(count), seq); err != nil {
		return err
	}
	if err := r.mem.insert(&r.d.ins, br, seq); err != nil {
		return &corrupt.Error{Kind: corrupt.Log, Err: err}
	}
	r.mem.reserved -= need
	if r.first == 0 {
		r.first = seq
	}
	r.last = max(r.last, seq+keys.SeqNum(count)-1)
	r.report.Batches++
	r.report.Records += int(count)
	return nil
}

// checkGap finds a log that lost records at its end where nothing else shows it:
// the next log, or the first of all, must go on where the numbers ended.
func (r *replay) checkGap(seq keys.SeqNum) error {
	end := max(r.last, r.before)
	if seq <= end+1 || r.mode == Salvage {
		return nil
	}
	return fmt.Errorf("log begins with sequence number %d, but the last one before it is %d: records are missing", seq, end)
}

// room sees to it that the memtable takes the batch. A full one is written to a
// table; a read-only store keeps it.
func (r *replay) room(need, count int, seq keys.SeqNum) error {
	if r.mem != nil && r.mem.reserve(need, count, seq) {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	m, err := r.d.pool.get(need, seq, 0)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("%w: the logs hold more than the memtables' share of %d bytes", ErrMemoryLimit, r.d.pool.limit)
	}
	r.mem = m
	if !m.reserve(need, count, seq) {
		return fmt.Errorf("%w: batch of %d records and %d bytes", ErrTooLarge, count, need)
	}
	return nil
}

// flush writes the memtable to a table, or, read-only, sets it aside.
func (r *replay) flush() error {
	if r.mem == nil {
		return nil
	}
	if r.d.opts.ReadOnly {
		r.d.imms = append(r.d.imms, r.mem)
		r.mem = nil
		return nil
	}
	files, err := r.d.writeMemtable(r.mem)
	if err != nil {
		return fmt.Errorf("lsm: write replayed log: %w", err)
	}
	r.files = append(r.files, files...)
	r.mem.unref()
	r.mem = nil
	return nil
}

// skipRest notes the logs that PointInTime leaves out.
func (r *replay) skipRest(logs []uint64) {
	for _, num := range logs {
		name := filename.MakeLog(num)
		rep := LogReport{Name: name, Damage: []string{"left out: it comes after the damage"}}
		if info, err := r.d.dir.Stat(name); err == nil {
			rep.Bytes, rep.Dropped = info.Size, info.Size
		}
		r.d.recovery.Logs = append(r.d.recovery.Logs, rep)
	}
}

// discard gives up what was replayed.
func (r *replay) discard() {
	if r.mem != nil {
		r.mem.unref()
		r.mem = nil
	}
	r.d.dropOutputs(r.files)
	r.files = nil
}

// flushRecovered writes what the logs held to tables.
func (d *DB) flushRecovered() ([]*fileMeta, error) {
	r := d.recovered
	d.recovered = nil
	if err := r.flush(); err != nil {
		r.discard()
		return nil, err
	}
	return r.files, nil
}

// isFinished reports whether a file ends like a table. Others are what a flush or
// compaction leaves that was cut short.
func (d *DB) isFinished(name string) (bool, error) {
	f, err := d.dir.Open(name)
	if err != nil {
		return false, err
	}
	size, err := f.Size()
	tail := make([]byte, 8)
	if err == nil && size >= int64(len(tail)) {
		_, err = f.ReadAt(tail, size-int64(len(tail)))
		if err == io.EOF {
			err = nil
		}
	}
	return string(tail) == tableMagic, joinClose(err, f)
}

// tableMagic is how every finished table ends.
const tableMagic = "\x57\xfb\x80\x8b\x24\x75\x47\xdb"
