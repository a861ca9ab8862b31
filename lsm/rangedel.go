package lsm

import (
	"slices"
	"sort"

	"github.com/memlab-go/memlab/lsm/internal/keys"
)

// A tombstone deletes every key in [start, end) that is older than seq.
type tombstone struct {
	start, end []byte
	seq        keys.SeqNum
}

// A rangeFragment is a stretch of keys [start, end) that all its tombstones cover
// whole.
type rangeFragment struct {
	start, end []byte
	seqs       []keys.SeqNum // newest first
}

// fragments are disjoint and in key order.
type fragments []rangeFragment

// fragment cuts tombstones at each other's ends, so that what covers a key is
// found by one binary search. O(n²) for tombstones that all overlap, O(n log n)
// for disjoint ones.
//
//	in   |----5----)            out  |-5-|
//	         |-------8------)            |-8,5-|
//	                                           |--8--|
func fragment(cmp *Comparer, ts []tombstone) fragments {
	if len(ts) == 0 {
		return nil
	}
	slices.SortFunc(ts, func(a, b tombstone) int { return cmp.Compare(a.start, b.start) })
	bounds := make([][]byte, 0, 2*len(ts))
	for _, t := range ts {
		bounds = append(bounds, t.start, t.end)
	}
	slices.SortFunc(bounds, cmp.Compare)
	bounds = slices.CompactFunc(bounds, func(a, b []byte) bool { return cmp.Compare(a, b) == 0 })
	var out fragments
	var active []tombstone
	for i := 0; i+1 < len(bounds); i++ {
		lo, hi := bounds[i], bounds[i+1]
		active = slices.DeleteFunc(active, func(t tombstone) bool { return cmp.Compare(t.end, lo) <= 0 })
		for len(ts) > 0 && cmp.Compare(ts[0].start, lo) <= 0 {
			if cmp.Compare(ts[0].end, lo) > 0 {
				active = append(active, ts[0])
			}
			ts = ts[1:]
		}
		if len(active) == 0 {
			continue
		}
		f := rangeFragment{start: lo, end: hi}
		for _, t := range active {
			f.seqs = append(f.seqs, t.seq)
		}
		slices.SortFunc(f.seqs, func(a, b keys.SeqNum) int {
			switch {
			case a > b:
				return -1
			case a < b:
				return 1
			}
			return 0
		})
		f.seqs = slices.Compact(f.seqs)
		out = append(out, f)
	}
	return out
}

// find returns the index of the fragment that holds key, or -1.
func (fs fragments) find(cmp *Comparer, key []byte) int {
	i := sort.Search(len(fs), func(i int) bool { return cmp.Compare(fs[i].end, key) > 0 })
	if i < len(fs) && cmp.Compare(fs[i].start, key) <= 0 {
		return i
	}
	return -1
}

// covering returns the newest tombstone over key that is visible at seq, 0 if
// there is none.
func (fs fragments) covering(cmp *Comparer, key []byte, seq keys.SeqNum) keys.SeqNum {
	if len(fs) == 0 {
		return 0
	}
	i := fs.find(cmp, key)
	if i < 0 {
		return 0
	}
	return fs[i].visible(seq)
}

// visible returns the newest tombstone of the fragment that is visible at seq.
func (f *rangeFragment) visible(seq keys.SeqNum) keys.SeqNum {
	for _, s := range f.seqs {
		if s <= seq {
			return s
		}
	}
	return 0
}

// tombstones lists the fragments' tombstones again, one for each fragment and
// sequence number.
func (fs fragments) tombstones() []tombstone {
	var ts []tombstone
	for _, f := range fs {
		for _, s := range f.seqs {
			ts = append(ts, tombstone{f.start, f.end, s})
		}
	}
	return ts
}
