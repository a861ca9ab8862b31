package lsm

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/internal/manifest"
)

const numLevels = manifest.NumLevels

// A fileMeta is a live table. All but the reference count and the open table are
// fixed.
type fileMeta struct {
	num               uint64
	size              uint64
	smallest, largest []byte // internal keys
	old               bool   // the file has the old suffix, .sst
	ranges            bool   // it holds range tombstones

	refs       atomic.Int32 // versions that hold the file
	open       atomic.Pointer[openTable]
	compacting bool // an input of a running compaction; guarded by DB.mu
}

// overlaps reports whether the file may hold user keys in [lo, hi]; nil is no bound.
func (f *fileMeta) overlaps(cmp *Comparer, lo, hi []byte) bool {
	return (hi == nil || cmp.Compare(keys.User(f.smallest), hi) <= 0) &&
		(lo == nil || cmp.Compare(keys.User(f.largest), lo) >= 0)
}

// A version is one set of live tables. It never changes. The laws, which Check
// holds:
//
//	level 0: newest file first; key ranges may overlap
//	levels ≥ 1: sorted by key, and no two files share a key
//	a file is on one level only
type version struct {
	levels [numLevels][]*fileMeta
	sizes  [numLevels]uint64 // bytes of each level
	ranged []*fileMeta       // those that hold range tombstones
	refs   atomic.Int32
	retire func(*fileMeta) // called when the last version that holds a file goes
}

func (v *version) ref() { v.refs.Add(1) }

func (v *version) unref() {
	if v.refs.Add(-1) > 0 {
		return
	}
	for _, files := range v.levels {
		for _, f := range files {
			if f.refs.Add(-1) == 0 {
				v.retire(f)
			}
		}
	}
}

// apply returns v with the tables of an edit added and removed, or says why the
// edit does not fit. The result holds a reference to each of its files.
func (v *version) apply(cmp *Comparer, e *manifest.Edit, fresh map[uint64]*fileMeta) (*version, error) {
	n := &version{levels: v.levels, retire: v.retire}
	changed := [numLevels]bool{}
	own := func(level int) {
		if !changed[level] {
			n.levels[level] = slices.Clone(n.levels[level])
			changed[level] = true
		}
	}
	moved := map[uint64]*fileMeta{}
	for _, d := range e.Deleted {
		i := slices.IndexFunc(n.levels[d.Level], func(f *fileMeta) bool { return f.num == d.Num })
		if i < 0 {
			return nil, fmt.Errorf("table %06d is deleted from level %d but is not there", d.Num, d.Level)
		}
		own(d.Level)
		moved[d.Num] = n.levels[d.Level][i]
		n.levels[d.Level] = slices.Delete(n.levels[d.Level], i, i+1)
	}
	for _, a := range e.Added {
		f := fresh[a.Num]
		if f == nil {
			f = moved[a.Num]
		}
		if f == nil {
			return nil, fmt.Errorf("table %06d is added to level %d but is neither new nor moved", a.Num, a.Level)
		}
		own(a.Level)
		n.levels[a.Level] = append(n.levels[a.Level], f)
	}
	for level := range n.levels {
		if changed[level] {
			sortLevel(cmp, level, n.levels[level])
		}
		for _, f := range n.levels[level] {
			f.refs.Add(1)
			n.sizes[level] += f.size
			if f.ranges {
				n.ranged = append(n.ranged, f)
			}
		}
	}
	n.refs.Store(1)
	return n, nil
}

// discard gives up a version that was never installed, without retiring files.
func (v *version) discard() {
	for _, files := range v.levels {
		for _, f := range files {
			f.refs.Add(-1)
		}
	}
}

// sortLevel puts files in the order of their level.
func sortLevel(cmp *Comparer, level int, files []*fileMeta) {
	slices.SortFunc(files, func(a, b *fileMeta) int {
		if level == 0 {
			switch {
			case a.num > b.num:
				return -1
			case a.num < b.num:
				return 1
			}
			return 0
		}
		return cmp.CompareInternal(a.smallest, b.smallest)
	})
}

// findFile returns the index of the first file whose largest key is not before
// ikey. O(log n).
func findFile(cmp *Comparer, files []*fileMeta, ikey []byte) int {
	return sort.Search(len(files), func(i int) bool { return cmp.CompareInternal(files[i].largest, ikey) >= 0 })
}

// overlapping returns the files of a level that may hold user keys in [lo, hi].
// On level 0 the range grows with what is found, until no other file overlaps.
func (v *version) overlapping(cmp *Comparer, level int, lo, hi []byte) []*fileMeta {
	var out []*fileMeta
	for i := 0; i < len(v.levels[level]); i++ {
		f := v.levels[level][i]
		if !f.overlaps(cmp, lo, hi) || slices.Contains(out, f) {
			continue
		}
		out = append(out, f)
		if level > 0 {
			continue // closeUnder adds what shares a key
		}
		if small := keys.User(f.smallest); lo != nil && cmp.Compare(small, lo) < 0 {
			lo, i = small, -1
		}
		if large := keys.User(f.largest); hi != nil && cmp.Compare(large, hi) > 0 {
			hi, i = large, -1
		}
	}
	sortLevel(cmp, level, out)
	return out
}

// holds reports whether a file of a level ≥ 1 may hold user keys in [lo, hi].
// O(log n).
func (v *version) holds(cmp *Comparer, level int, lo, hi []byte) bool {
	files := v.levels[level]
	i := sort.Search(len(files), func(i int) bool { return cmp.Compare(keys.User(files[i].largest), lo) >= 0 })
	return i < len(files) && cmp.Compare(keys.User(files[i].smallest), hi) <= 0
}

// check reports every broken law of the version.
func (v *version) check(cmp *Comparer) error {
	var errs []error
	seen := map[uint64]int{}
	for level, files := range v.levels {
		for i, f := range files {
			if at, dup := seen[f.num]; dup {
				errs = append(errs, fmt.Errorf("table %06d is on level %d and on level %d", f.num, at, level))
			}
			seen[f.num] = level
			if cmp.CompareInternal(f.smallest, f.largest) > 0 {
				errs = append(errs, fmt.Errorf("table %06d: smallest key %s is after largest %s",
					f.num, keys.Format(f.smallest), keys.Format(f.largest)))
			}
			if level > 0 && i > 0 && cmp.CompareInternal(files[i-1].largest, f.smallest) >= 0 {
				errs = append(errs, fmt.Errorf("level %d: tables %06d and %06d overlap at %s",
					level, files[i-1].num, f.num, keys.Format(f.smallest)))
			}
		}
	}
	return errors.Join(errs...)
}
