package lsm

import (
	"bytes"
	"fmt"
	"slices"
)

// CompactRange flushes and then compacts every table that may hold keys in
// [lo, hi] down to the lowest level that has any, and rewrites the tables of that
// level which hold tombstones. Afterwards no deletion in the range takes space, nor
// what it deleted, as far as no snapshot needs it. Nil is no bound:
// CompactRange(nil, nil) compacts everything. It waits for background compactions
// that are in the way. O(size of the tables in the range), for each level that has any.
//
// Errors: [ErrBadRange] if lo is after hi, [ErrClosed], [ErrReadOnly], and what the
// file system said or a [*CorruptionError]; what was compacted until then stays so.
func (d *DB) CompactRange(lo, hi []byte) error {
	if lo != nil && hi != nil && d.cmp.Compare(lo, hi) > 0 {
		return fmt.Errorf("%w: from %q to %q", ErrBadRange, lo, hi)
	}
	let, err := d.hold()
	if err != nil {
		return err
	}
	defer let()
	if err := d.Flush(); err != nil {
		return err
	}
	r := &rangeCompaction{d: d, lo: bytes.Clone(lo), hi: bytes.Clone(hi), fresh: d.nextFile.Load()}
	for r.level = 0; r.level < numLevels; r.level++ {
		r.from = r.lo
		for {
			c, err := r.next()
			if err != nil {
				return err
			}
			if c == nil {
				break
			}
			r.from = bytes.Clone(c.hi) // the next table may begin with it
			if err := d.compactAndRelease(c); err != nil {
				return err
			}
			if r.level == 0 || r.hi != nil && d.cmp.Compare(r.from, r.hi) > 0 {
				break
			}
		}
	}
	return nil
}

// compactAndRelease runs a compaction and gives its files back, also when a listener
// does not return.
func (d *DB) compactAndRelease(c *compaction) error {
	defer d.release(c)
	return d.compact(c)
}

// A rangeCompaction is a CompactRange on its way: level by level, and in each from
// the left to the right.
type rangeCompaction struct {
	d      *DB
	lo, hi []byte
	level  int
	from   []byte // where the next step begins
	fresh  uint64 // tables from this number on are its own, or newer
}

// next sets up the next step, waiting while its files are taken, or returns nil
// when the level has nothing more to do.
func (r *rangeCompaction) next() (c *compaction, err error) {
	d := r.d
	if err := d.writable(); err != nil {
		return nil, err
	}
	w := waiter{d: d, kind: errCompaction, since: d.failures(errCompaction)}
	err = w.wait(func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		output, files := r.choose(d.version)
		if len(files) == 0 {
			return true, nil
		}
		c = d.setUp(d.version, r.level, output, files)
		return c != nil, nil
	})
	return c, err
}

// choose returns the files of the next step and the level they go to: the next
// one, or, on the lowest that has anything in the range, their own.
func (r *rangeCompaction) choose(v *version) (output int, files []*fileMeta) {
	d := r.d
	files = v.overlapping(d.cmp, r.level, r.from, r.hi)
	if r.level == 0 {
		if len(files) > 0 {
			files = v.levels[0]
		}
		return 1, files
	}
	for l := r.level + 1; l < numLevels; l++ {
		if len(v.overlapping(d.cmp, l, r.lo, r.hi)) > 0 {
			return r.level + 1, files[:d.atOnce(files)]
		}
	}
	files = slices.DeleteFunc(files, func(f *fileMeta) bool { return f.num >= r.fresh || !d.hasTombstones(f) })
	return r.level, files[:min(1, len(files))]
}

// hasTombstones reports whether a table says that it holds deletions. LevelDB's do not
// say, and may.
func (d *DB) hasTombstones(f *fileMeta) bool {
	o, err := d.tables.get(f)
	if err != nil {
		return true // the compaction meets the error and reports it
	}
	p := o.reader.Properties()
	found := p.Deletes > 0 || f.ranges || !p.Present
	_ = o.unref() // a file that was only read
	return found
}

// atOnce returns how many of files one step of a CompactRange takes.
func (d *DB) atOnce(files []*fileMeta) int {
	sum, n := uint64(0), 0
	for n < len(files) && (n == 0 || sum < 16*uint64(d.opts.TargetFileSize)) {
		sum += files[n].size
		n++
	}
	return n
}
