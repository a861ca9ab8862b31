package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// SecondChance is FIFO that spares pages in use: the page at the front of the
// queue, if its bit is set, goes to the back with the bit cleared. Bits are set
// on load and on reference. It chooses as [Clock] does, by moving pages instead
// of a hand (Tanenbaum and Bos, section 3.4.4). O(1) amortized.
type SecondChance struct {
	list rings
	bit  []bool
}

// NewSecondChance returns an empty SecondChance.
func NewSecondChance() *SecondChance { return &SecondChance{list: newRings(1)} }

// Hit implements [vm.Policy].
func (s *SecondChance) Hit(p vm.PageID, _ bool) { s.bit[p] = true }

// Insert implements [vm.Policy].
func (s *SecondChance) Insert(p vm.PageID, _ bool) {
	s.list.grow(p)
	growTo(&s.bit, int(p)+1)
	s.list.pushBack(0, p)
	s.bit[p] = true
}

// Victim implements [vm.Policy].
func (s *SecondChance) Victim(vm.PageID) (vm.PageID, bool) {
	for {
		p, ok := s.list.popFront(0)
		if !ok || !s.bit[p] {
			return p, ok
		}
		s.bit[p] = false
		s.list.pushBack(0, p)
	}
}

// Remove implements [vm.Policy].
func (s *SecondChance) Remove(p vm.PageID) { s.list.remove(0, p) }

// Pages implements [vm.Lister]: front of the queue first.
func (s *SecondChance) Pages() iter.Seq[vm.PageID] { return s.list.all(0) }
