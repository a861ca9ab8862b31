package lsm

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
)

// A RepairReport says what Repair read, what it could not read, and what it
// made of it.
type RepairReport struct {
	Tables  []TableReport `json:"tables"`         // the tables that were read
	Logs    []LogReport   `json:"logs"`           // the logs that were replayed
	Hint    string        `json:"hint,omitempty"` // what was wrong with CURRENT or the MANIFEST, if anything
	Entries int64         `json:"entries"`        // live keys in the repaired store
	Lost    []string      `json:"lost,omitempty"` // files that were moved to the directory lost
}

// A TableReport says what Repair got out of one table.
type TableReport struct {
	Name    string   `json:"name"`
	Entries int64    `json:"entries"`          // versions and tombstones read
	Damage  []string `json:"damage,omitempty"` // what could not be read
}

// Damaged reports whether anything was lost.
func (r *RepairReport) Damaged() bool {
	return slices.ContainsFunc(r.Tables, func(t TableReport) bool { return len(t.Damage) > 0 }) ||
		slices.ContainsFunc(r.Logs, func(l LogReport) bool { return len(l.Damage) > 0 })
}

// Repair makes a store that opens again out of what can still be read in dir. It
// needs neither CURRENT nor MANIFEST. The store must not be open.
//
//  1. The MANIFEST, if it can be read, tells which tables and logs are obsolete:
//     they stay out, so that nothing that was deleted comes back. Without it
//     everything counts, and if it lacks edits, everything that it does not
//     know to be obsolete.
//  2. Every log is replayed; what does not check is skipped.
//  3. All tables are merged; blocks that do not check are skipped, and a table whose
//     index or footer does not check is searched for blocks that do. Of each key the
//     newest version that is left wins. The result is written to the last level.
//  4. A new MANIFEST names the result, then CURRENT names the MANIFEST.
//  5. Files that were read whole are removed. Those that were damaged, and those
//     that were left out, move to the directory lost.
//
// Nothing that was there changes before step 4, so a Repair that fails or is cut
// short can be repeated. One that is cut short after step 4 has made a store, and the
// next Open removes the files that step 5 would have moved to lost. A version that was overwritten or deleted can come back
// if the newer one was in a damaged part. Nothing that fails its checksum is taken
// (LevelDB's own repair does not look at those of log records, and can bring back
// values that were never written). All tables are open at once, so
// [Options.MemoryLimit] must leave room for their indexes; the disk must have room
// for a copy. O(size of the store).
func Repair(dir string, o *Options) (RepairReport, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return RepairReport{}, err
	}
	opts.Recovery, opts.ReadOnly = Salvage, false
	vdir, err := opts.FS.OpenDir(dir, false)
	if err != nil {
		return RepairReport{}, fmt.Errorf("lsm: repair: %w", err)
	}
	r := &repairer{d: newDB(dir, opts)}
	r.d.dir = vdir
	err = r.run()
	r.d.closed.Store(true)
	close(r.d.closeCh)
	if err = errors.Join(err, r.closeTables(), r.d.releaseAll()); err != nil {
		err = fmt.Errorf("lsm: repair %s: %w", dir, err)
	}
	return r.report, err
}

// A repairer is one Repair under way.
type repairer struct {
	d        *DB
	report   RepairReport
	readers  []*table.Reader
	inputs   []internalIter
	ranges   []tombstone
	maxSeq   keys.SeqNum
	consumed []string // files that were read whole
	broken   []string // files that were not, or were left out
	fromLogs []*fileMeta
}

func (r *repairer) run() error {
	lock, err := r.d.dir.Lock(filename.LockName)
	if err != nil {
		return err
	}
	r.d.lock = lock
	if err := r.d.openMemory(); err != nil {
		return err
	}
	s, err := list(r.d.dir)
	if err != nil {
		return err
	}
	logs, tables, err := r.choose(s)
	if err != nil {
		return err
	}
	r.d.nextFile.Store(max(s.next, s.maxNum()+1))
	if err := r.replay(logs); err != nil {
		return err
	}
	for _, name := range tables {
		if err := r.addTable(name); err != nil {
			return err
		}
	}
	files, err := r.merge()
	if err != nil {
		return err
	}
	if err := r.install(files); err != nil {
		return err
	}
	return r.tidy(s)
}

