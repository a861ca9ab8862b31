package lsm

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// A compactionJob turns a sorted stream of entries and a set of range tombstones
// into tables, leaving out what nobody can see any more. Flushes and compactions
// are both such jobs.
//
// Snapshots cut the sequence numbers into stripes. A reader that exists or will
// exist sees, of each key, at most one entry of a stripe: the newest. So, from the
// newest entry of a key to the oldest:
//
//   - an entry is dropped if a newer one of its key is in the same stripe
//   - an entry is dropped if a range tombstone of the same stripe covers it
//   - a tombstone of the oldest stripe is dropped if no deeper level can hold its
//     key (or, for a range tombstone, a key in its range): it hides nothing
type compactionJob struct {
	d         *DB
	input     internalIter
	ranges    []tombstone
	snapshots []keys.SeqNum            // oldest first
	keep      func(lo, hi []byte) bool // may deeper levels hold keys in [lo, hi]?
	maxSize   uint64                   // of an output; 0: one output for everything
	cut       func(user []byte) bool   // is it good to begin a new output here?

	frags   fragments
	started []byte // user key where the current output begins; nil: at the very start
	out     *tableOutput
	files   []*fileMeta

	user       []byte // of the last entry
	hasUser    bool
	lastStripe int
	dropped    int64
	written    int64
}

// A tableOutput is a table being written.
type tableOutput struct {
	num  uint64
	name string
	f    vfs.File
	w    *table.Writer
}

// run does the job. On error no output is left behind.
func (j *compactionJob) run() (files []*fileMeta, err error) {
	defer func() {
		if cerr := j.input.Close(); cerr != nil && err == nil {
			err = cerr
		}
		if err != nil {
			j.abandon()
			files = nil
		}
		j.d.counters.dropped.Add(j.dropped)
	}()
	j.frags = j.reduce(fragment(j.d.cmp, j.ranges))
	for ok := j.input.First(); ok; ok = j.input.Next() {
		if err := j.entry(j.input.Key(), j.input.Value()); err != nil {
			return nil, err
		}
		if j.d.isClosing() {
			return nil, ErrClosed
		}
	}
	if err := j.input.Err(); err != nil {
		return nil, err
	}
	if err := j.finish(nil); err != nil {
		return nil, err
	}
	if len(j.files) > 0 {
		if err := j.d.dir.Sync(); err != nil {
			return nil, j.d.latch(fmt.Errorf("sync of the directory: %w", err))
		}
	}
	return j.files, j.readBack()
}

// readBack opens the outputs: their indexes are in memory before the first read,
// and a table that cannot be read never becomes live.
func (j *compactionJob) readBack() error {
	for _, f := range j.files {
		o, err := j.d.tables.get(f)
		if errors.Is(err, ErrMemoryLimit) {
			return nil // whoever reads the table makes room
		}
		if err != nil {
			return err
		}
		if err := o.unref(); err != nil {
			return err
		}
	}
	return nil
}

// stripe numbers the stripe of a sequence number, the oldest being 0.
func (j *compactionJob) stripe(seq keys.SeqNum) int {
	if len(j.snapshots) == 0 {
		return 0
	}
	return sort.Search(len(j.snapshots), func(i int) bool { return j.snapshots[i] >= seq })
}

// reduce keeps, of each fragment, the newest tombstone of each stripe that can
// hide anything.
func (j *compactionJob) reduce(in fragments) fragments {
	var out fragments
	for _, f := range in {
		last := -1
		var kept []keys.SeqNum
		for _, s := range f.seqs {
			if st := j.stripe(s); st != last {
				last = st
				kept = append(kept, s)
			}
		}
		out = append(out, rangeFragment{f.start, f.end, kept})
	}
	return out
}

// entry decides about one entry and writes it if it is still of use.
func (j *compactionJob) entry(ikey, value []byte) error {
	user, seq := keys.User(ikey), keys.SeqOf(ikey)
	stripe := j.stripe(seq)
	if j.hasUser && j.d.cmp.Compare(user, j.user) == 0 {
		if stripe == j.lastStripe {
			j.dropped++
			return nil
		}
	} else {
		j.user = append(j.user[:0], user...)
		j.hasUser = true
		if err := j.maybeCut(user); err != nil {
			return err
		}
	}
	j.lastStripe = stripe
	if j.covered(user, seq, stripe) ||
		stripe == 0 && keys.KindOf(ikey) == keys.KindDelete && !j.keep(user, user) {
		j.dropped++
		return nil
	}
	if err := j.open(); err != nil {
		return err
	}
	j.written++
	return j.out.w.Add(ikey, value)
}

// covered reports whether a range tombstone of the same stripe hides the entry.
func (j *compactionJob) covered(user []byte, seq keys.SeqNum, stripe int) bool {
	if len(j.frags) == 0 {
		return false
	}
	i := j.frags.find(j.d.cmp, user)
	if i < 0 {
		return false
	}
	for _, s := range j.frags[i].seqs {
		if s > seq && j.stripe(s) == stripe {
			return true
		}
	}
	return false
}

