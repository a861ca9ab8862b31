package replace

import (
	"encoding/binary"
	"iter"
	"math/bits"

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
	bit []uint8 // by slot
}

// NewClock returns an empty Clock.
func NewClock() *Clock { return &Clock{} }

// Hit implements [vm.Policy].
func (c *Clock) Hit(p vm.PageID, _ bool) { c.bit[c.slot[p]] = 1 }

// Insert implements [vm.Policy].
func (c *Clock) Insert(p vm.PageID, _ bool) {
	i := c.add(p)
	growTo(&c.bit, i+1)
	c.bit[i] = 1
}

// Victim implements [vm.Policy].
func (c *Clock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	for {
		p := c.page[c.hand]
		if p != noPage && c.bit[c.hand] == 0 {
			c.take(p)
			c.advance()
			return p, true
		}
		c.bit[c.hand] = 0
		c.advance()
	}
}

// Remove implements [vm.Policy].
func (c *Clock) Remove(p vm.PageID) { c.take(p) }

// Pages implements [vm.Lister]: in the order of the frames.
func (c *Clock) Pages() iter.Seq[vm.PageID] { return c.all() }

// runBatch implements batcher.
func (c *Clock) runBatch(s *Sim, refs []Ref) int {
	growTo(&c.slot, len(s.state))
	state, slot, bit := s.state, c.slot[:len(s.state)], c.bit
	writes, n := int64(0), len(refs)
	for i, r := range refs {
		p := int(r >> 1)
		if p >= len(state) {
			n = i
			break
		}
		writes += int64(r & 1)
		st, need := state[p], resident|uint8(r&1)<<1
		if st&need != need { // most hits change nothing but the bit
			state[p] = st | need
			if st == 0 {
				c.load(s, vm.PageID(p))
				bit = c.bit
				continue
			}
		}
		bit[slot[p]] = 1
	}
	s.counts.Writes += writes
	return n
}

// load brings p in, in place of the page that the hand finds if memory is full.
func (c *Clock) load(s *Sim, p vm.PageID) {
	s.counts.Misses++
	if s.used < s.frames {
		s.used++
		c.Insert(p, false)
		return
	}
	page, bit, hand := c.page, c.bit, c.turn()
	v := page[hand]
	s.counts.Evictions++
	s.counts.Writebacks += int64(s.state[v] >> 1 & 1)
	s.state[v] = 0
	page[hand], bit[hand], c.slot[p] = p, 1, uint32(hand)
	c.hand = hand
	c.advance()
}

// turn moves the hand to the slot of the page to be replaced, when no slot is empty.
// It looks at eight bits at a time, as nobody can predict where it stops.
func (c *Clock) turn() int {
	const ones = 0x0101_0101_0101_0101
	bit, hand := c.bit, c.hand
	for {
		for ; hand+8 <= len(bit); hand += 8 {
			b := bit[hand : hand+8]
			w := binary.LittleEndian.Uint64(b)
			if zeros := w ^ ones; zeros != 0 {
				k := bits.TrailingZeros64(zeros)
				binary.LittleEndian.PutUint64(b, w>>k<<k)
				return hand + k>>3
			}
			binary.LittleEndian.PutUint64(b, 0)
		}
		for ; hand < len(bit); hand++ {
			if bit[hand] == 0 {
				return hand
			}
			bit[hand] = 0
		}
		hand = 0
	}
}

// nearHits implements nearHitter.
func (c *Clock) nearHits(n *near, accs []Access) (taken int, writes int64) {
	bit := c.bit
	for i, a := range accs {
		e := &n.slots[home(a)]
		if !e.holds(a) {
			return i, writes
		}
		bit[e.where] = 1
		writes += int64(a & 1)
	}
	return len(accs), writes
}

// where implements nearHitter: its slot.
func (c *Clock) where(p vm.PageID) uint32 { return c.slot[p] }
