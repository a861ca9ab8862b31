package replace

import "github.com/memlab-go/memlab/vm"

// A WorkingSetSize measures the size of the working set over time: the number of
// different pages among the last tau references (Denning 1968). O(1) a
// reference, memory for tau references and the pages.
type WorkingSetSize struct {
	ring []vm.PageID // the last tau references
	last []uint64    // by page: number of its last reference, from 1
	now  uint64      // references so far
	size int
	sum  int64
	most int
}

// NewWorkingSetSize returns an empty WorkingSetSize for windows of tau
// references (at least 1).
func NewWorkingSetSize(tau int) *WorkingSetSize {
	return &WorkingSetSize{ring: make([]vm.PageID, max(tau, 1))}
}

// Add takes one reference and returns the size of the working set then.
func (w *WorkingSetSize) Add(r Ref) int {
	p := r.Page()
	growTo(&w.last, int(p)+1)
	tau := uint64(len(w.ring))
	slot := &w.ring[w.now%tau]
	if w.now >= tau && w.last[*slot] == w.now+1-tau {
		w.size-- // the page that leaves the window was not referenced since
		w.last[*slot] = 0
	}
	w.now++
	if w.last[p] == 0 {
		w.size++
	}
	w.last[p] = w.now
	*slot = p
	w.sum += int64(w.size)
	w.most = max(w.most, w.size)
	return w.size
}

// Size returns the size in pages now.
func (w *WorkingSetSize) Size() int { return w.size }

// Max returns the largest size in pages so far.
func (w *WorkingSetSize) Max() int { return w.most }

// Mean returns the mean over the references so far, 0 before the first.
func (w *WorkingSetSize) Mean() float64 { return float64(w.sum) / float64(max(w.now, 1)) }

// forget takes p out of the working set, as if it had not been referenced.
func (w *WorkingSetSize) forget(p vm.PageID) {
	if int(p) < len(w.last) && w.last[p] != 0 {
		w.last[p] = 0
		w.size--
	}
}
