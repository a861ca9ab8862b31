package replace

import "github.com/memlab-go/memlab/vm"

// WorkingSet keeps exactly the pages referenced during the last Tau references
// and evicts the others at once, memory full or not (Denning, The working set
// model for program behavior, CACM 11, 1968). When the frames are fewer than the
// working set, the least recently used page is the victim. O(1).
//
// It is a [vm.Trimmer].
type WorkingSet struct {
	recency
	tau uint64
}

// NewWorkingSet returns an empty WorkingSet with a window of tau references (at
// least 1).
func NewWorkingSet(tau int) *WorkingSet {
	return &WorkingSet{recency: newRecency(), tau: uint64(max(tau, 1))}
}

// Trim implements [vm.Trimmer]: pages not referenced for Tau references.
func (w *WorkingSet) Trim() (vm.PageID, bool) {
	if old := w.oldest(); old == endOfTime || w.now-old < w.tau {
		return 0, false
	}
	return w.list.popFront(0)
}

// runHits implements hitRunner: nothing is trimmed while the page in front is young.
func (w *WorkingSet) runHits(s *Sim, refs []Ref) int {
	old := w.oldest()
	if old == endOfTime {
		return 0
	}
	return w.hits(s, refs, old+w.tau)
}
