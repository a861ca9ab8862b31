package replace

import (
	"iter"
	"math"
	"slices"

	"github.com/memlab-go/memlab/internal/mt19937"
	"github.com/memlab-go/memlab/vm"
)

// OSTEPRefs returns the page numbers that the paging homework of OSTEP draws
// for a seed: n numbers below maxPage (its options -s, -n and -m).
func OSTEPRefs(seed int64, n, maxPage int) []uint64 {
	rng := newPython(seed)
	refs := make([]uint64, n)
	for i := range refs {
		refs[i] = uint64(rng.Below(maxPage))
	}
	return refs
}

// OSTEPDraws returns how many numbers the homework drew for refs before it drew
// victims: one for each reference if the references can be its own for that seed
// and some number of pages, none if they were given to it (its option -a).
func OSTEPDraws(seed int64, refs []uint64) int {
	rng := newPython(seed)
	lo, hi := 1.0, math.Inf(1) // bounds of the number of pages
	for _, r := range refs {
		f := rng.Float()
		if f == 0 {
			if r != 0 {
				return 0
			}
			continue
		}
		lo = max(lo, math.Ceil(float64(r)/f))
		hi = min(hi, float64(r+1)/f)
	}
	if lo >= hi {
		return 0
	}
	return len(refs)
}

// OSTEPRand is the policy RAND of the OSTEP homework: the pages stand in the
// order of their loads, and the one at int(random.random() * pages) is evicted.
// O(frames) a fault.
type OSTEPRand struct {
	pages []vm.PageID
	rng   *mt19937.Rand
}

// NewOSTEPRand returns an empty OSTEPRand whose generator has the seed and has
// drawn that many numbers already.
func NewOSTEPRand(seed int64, draws int) *OSTEPRand {
	return &OSTEPRand{rng: drawn(seed, draws)}
}

// newPython returns Python's generator after random.seed(seed), which takes the
// absolute value.
func newPython(seed int64) *mt19937.Rand {
	if seed < 0 {
		return mt19937.New(-uint64(seed))
	}
	return mt19937.New(uint64(seed))
}

// drawn returns Python's generator after some draws.
func drawn(seed int64, draws int) *mt19937.Rand {
	rng := newPython(seed)
	for range draws {
		rng.Float()
	}
	return rng
}

// Hit implements [vm.Policy].
func (r *OSTEPRand) Hit(vm.PageID, bool) {}

// Insert implements [vm.Policy].
func (r *OSTEPRand) Insert(p vm.PageID, _ bool) { r.pages = append(r.pages, p) }

// Victim implements [vm.Policy].
func (r *OSTEPRand) Victim(vm.PageID) (vm.PageID, bool) {
	if len(r.pages) == 0 {
		return 0, false
	}
	p := r.pages[r.rng.Below(len(r.pages))]
	r.Remove(p)
	return p, true
}

// Remove implements [vm.Policy].
func (r *OSTEPRand) Remove(p vm.PageID) { r.pages = without(r.pages, p) }

// Pages implements [vm.Lister]: in the order of the loads.
func (r *OSTEPRand) Pages() iter.Seq[vm.PageID] { return slices.Values(r.pages) }

// without takes p out of pages, keeping the order.
func without(pages []vm.PageID, p vm.PageID) []vm.PageID {
	if i := slices.Index(pages, p); i >= 0 {
		return slices.Delete(pages, i, i+1)
	}
	return pages
}

// OSTEPClock is the policy CLOCK of the OSTEP homework. It has no hand: on a
// fault it looks at pages drawn at random, in a list in the order of their
// loads; a page whose count is above 0 loses one, a page at 0 is evicted. A load
// sets the count to 1, a hit adds 1, to at most ClockBits (its option -b; as
// there, a load to 1 goes unchecked). O(frames) a fault, expected.
type OSTEPClock struct {
	pages []vm.PageID
	count []int // by page
	most  int
	rng   *mt19937.Rand
}

// NewOSTEPClock returns an empty OSTEPClock whose generator has the seed and has
// drawn that many numbers already.
func NewOSTEPClock(seed int64, draws, clockBits int) *OSTEPClock {
	return &OSTEPClock{rng: drawn(seed, draws), most: clockBits}
}

// Hit implements [vm.Policy].
func (c *OSTEPClock) Hit(p vm.PageID, _ bool) { c.count[p] = min(c.count[p]+1, c.most) }

// Insert implements [vm.Policy].
func (c *OSTEPClock) Insert(p vm.PageID, _ bool) {
	growTo(&c.count, int(p)+1)
	c.count[p] = 1
	c.pages = append(c.pages, p)
}

// Victim implements [vm.Policy].
func (c *OSTEPClock) Victim(vm.PageID) (vm.PageID, bool) {
	for len(c.pages) > 0 {
		p := c.pages[c.rng.Below(len(c.pages))]
		if c.count[p] <= 0 {
			c.Remove(p)
			return p, true
		}
		c.count[p]--
	}
	return 0, false
}

// Remove implements [vm.Policy].
func (c *OSTEPClock) Remove(p vm.PageID) { c.pages = without(c.pages, p) }

// Pages implements [vm.Lister]: in the order of the loads.
func (c *OSTEPClock) Pages() iter.Seq[vm.PageID] { return slices.Values(c.pages) }

// NewUnopt returns the opposite of [OPT]: it evicts the page used again soonest,
// pages never used again last, and among those the one loaded first (OSTEP's
// UNOPT). O(log64 references) a fault.
func NewUnopt(f *Future) *OPT {
	o := NewOPT(f)
	o.nearest = true
	return o
}