// choose decides which logs and tables count.
func (r *repairer) choose(s *survey) (logs []uint64, tables []string, err error) {
	nums := slices.Sorted(maps.Keys(s.tables))
	known := r.readManifest(s)
	if s.comparer != "" && s.comparer != r.d.cmp.Name {
		return nil, nil, fmt.Errorf("%w: the store is sorted by %q, not %q", ErrOptions, s.comparer, r.d.cmp.Name)
	}
	live, whole := map[uint64]bool{}, known && s.cut == nil
	for _, t := range s.live {
		live[t.Num] = true
		if _, ok := s.tables[t.Num]; !ok {
			whole = false
			if s.cut == nil { // else the lost edit may say why
				r.report.Tables = append(r.report.Tables, TableReport{Name: filename.MakeTable(t.Num),
					Damage: []string{"the MANIFEST names the table, but it is missing"}})
			}
		}
	}
	for _, num := range nums {
		finished, err := r.d.isFinished(s.tables[num])
		if err != nil {
			return nil, nil, err
		}
		leftover := known && !s.named[num] && !finished
		if !live[num] && (leftover || known && s.named[num] || whole && num < s.next) {
			r.broken = append(r.broken, s.tables[num])
			continue
		}
		tables = append(tables, s.tables[num])
	}
	logs = s.logs
	if whole {
		logs = s.neededLogs()
		for _, num := range s.logs {
			if !slices.Contains(logs, num) {
				r.broken = append(r.broken, filename.MakeLog(num))
			}
		}
	}
	return logs, tables, nil
}

// readManifest reads the MANIFEST that CURRENT names, or the newest there is. It
// reports whether its edits can be trusted.
func (r *repairer) readManifest(s *survey) bool {
	num, err := readCurrent(r.d.dir)
	if err != nil && len(s.manifests) > 0 {
		num = slices.Max(s.manifests)
	}
	s.manifest = num
	if err == nil || len(s.manifests) > 0 {
		if merr := s.readManifest(); merr != nil {
			r.report.Hint = errors.Join(err, merr).Error()
			s.live, s.named = nil, map[uint64]bool{}
			return false
		}
	}
	if err == nil {
		err = s.cut
	}
	if err != nil {
		r.report.Hint = err.Error()
	}
	return len(s.manifests) > 0
}

// replay turns the logs into tables.
func (r *repairer) replay(logs []uint64) error {
	p := &replay{d: r.d, mode: Salvage}
	for i, num := range logs {
		if _, err := p.log(num, i == len(logs)-1); err != nil {
			p.discard()
			return err
		}
		name := filename.MakeLog(num)
		if rep := r.d.recovery.Logs[len(r.d.recovery.Logs)-1]; len(rep.Damage) > 0 {
			r.broken = append(r.broken, name)
		} else {
			r.consumed = append(r.consumed, name)
		}
	}
	if err := p.flush(); err != nil {
		p.discard()
		return err
	}
	r.fromLogs = p.files
	for _, f := range p.files {
		if err := r.openTable(f.name(), nil); err != nil {
			return err
		}
		r.consumed = append(r.consumed, f.name())
	}
	r.report.Logs = r.d.recovery.Logs
	return nil
}

// addTable makes a table that was found an input of the merge.
func (r *repairer) addTable(name string) error {
	r.report.Tables = append(r.report.Tables, TableReport{Name: name})
	err := r.openTable(name, &r.report.Tables[len(r.report.Tables)-1])
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	rep := &r.report.Tables[len(r.report.Tables)-1]
	rep.Damage = append(rep.Damage, err.Error())
	return nil
}

