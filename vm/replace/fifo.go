package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// FIFO evicts the page that was loaded first. References to resident pages
// change nothing, so that more frames can mean more faults (Belady, Nelson and
// Shedler, An anomaly in space-time characteristics of certain programs running
// in a paging machine, CACM 12, 1969). O(1).
type FIFO struct {
	list rings // one list, oldest load first
}

// NewFIFO returns an empty FIFO.
func NewFIFO() *FIFO { return &FIFO{newRings(1)} }

// Hit implements [vm.Policy].
func (f *FIFO) Hit(vm.PageID, bool) {}

// Insert implements [vm.Policy].
func (f *FIFO) Insert(p vm.PageID, _ bool) {
	f.list.grow(p)
	f.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (f *FIFO) Victim(vm.PageID) (vm.PageID, bool) { return f.list.popFront(0) }

// Remove implements [vm.Policy].
func (f *FIFO) Remove(p vm.PageID) { f.list.remove(0, p) }

// Pages implements [vm.Lister]: oldest load first.
func (f *FIFO) Pages() iter.Seq[vm.PageID] { return f.list.all(0) }

// runBatch implements batcher. Node 0 is the head of the list; the node of a
// page is one above its number.
func (f *FIFO) runBatch(s *Sim, refs []Ref) int {
	growTo(&f.list.nodes, len(s.state)+1)
	state, nodes := s.state, f.list.nodes
	used, c := s.used, s.counts
	n := len(refs)
	for i, r := range refs {
		p := int(r >> 1)
		if p >= len(state) {
			n = i
			break
		}
		c.Writes += int64(r & 1)
		st, need := state[p], resident|uint8(r&1)<<1
		if st&need == need { // most hits change nothing, and store nothing
			continue
		}
		state[p] = st | need
		if st != 0 {
			continue
		}
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
		}
		last := nodes[0].prev
		nodes[p+1] = ringNode{last, 0}
		nodes[last].next, nodes[0].prev = uint32(p)+1, uint32(p)+1
	}
	s.used, s.counts, f.list.size[0] = used, c, used
	return n
}

// nearHits implements nearHitter.
func (f *FIFO) nearHits(n *near, accs []Access) (taken int, writes int64) {
	for i, a := range accs {
		if !n.slots[home(a)].holds(a) {
			return i, writes
		}
		writes += int64(a & 1)
	}
	return len(accs), writes
}

// where implements nearHitter.
func (f *FIFO) where(vm.PageID) uint32 { return 0 }
