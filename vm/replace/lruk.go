package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// LRUK evicts the page whose K-th last reference is longest ago; pages with
// fewer than K known references first, the least recently used of them
// (O'Neil, O'Neil and Weikum, The LRU-K page replacement algorithm for database
// disk buffering, SIGMOD 1993). Times of references are remembered when a page
// leaves, without limit (the paper's Retained Information Period is infinite),
// and the Correlated Reference Period is 0: every reference counts. LRU-1 is LRU.
//
// O(1) a hit; O(log resident pages) a fault, amortized: a heap keeps pages by
// keys that may be too small, and mends those that come to its top.
type LRUK struct {
	k    int
	hist []uint64 // K times for each page, the latest first; 0: unknown
	heap []lrukEntry
	now  uint64
}

// lrukEntry is a page in the heap, with a lower bound of its key: the time of its K-th
// last reference, with bit 63 set, or of its last one if it has fewer than K. No two
// references have one time.
type lrukEntry struct {
	key  uint64
	page vm.PageID
}

// NewLRUK returns an empty LRU-k; k is at least 1.
func NewLRUK(k int) *LRUK { return &LRUK{k: max(k, 1)} }

// Hit implements [vm.Policy].
func (l *LRUK) Hit(p vm.PageID, _ bool) {
	l.now++
	h := l.hist[int(p)*l.k : (int(p)+1)*l.k]
	if l.k == 2 {
		h[1] = h[0]
	} else {
		copy(h[1:], h)
	}
	h[0] = l.now
}

// Insert implements [vm.Policy].
func (l *LRUK) Insert(p vm.PageID, w bool) {
	growTo(&l.hist, (int(p)+1)*l.k)
	l.Hit(p, w)
	l.heap = append(l.heap, l.entry(p))
	l.up(len(l.heap) - 1)
}

// entry returns the entry of p with its true key.
func (l *LRUK) entry(p vm.PageID) lrukEntry {
	h := l.hist[int(p)*l.k : (int(p)+1)*l.k]
	if kth := h[l.k-1]; kth != 0 {
		return lrukEntry{kth | 1<<63, p}
	}
	return lrukEntry{h[0], p}
}

// Victim implements [vm.Policy].
func (l *LRUK) Victim(vm.PageID) (vm.PageID, bool) {
	if len(l.heap) == 0 {
		return 0, false
	}
	for {
		top := l.heap[0]
		now := l.entry(top.page)
		if now == top {
			l.delete(0)
			return top.page, true
		}
		l.heap[0] = now
		l.down(0)
	}
}

// Remove implements [vm.Policy]. It forgets the history. O(resident pages).
func (l *LRUK) Remove(p vm.PageID) {
	for i, e := range l.heap {
		if e.page == p {
			l.delete(i)
			break
		}
	}
	clear(l.hist[int(p)*l.k : (int(p)+1)*l.k])
}

// Pages implements [vm.Lister], in no meaningful order.
func (l *LRUK) Pages() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for _, e := range l.heap {
			if !yield(e.page) {
				return
			}
		}
	}
}

// delete takes entry i out of the heap.
func (l *LRUK) delete(i int) {
	last := len(l.heap) - 1
	l.heap[i] = l.heap[last]
	l.heap = l.heap[:last]
	if i < last {
		l.down(i)
		l.up(i)
	}
}

func (l *LRUK) up(i int) {
	e := l.heap[i]
	for i > 0 && e.key < l.heap[(i-1)/2].key {
		l.heap[i] = l.heap[(i-1)/2]
		i = (i - 1) / 2
	}
	l.heap[i] = e
}

func (l *LRUK) down(i int) {
	heap := l.heap
	e, n := heap[i], len(heap)
	for 2*i+1 < n {
		kid := 2*i + 1
		if right := min(kid+1, n-1); heap[right].key < heap[kid].key {
			kid = right
		}
		if heap[kid].key >= e.key {
			break
		}
		heap[i] = heap[kid]
		i = kid
	}
	heap[i] = e
}