// openTable opens a table and scans it once, so that the report is complete
// before anything is written.
func (r *repairer) openTable(name string, rep *TableReport) error {
	f, err := r.d.dir.Open(name)
	if err != nil {
		return err
	}
	rd, damage, err := table.Salvage(f, &table.ReaderOptions{Comparer: r.d.cmp, Cache: r.d.cache, Decoder: &r.d.tables.dec, FileName: name})
	if err != nil {
		return err
	}
	r.readers = append(r.readers, rd)
	ts, err := rangeDeletes(rd)
	if errors.Is(err, ErrCorrupt) {
		damage, err = append(damage, err), nil
	}
	if err != nil {
		return err
	}
	if len(damage) > 0 && rep == nil {
		return errors.Join(damage...)
	}
	for _, e := range damage {
		rep.Damage = append(rep.Damage, e.Error())
	}
	r.ranges = append(r.ranges, ts...)
	for _, t := range ts {
		r.maxSeq = max(r.maxSeq, t.seq)
	}
	it := rd.NewIter(&table.IterOptions{NoCache: true, OnCorrupt: func(e *corrupt.Error) bool {
		if rep != nil {
			rep.Damage = append(rep.Damage, e.Error())
		}
		return true
	}})
	for ok := it.First(); ok; ok = it.Next() {
		r.maxSeq = max(r.maxSeq, keys.SeqOf(it.Key()))
		if rep != nil {
			rep.Entries++
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	r.inputs = append(r.inputs, rd.NewIter(&table.IterOptions{NoCache: true,
		OnCorrupt: func(*corrupt.Error) bool { return true }}))
	return nil
}

// merge writes the newest version of every live key to new tables.
func (r *repairer) merge() ([]*fileMeta, error) {
	job := &compactionJob{d: r.d, input: newMergeIter(r.d.cmp, r.inputs), ranges: r.ranges,
		maxSize: uint64(r.d.opts.TargetFileSize),
		keep:    func(lo, hi []byte) bool { return false }}
	files, err := job.run()
	r.inputs = nil
	r.report.Entries = job.written
	return files, err
}

// install makes files the store.
func (r *repairer) install(files []*fileMeta) error {
	d := r.d
	v := &version{retire: func(*fileMeta) {}}
	v.refs.Store(1)
	v.levels[numLevels-1] = files
	for _, f := range files {
		f.refs.Store(1)
		v.sizes[numLevels-1] += f.size
	}
	d.outputsDone(files)
	if err := v.check(d.cmp); err != nil {
		return err
	}
	log := d.newFileNum()
	f, err := d.dir.Create(filename.MakeLog(log)) // a MANIFEST names a log that is there
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	d.manifestMu.Lock()
	defer d.manifestMu.Unlock()
	return d.newManifest(v, log, r.maxSeq)
}

// tidy puts what was there before out of the way.
func (r *repairer) tidy(s *survey) error {
	d := r.d
	for i := range r.report.Tables {
		switch t := &r.report.Tables[i]; {
		case s.tables[tableNum(t.Name)] == "": // missing
		case len(t.Damage) > 0:
			r.broken = append(r.broken, t.Name)
		default:
			r.consumed = append(r.consumed, t.Name)
		}
	}
	for _, num := range s.manifests {
		r.broken = append(r.broken, filename.MakeManifest(num))
	}
	r.consumed = append(r.consumed, s.temps...)
	if err := r.closeTables(); err != nil {
		return err
	}
	d.outputsDone(r.fromLogs)
	if len(r.broken) > 0 {
		if err := d.dir.Mkdir(lostDir); err != nil {
			return err
		}
	}
	for _, name := range r.broken {
		to, err := r.freeName(lostDir + "/" + name)
		if err == nil {
			err = d.dir.Rename(name, to)
		}
		if err != nil {
			return err
		}
		r.report.Lost = append(r.report.Lost, to)
	}
	for _, name := range r.consumed {
		if err := d.dir.Remove(name); err != nil {
			return err
		}
	}
	return d.dir.Sync()
}

func tableNum(name string) uint64 {
	_, num := filename.Parse(name)
	return num
}

// freeName returns name, with a number behind it if an earlier Repair used it.
func (r *repairer) freeName(name string) (string, error) {
	for free, i := name, 1; ; free, i = fmt.Sprintf("%s.%d", name, i), i+1 {
		if _, err := r.d.dir.Stat(free); errors.Is(err, errNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}

// closeTables closes what is open, once the merge is done with it.
func (r *repairer) closeTables() error {
	var errs []error
	for _, it := range r.inputs {
		errs = append(errs, it.Close())
	}
	for _, rd := range r.readers {
		errs = append(errs, rd.Close())
	}
	r.inputs, r.readers = nil, nil
	return errors.Join(errs...)
}
