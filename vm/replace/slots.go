package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// noPage marks a slot without a page.
const noPage = ^vm.PageID(0)

// slots is the circle that the hand of a clock goes round: pages in the order
// of their frames. A page that comes in takes the slot that was emptied last,
// so that a fault puts the new page where its victim was; otherwise a new slot.
type slots struct {
	page []vm.PageID // by slot; noPage if empty
	slot []uint32    // by page; only valid while resident
	free []uint32    // empty slots, the last one to be filled first
	hand int
}

// add puts p into a slot and returns it.
func (s *slots) add(p vm.PageID) int {
	growTo(&s.slot, int(p)+1)
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.page[i], s.slot[p] = p, i
		return int(i)
	}
	s.slot[p] = uint32(len(s.page))
	s.page = append(s.page, p)
	return len(s.page) - 1
}

// take empties the slot of p and returns it.
func (s *slots) take(p vm.PageID) int {
	i := s.slot[p]
	s.page[i] = noPage
	s.free = append(s.free, i)
	return int(i)
}

// empty reports whether there is no page.
func (s *slots) empty() bool { return len(s.free) == len(s.page) }

// advance moves the hand to the next slot.
func (s *slots) advance() {
	if s.hand++; s.hand >= len(s.page) {
		s.hand = 0
	}
}

// setHand moves the hand to slot i, which may be one past the last.
func (s *slots) setHand(i int) {
	if s.hand = i; s.hand >= len(s.page) {
		s.hand = 0
	}
}

// all yields the pages in the order of their slots.
func (s *slots) all() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for _, p := range s.page {
			if p != noPage && !yield(p) {
				return
			}
		}
	}
}
