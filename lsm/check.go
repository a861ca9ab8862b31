package lsm

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/table"
)

// Check reads the whole store and reports every broken law, joined, or nil. It
// changes nothing. O(size of the store).
//
//	L1  keys ascend strictly in a memtable and in a table, and every block checks
//	L2  a table's keys lie within the bounds that the MANIFEST gives, and its
//	    number of entries is what it says of itself
//	L3  levels ≥ 1 are sorted and disjoint, and no table is on two levels
//	L4  of each key, the sequence numbers of a level are above those of the next
//	L5  no sequence number is above the last one given out
func (d *DB) Check() error {
	rs, err := d.acquire()
	if err != nil {
		return err
	}
	defer rs.unref()
	last := keys.SeqNum(d.visible.Load())
	errs := []error{rs.version.check(d.cmp)}
	for i, m := range rs.mems {
		if err := checkOrder(d.cmp, m.newIter(), last, nil); err != nil && !errors.Is(err, errTooNew) {
			errs = append(errs, fmt.Errorf("lsm: memtable %d: %w", i, err))
		}
	}
	for level, files := range rs.version.levels {
		for _, f := range files {
			if err := d.checkFile(f, last); err != nil {
				errs = append(errs, fmt.Errorf("lsm: level %d, table %06d: %w", level, f.num, err))
			}
		}
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, d.checkAges(rs))
	}
	return errors.Join(errs...)
}

// errTooNew says that an entry is newer than the last committed one.
var errTooNew = errors.New("L5: sequence number is above the last one given out")

// checkOrder holds L1 and L5; each, if not nil, is called for every key.
func checkOrder(cmp *Comparer, it internalIter, last keys.SeqNum, each func(ikey []byte) error) error {
	var prev []byte
	var errs []error
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		if prev != nil && cmp.CompareInternal(prev, k) >= 0 {
			errs = append(errs, fmt.Errorf("L1: %s is not after %s", keys.Format(k), keys.Format(prev)))
		}
		if keys.SeqOf(k) > last {
			errs = append(errs, fmt.Errorf("%w: %s, last %d", errTooNew, keys.Format(k), last))
		}
		if each != nil {
			if err := each(k); err != nil {
				errs = append(errs, err)
			}
		}
		prev = append(prev[:0], k...)
		if len(errs) > maxFindings {
			break
		}
	}
	return errors.Join(append(errs, it.Err(), it.Close())...)
}

// maxFindings is how many faults of one table are reported.
const maxFindings = 16

// checkFile holds L1, L2 and L5 for a table.
func (d *DB) checkFile(f *fileMeta, last keys.SeqNum) error {
	o, err := d.tables.get(f)
	if err != nil {
		return err
	}
	n := uint64(0)
	var damage []error
	it := o.reader.NewIter(&table.IterOptions{NoCache: true, OnCorrupt: func(e *CorruptionError) bool {
		damage = append(damage, e)
		return true
	}})
	err = checkOrder(d.cmp, it, last, func(k []byte) error {
		n++
		if d.cmp.CompareInternal(k, f.smallest) < 0 || d.cmp.CompareInternal(k, f.largest) > 0 {
			return fmt.Errorf("L2: %s is outside %s to %s", keys.Format(k), keys.Format(f.smallest), keys.Format(f.largest))
		}
		return nil
	})
	if p := o.reader.Properties(); p.Present && p.Entries != n && len(damage) == 0 && err == nil {
		err = fmt.Errorf("L2: %d entries, the table says %d", n, p.Entries)
	}
	return errors.Join(errors.Join(damage...), err, o.unref())
}

// checkAges holds L4 by one walk over everything: of the entries of a key, each
// source may hold only older ones than the sources above it.
func (d *DB) checkAges(rs *readState) error {
	parts := d.takeParts(rs)
	defer d.putParts(parts)
	ages := make([]internalIter, len(parts.children))
	for i, c := range parts.children {
		ages[i] = &rankedIter{internalIter: c, rank: i}
	}
	m := newMergeIter(d.cmp, ages)
	var errs []error
	var user []byte
	rank := -1
	for ok := m.First(); ok && len(errs) < maxFindings; ok = m.Next() {
		k := m.Key()
		r := m.heap[0].it.(*rankedIter).rank
		if user != nil && d.cmp.Compare(user, keys.User(k)) == 0 && r < rank {
			errs = append(errs, fmt.Errorf("lsm: L4: %s is in a newer place than a newer entry of its key", keys.Format(k)))
		}
		user, rank = append(user[:0], keys.User(k)...), r
	}
	return errors.Join(append(errs, m.Err(), m.Close())...)
}

// A rankedIter knows how old its source is: 0 is the newest.
type rankedIter struct {
	internalIter
	rank int
}
