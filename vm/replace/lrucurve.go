package replace

import (
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// A Histogram counts references by stack distance: a reference with distance d
// hits in memories of d frames and more, and in no smaller one. That covers all
// memory sizes at once for policies with the inclusion property (Mattson and
// others 1970).
type Histogram struct {
	Refs     int64   // all references
	Cold     int64   // first references to a page, which miss in every memory
	Distance []int64 // references by distance; index 0 is unused
}

// Misses returns the misses in a memory of the given number of frames. O(number
// of distances); [Histogram.Curve] is for all of them.
func (h *Histogram) Misses(frames int) int64 {
	n := h.Cold
	for d := max(frames, 0) + 1; d < len(h.Distance); d++ {
		n += h.Distance[d]
	}
	return n
}

// Curve returns the misses by number of frames, from 0 frames (every reference
// misses) to the size from which on only cold misses are left. O(distances).
func (h *Histogram) Curve() []int64 {
	last := max(len(h.Distance)-1, 0)
	for last > 0 && h.Distance[last] == 0 {
		last--
	}
	curve := make([]int64, last+1)
	n := h.Cold
	for d := last; d >= 0; d-- {
		curve[d] = n
		if d > 0 {
			n += h.Distance[d]
		}
	}
	return curve
}

// count counts a reference with distance d, 0 for a cold one.
func (h *Histogram) count(d int) {
	h.Refs++
	if d == 0 {
		h.Cold++
		return
	}
	growTo(&h.Distance, d+1)
	h.Distance[d]++
}

// An LRUCurve measures the stack distances of LRU: how many different pages were
// referenced since the last reference to the same one, that one included. The
// time of the last reference of every page is a bit on a line; a distance is the
// number of bits behind one of them. Words of the line have their counts in a
// Fenwick tree; when the line is full it is closed up. O(log pages) a reference,
// amortized, and memory for the pages only (Bennett and Kruskal, LRU stack
// processing, IBM J. Res. Dev. 19, 1975).
type LRUCurve struct {
	hist Histogram
	last []uint32 // by page: its place on the line, plus 1; 0: never referenced
	line []uint64 // bit i: some page was referenced last at place i
	page []vm.PageID
	tree []uint32 // Fenwick tree over the number of bits in each word
	now  uint32   // next place
	live int      // pages seen
	mru  vm.PageID
}

// NewLRUCurve returns an empty LRUCurve.
func NewLRUCurve() *LRUCurve {
	c := &LRUCurve{mru: noPage}
	c.resize(1 << 12)
	return c
}

// Histogram returns what was measured so far. It changes with further use.
func (c *LRUCurve) Histogram() *Histogram { return &c.hist }

// Add takes further references.
func (c *LRUCurve) Add(refs []Ref) {
	for _, r := range refs {
		p := r.Page()
		if p == c.mru {
			c.hist.count(1)
			continue
		}
		c.mru = p
		growTo(&c.last, int(p)+1)
		if int(c.now) == len(c.page) {
			c.closeUp()
		}
		at := c.last[p]
		if at == 0 {
			c.hist.count(0)
			c.live++
		} else {
			c.hist.count(c.live - c.before(at-1))
			c.mark(at-1, -1)
		}
		c.page[c.now] = p
		c.mark(c.now, 1)
		c.now++
		c.last[p] = c.now
	}
}

// before returns the number of bits at places below i.
func (c *LRUCurve) before(i uint32) int {
	w := i >> 6
	n := bits.OnesCount64(c.line[w] & (1<<(i&63) - 1))
	for ; w > 0; w &= w - 1 {
		n += int(c.tree[w])
	}
	return n
}

// mark sets (by 1) or clears (by -1) the bit at place i.
func (c *LRUCurve) mark(i uint32, by int32) {
	c.line[i>>6] ^= 1 << (i & 63)
	for w := i>>6 + 1; int(w) < len(c.tree); w += w & -w {
		c.tree[w] += uint32(by)
	}
}

// closeUp moves the bits together at the front of a line that is at least twice
// as long as there are pages.
func (c *LRUCurve) closeUp() {
	var order []vm.PageID
	for i, p := range c.page[:c.now] {
		if c.last[p] == uint32(i)+1 {
			order = append(order, p)
		}
	}
	c.resize(max(len(c.page), 4*len(order)))
	for _, p := range order {
		c.page[c.now] = p
		c.mark(c.now, 1)
		c.now++
		c.last[p] = c.now
	}
}

// resize makes an empty line of n places, a multiple of 64.
func (c *LRUCurve) resize(n int) {
	n = (n + 63) &^ 63
	c.line = make([]uint64, n/64)
	c.tree = make([]uint32, n/64+1)
	c.page = make([]vm.PageID, n)
	c.now = 0
}
