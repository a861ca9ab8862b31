package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// Clock approximates LRU with one bit a page (Corbató, A paging experiment with
// the Multics system, 1968). Its rules:
//
//   - frames are filled 0, 1, 2, … and the hand begins at frame 0;
//   - the bit of a page is set when it is loaded and when it is referenced;
//   - on a fault the hand clears set bits as it passes; it stops at the first
//     clear one, whose page is replaced, and moves past it.
//
// O(1) amortized: the hand passes a page at most once for each reference.
type Clock struct {
	slots
	bit []uint8 // by page
}

// NewClock returns an empty Clock.
func NewClock() *Clock { return &Clock{} }

// Hit implements [vm.Policy].
func (c *Clock) Hit(p vm.PageID, _ bool) { c.bit[p] = 1 }

// Insert implements [vm.Policy].
func (c *Clock) Insert(p vm.PageID, _ bool) {
	c.add(p)
	growTo(&c.bit, int(p)+1)
	c.bit[p] = 1
}

// Victim implements [vm.Policy].
func (c *Clock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	for {
		p := c.page[c.hand]
		if p != noPage && c.bit[p] == 0 {
			c.take(p)
			c.advance()
			return p, true
		}
		if p != noPage {
			c.bit[p] = 0
		}
		c.advance()
	}
}

// Remove implements [vm.Policy].
func (c *Clock) Remove(p vm.PageID) { c.take(p) }

// Pages implements [vm.Lister]: in the order of the frames.
func (c *Clock) Pages() iter.Seq[vm.PageID] { return c.all() }

// runBatch implements batcher.
func (c *Clock) runBatch(s *Sim, refs []Ref) int {
	growTo(&c.bit, len(s.state))
	growTo(&c.slot, len(s.state))
	state, bit := s.state, c.bit[:len(s.state)]
	counts := s.counts
	n := len(refs)
	for i, r := range refs {
		p := int(r >> 1)
		if p >= len(state) {
			n = i
			break
		}
		counts.Writes += int64(r & 1)
		bit[p] = 1
		st, need := state[p], resident|uint8(r&1)<<1
		if st&need == need { // most hits change nothing, and store nothing more
			continue
		}
		state[p] = st | need
		if st != 0 {
			continue
		}
		counts.Misses++
		if s.used < s.frames {
			s.used++
			c.add(vm.PageID(p))
			continue
		}
		v := c.turn()
		counts.Evictions++
		counts.Writebacks += int64(state[v] >> 1 & 1)
		state[v] = 0
		at := c.hand
		c.page[at] = vm.PageID(p)
		c.slot[p] = uint32(at)
		c.advance()
	}
	s.counts = counts
	return n
}

// nearHits implements nearHitter.
func (c *Clock) nearHits(n *near, accs []Access) (taken int, writes int64) {
	bit := c.bit
	for i, a := range accs {
		e := &n.slots[home(a)]
		if !e.holds(a) {
			return i, writes
		}
		bit[e.page] = 1
		writes += int64(a & 1)
	}
	return len(accs), writes
}

// turn moves the hand to the page to be replaced, when no slot is empty, and
// returns that page.
func (c *Clock) turn() vm.PageID {
	page, bit, hand := c.page, c.bit, c.hand
	for bit[page[hand]] != 0 {
		bit[page[hand]] = 0
		if hand++; hand == len(page) {
			hand = 0
		}
	}
	c.hand = hand
	return page[hand]
}
