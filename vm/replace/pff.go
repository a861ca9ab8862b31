package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// PFF, page fault frequency, lets a process grow while it faults often and trims
// it when it does not (Chu and Opderbeck, The page fault frequency replacement
// algorithm, AFIPS FJCC 1972): at a fault more than Threshold references after
// the one before, all pages not referenced since that one are evicted; at an
// earlier one the page is added and none is evicted. When the frames run out,
// the least recently used page is the victim. O(1) amortized.
//
// It is a [vm.Trimmer].
type PFF struct {
	list      rings // least recently used in front
	last      []uint64
	now       uint64
	fault     uint64 // time of the last fault
	trimTo    uint64 // pages last referenced before this are to go
	threshold uint64
}

// NewPFF returns an empty PFF with a threshold in references (at least 1).
func NewPFF(threshold int) *PFF {
	return &PFF{list: newRings(1), threshold: uint64(max(threshold, 1))}
}

// Hit implements [vm.Policy].
func (f *PFF) Hit(p vm.PageID, _ bool) {
	f.now++
	f.last[p] = f.now
	f.list.toBack(0, p)
}

// Insert implements [vm.Policy].
func (f *PFF) Insert(p vm.PageID, _ bool) {
	f.list.grow(p)
	growTo(&f.last, int(p)+1)
	f.now++
	f.last[p] = f.now
	f.list.pushBack(0, p)
	if f.now-f.fault > f.threshold {
		f.trimTo = f.fault
	}
	f.fault = f.now
}

// Victim implements [vm.Policy].
func (f *PFF) Victim(vm.PageID) (vm.PageID, bool) { return f.list.popFront(0) }

// Trim implements [vm.Trimmer].
func (f *PFF) Trim() (vm.PageID, bool) {
	if f.list.size[0] == 0 || f.last[f.list.front(0)] >= f.trimTo {
		return 0, false
	}
	return f.list.popFront(0)
}

// Remove implements [vm.Policy].
func (f *PFF) Remove(p vm.PageID) { f.list.remove(0, p) }

// Pages implements [vm.Lister]: least recently used first.
func (f *PFF) Pages() iter.Seq[vm.PageID] { return f.list.all(0) }
