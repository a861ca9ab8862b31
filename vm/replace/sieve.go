package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// Sieve is a FIFO queue with a hand that moves from the oldest page to the
// newest and sifts out pages not visited since it came by (Zhang, Yang, Yue,
// Vigfusson and Rashmi, SIEVE is simpler than LRU, NSDI 2024, algorithm 1):
//
//   - hit: the page's bit is set, the page stays where it is;
//   - load: at the new end, bit clear;
//   - fault: the hand begins where it stopped, at first and after the new end at
//     the oldest page; it clears set bits and evicts the first page with a clear
//     one, then stands on the next newer page.
//
// O(1) amortized.
type Sieve struct {
	list    rings // oldest in front
	visited []bool
	hand    vm.PageID // or noPage: begin at the oldest
}

// NewSieve returns an empty Sieve.
func NewSieve() *Sieve { return &Sieve{list: newRings(1), hand: noPage} }

// Hit implements [vm.Policy].
func (s *Sieve) Hit(p vm.PageID, _ bool) { s.visited[p] = true }

// Insert implements [vm.Policy].
func (s *Sieve) Insert(p vm.PageID, _ bool) {
	s.list.grow(p)
	growTo(&s.visited, int(p)+1)
	s.visited[p] = false
	s.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (s *Sieve) Victim(vm.PageID) (vm.PageID, bool) {
	if s.list.size[0] == 0 {
		return 0, false
	}
	for {
		if s.hand == noPage {
			s.hand = s.list.front(0)
		}
		p := s.hand
		if !s.visited[p] {
			s.Remove(p)
			return p, true
		}
		s.visited[p] = false
		s.hand = s.newer(p)
	}
}

// newer returns the page loaded after p, or noPage. Node 0 is the head of the
// list and the node of a page one above its number.
func (s *Sieve) newer(p vm.PageID) vm.PageID { return vm.PageID(s.list.nodes[uint32(p)+1].next - 1) }

// Remove implements [vm.Policy]. A hand on p moves on.
func (s *Sieve) Remove(p vm.PageID) {
	if s.hand == p {
		s.hand = s.newer(p)
	}
	s.list.remove(0, p)
}

// Pages implements [vm.Lister]: oldest first.
func (s *Sieve) Pages() iter.Seq[vm.PageID] { return s.list.all(0) }
