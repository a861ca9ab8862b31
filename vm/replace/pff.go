package replace

import "github.com/memlab-go/memlab/vm"

// PFF, page fault frequency, lets a process grow while it faults often and trims
// it when it does not (Chu and Opderbeck, The page fault frequency replacement
// algorithm, AFIPS FJCC 1972): at a fault more than Threshold references after
// the one before, all pages not referenced since that one are evicted; at an
// earlier one the page is added and none is evicted. When the frames run out,
// the least recently used page is the victim. O(1) amortized.
//
// It is a [vm.Trimmer].
type PFF struct {
	recency
	fault     uint64 // number of the last reference that faulted
	trimTo    uint64 // pages last referenced before this are to go
	threshold uint64
}

// NewPFF returns an empty PFF with a threshold in references (at least 1).
func NewPFF(threshold int) *PFF {
	return &PFF{recency: newRecency(), threshold: uint64(max(threshold, 1))}
}

// Insert implements [vm.Policy].
func (f *PFF) Insert(p vm.PageID, write bool) {
	f.recency.Insert(p, write)
	if f.now-f.fault > f.threshold {
		f.trimTo = f.fault
	}
	f.fault = f.now
}

// Trim implements [vm.Trimmer].
func (f *PFF) Trim() (vm.PageID, bool) {
	if f.oldest() >= f.trimTo {
		return 0, false
	}
	return f.list.popFront(0)
}

// runHits implements hitRunner: hits trim nothing, but the first one after an Unpin
// that was taken for a fault.
func (f *PFF) runHits(s *Sim, refs []Ref) int {
	if f.oldest() < f.trimTo {
		return 0
	}
	return f.hits(s, refs, endOfTime)
}
