package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// WorkingSet keeps exactly the pages referenced during the last Tau references
// and evicts the others at once, memory full or not (Denning, The working set
// model for program behavior, CACM 11, 1968). When the frames are fewer than the
// working set, the least recently used page is the victim. O(1).
//
// It is a [vm.Trimmer].
type WorkingSet struct {
	list rings // least recently used in front
	last []uint64
	now  uint64
	tau  uint64
}

// NewWorkingSet returns an empty WorkingSet with a window of tau references (at
// least 1).
func NewWorkingSet(tau int) *WorkingSet {
	return &WorkingSet{list: newRings(1), tau: uint64(max(tau, 1))}
}

// Hit implements [vm.Policy].
func (w *WorkingSet) Hit(p vm.PageID, _ bool) {
	w.now++
	w.last[p] = w.now
	w.list.toBack(0, p)
}

// Insert implements [vm.Policy].
func (w *WorkingSet) Insert(p vm.PageID, _ bool) {
	w.list.grow(p)
	growTo(&w.last, int(p)+1)
	w.now++
	w.last[p] = w.now
	w.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (w *WorkingSet) Victim(vm.PageID) (vm.PageID, bool) { return w.list.popFront(0) }

// Trim implements [vm.Trimmer]: pages not referenced for Tau references.
func (w *WorkingSet) Trim() (vm.PageID, bool) {
	if w.list.size[0] == 0 || w.now-w.last[w.list.front(0)] < w.tau {
		return 0, false
	}
	return w.list.popFront(0)
}

// Remove implements [vm.Policy].
func (w *WorkingSet) Remove(p vm.PageID) { w.list.remove(0, p) }

// Pages implements [vm.Lister]: least recently used first.
func (w *WorkingSet) Pages() iter.Seq[vm.PageID] { return w.list.all(0) }