// maybeCut ends the output before user if it is large enough.
func (j *compactionJob) maybeCut(user []byte) error {
	if j.maxSize == 0 || j.out == nil {
		return nil
	}
	size := j.out.w.EstimatedSize()
	if size < j.maxSize && (j.cut == nil || !j.cut(user) || size < j.maxSize/8) {
		return nil
	}
	return j.finish(user)
}

// open begins an output if there is none.
func (j *compactionJob) open() error {
	if j.out != nil {
		return nil
	}
	d := j.d
	o := &tableOutput{num: d.newOutputNum()}
	o.name = filename.MakeTable(o.num)
	f, err := d.dir.Create(o.name)
	if err != nil {
		d.outputDone(o.num)
		return err
	}
	o.f = f
	o.w = table.NewWriter(&throttledWriter{f, d.bucket, d.closeCh}, d.writerOptions(o.num))
	j.out = o
	return nil
}

// writerOptions says how the store's own tables are written.
func (d *DB) writerOptions(num uint64) *table.WriterOptions {
	return &table.WriterOptions{
		Comparer: d.opts.Comparer, BlockSize: d.opts.BlockSize, RestartInterval: d.opts.BlockRestartInterval,
		Compression: d.opts.Compression, BitsPerKey: d.opts.BloomBitsPerKey, FileNum: num,
	}
}

// finish ends the current output before the user key next, nil at the end of the
// input, with the range tombstones that lie between the last cut and this one.
func (j *compactionJob) finish(next []byte) error {
	ts := j.clip(j.started, next)
	if next != nil {
		j.started = slices.Clone(next)
	}
	if len(ts) > 0 {
		if err := j.open(); err != nil {
			return err
		}
	}
	if j.out == nil {
		return nil
	}
	for _, t := range ts {
		if err := j.out.w.AddRangeDelete(t.start, t.end, t.seq); err != nil {
			return err
		}
	}
	f, err := j.out.finish(j.d.cmp, ts)
	if err != nil {
		return fmt.Errorf("%s: %w", j.out.name, err)
	}
	j.files = append(j.files, f)
	j.out = nil
	return nil
}

// clip returns the range tombstones that are still of use, cut to [lo, hi).
func (j *compactionJob) clip(lo, hi []byte) []tombstone {
	var out []tombstone
	for _, f := range j.frags {
		start, end := f.start, f.end
		if lo != nil && j.d.cmp.Compare(start, lo) < 0 {
			start = lo
		}
		if hi != nil && j.d.cmp.Compare(end, hi) > 0 {
			end = hi
		}
		if j.d.cmp.Compare(start, end) >= 0 {
			continue
		}
		for _, s := range f.seqs {
			if j.stripe(s) > 0 || j.keep(start, end) {
				out = append(out, tombstone{start, end, s})
			}
		}
	}
	return out
}

// finish completes, syncs and closes the table.
func (o *tableOutput) finish(cmp *Comparer, ts []tombstone) (*fileMeta, error) {
	info, err := o.w.Finish()
	if err == nil {
		err = o.f.Sync()
	}
	if err = joinClose(err, o.f); err != nil {
		o.f = nil
		return nil, err
	}
	f := &fileMeta{num: o.num, size: uint64(info.Size), smallest: info.Smallest, largest: info.Largest,
		ranges: len(ts) > 0}
	f.include(cmp, ts)
	return f, nil
}

// include widens the bounds of a table to its range tombstones. The end of one is
// exclusive: its bound sorts before every entry of that user key.
func (f *fileMeta) include(cmp *Comparer, ts []tombstone) {
	for _, t := range ts {
		lo := keys.Make(t.start, t.seq, keys.KindRangeDelete)
		hi := keys.Make(t.end, keys.MaxSeqNum, keys.KindRangeDelete)
		if f.smallest == nil || cmp.CompareInternal(lo, f.smallest) < 0 {
			f.smallest = lo
		}
		if f.largest == nil || cmp.CompareInternal(hi, f.largest) > 0 {
			f.largest = hi
		}
	}
}

// abandon removes every output of a job that failed.
func (j *compactionJob) abandon() {
	if j.out != nil {
		if j.out.f != nil {
			_ = j.out.f.Close() // the file goes away next
		}
		_ = j.d.dir.Remove(j.out.name) // else the next Open removes it
		j.d.outputDone(j.out.num)
		j.out = nil
	}
	j.d.dropOutputs(j.files)
}

// dropOutputs removes tables that no version will hold.
func (d *DB) dropOutputs(files []*fileMeta) {
	for _, f := range files {
		d.tables.forget(f)
		if err := d.dir.Remove(filename.MakeTable(f.num)); err != nil && !errors.Is(err, errNotExist) {
			d.log("cannot remove an abandoned table", "file", filename.MakeTable(f.num), "err", err)
		}
		d.outputDone(f.num)
	}
}
