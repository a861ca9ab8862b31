package replace

import (
	"iter"
	"math"

	"github.com/memlab-go/memlab/vm"
)

// recency is the resident pages in the order of their last references, with the times
// of these: what the policies that trim are made of. O(1).
type recency struct {
	list rings    // one list, least recently used first
	last []uint64 // by page: number of its last reference
	now  uint64   // references so far
}

func newRecency() recency { return recency{list: newRings(1)} }

// Hit implements [vm.Policy].
func (r *recency) Hit(p vm.PageID, _ bool) {
	r.stamp(p)
	r.list.toBack(0, p)
}

// Insert implements [vm.Policy].
func (r *recency) Insert(p vm.PageID, _ bool) {
	r.list.grow(p)
	growTo(&r.last, int(p)+1)
	r.stamp(p)
	r.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (r *recency) Victim(vm.PageID) (vm.PageID, bool) { return r.list.popFront(0) }

// Remove implements [vm.Policy].
func (r *recency) Remove(p vm.PageID) { r.list.remove(0, p) }

// Pages implements [vm.Lister]: least recently used first.
func (r *recency) Pages() iter.Seq[vm.PageID] { return r.list.all(0) }

// stamp counts a reference, to p.
func (r *recency) stamp(p vm.PageID) {
	r.now++
	r.last[p] = r.now
}

// oldest returns when the page in front was referenced, or endOfTime if there is none.
func (r *recency) oldest() uint64 {
	if r.list.size[0] == 0 {
		return endOfTime
	}
	return r.last[r.list.front(0)]
}

// endOfTime is later than all references.
const endOfTime = math.MaxUint64

// hits takes refs from the front up to the first that is no hit, or that is the one
// numbered until, or a later one, and counts its writes in s. It returns how many it
// took. That most references of real programs are to the page of the one before makes
// it worth its lines, as in LRU.runBatch.
func (r *recency) hits(s *Sim, refs []Ref, until uint64) int {
	state, nodes, last := s.state, r.list.nodes, r.last
	mru, now, writes := nodes[0].prev, r.now, int64(0)
	if until <= now {
		return 0
	}
	refs = refs[:min(uint64(len(refs)), until-now-1)]
	taken := len(refs)
	for i, ref := range refs {
		p := int(ref >> 1)
		if p >= len(last) || state[p] == 0 {
			taken = i
			break
		}
		now++
		last[p] = now
		if ref&1 != 0 {
			state[p] |= dirty
			writes++
		}
		n := uint32(p) + 1
		if n == mru {
			continue
		}
		old := nodes[n]
		nodes[old.prev].next = old.next
		nodes[old.next].prev = old.prev
		nodes[n] = ringNode{mru, 0}
		nodes[mru].next = n
		mru = n
	}
	nodes[0].prev = mru
	r.now = now
	s.counts.Writes += writes
	return taken
}
