package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// LRU evicts the page whose last reference is longest ago. It is a stack
// algorithm: what is resident in n frames is resident in n+1 (Mattson, Gecsei,
// Slutz and Traiger, Evaluation techniques for storage hierarchies, IBM Systems
// Journal 9, 1970). O(1).
type LRU struct {
	list rings // one list, least recently used first
}

// NewLRU returns an empty LRU.
func NewLRU() *LRU { return &LRU{newRings(1)} }

// Hit implements [vm.Policy].
func (l *LRU) Hit(p vm.PageID, _ bool) { l.list.toBack(0, p) }

// Insert implements [vm.Policy].
func (l *LRU) Insert(p vm.PageID, _ bool) {
	l.list.grow(p)
	l.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (l *LRU) Victim(vm.PageID) (vm.PageID, bool) { return l.list.popFront(0) }

// Remove implements [vm.Policy].
func (l *LRU) Remove(p vm.PageID) { l.list.remove(0, p) }

// Pages implements [vm.Lister]: least recently used first.
func (l *LRU) Pages() iter.Seq[vm.PageID] { return l.list.all(0) }

// runBatch implements batcher. Node 0 is the head of the list; the node of a
// page is one above its number. mru is the node at the back: a reference to it
// moves nothing, which is what most references of real programs are. The head is
// told of it at the end.
func (l *LRU) runBatch(s *Sim, refs []Ref) int {
	growTo(&l.list.nodes, len(s.state)+1)
	state, nodes := s.state, l.list.nodes
	used, c := s.used, s.counts
	mru := nodes[0].prev
	taken := len(refs)
	for i, r := range refs {
		p := int(r >> 1)
		if p >= len(state) {
			taken = i
			break
		}
		c.Writes += int64(r & 1)
		n, st := uint32(p)+1, state[p]
		if need := resident | uint8(r&1)<<1; st&need != need {
			state[p] = st | need
		}
		if n == mru {
			continue
		}
		if st != 0 {
			old := nodes[n]
			nodes[old.prev].next = old.next
			nodes[old.next].prev = old.prev
		} else {
			c.Misses++
			if used < s.frames {
				used++
			} else {
				v := nodes[0].next
				next := nodes[v].next
				nodes[0].next, nodes[next].prev = next, 0
				c.Evictions++
				c.Writebacks += int64(state[v-1] >> 1 & 1)
				state[v-1] = 0
				if v == mru { // one frame
					mru = 0
				}
			}
		}
		nodes[n] = ringNode{mru, 0}
		nodes[mru].next = n
		mru = n
	}
	nodes[0].prev = mru
	s.used, s.counts, l.list.size[0] = used, c, used
	return taken
}

// nearHits implements nearHitter. mru is as in runBatch.
func (l *LRU) nearHits(n *near, accs []Access) (taken int, writes int64) {
	nodes := l.list.nodes
	mru := nodes[0].prev
	taken = len(accs)
	for i, a := range accs {
		e := &n.slots[home(a)]
		if !e.holds(a) {
			taken = i
			break
		}
		writes += int64(a & 1)
		at := e.where
		if at == mru {
			continue
		}
		old := nodes[at]
		nodes[old.prev].next = old.next
		nodes[old.next].prev = old.prev
		nodes[at] = ringNode{mru, 0}
		nodes[mru].next = at
		mru = at
	}
	nodes[0].prev = mru
	return taken, writes
}

// where implements nearHitter: its node.
func (l *LRU) where(p vm.PageID) uint32 { return uint32(p) + 1 }
