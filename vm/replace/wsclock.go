package replace

import (
	"iter"
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// WSClock joins the working set and the clock (Carr and Hennessy, WSClock: a
// simple and effective algorithm for virtual memory management, SOSP 1981; rules
// as in Tanenbaum and Bos, section 3.4.9). R is set on load and on reference, M
// on write; every page has a time of last use. On a fault, from the hand on:
//
//   - R=1: R is cleared, the time of last use becomes now, the hand moves on;
//   - R=0, last use at most Tau references ago: the hand moves on;
//   - R=0, older, clean: the victim;
//   - R=0, older, dirty: a write-back is begun (M is cleared; the simulation lets
//     it end at once), the hand moves on.
//
// A round without a victim ends the search: the first clean page from the hand
// on is the victim, or, if all are dirty, the page under the hand. The hand
// stops behind the victim.
//
// The hand need not look at pages that it only passes. Those whose R is clear stand in
// a list in the order in which it was cleared, so that the next to grow old is in front;
// a bitmap holds the old ones, and words of bits lead from one page that matters to
// the next. While nobody is old, a round clears every R, so the pages whose R was set
// are listed too. Each step of the hand is paid for by a reference or by a write. O(1)
// amortized, and one look at every 4096th frame a fault.
//
// It is a [vm.Launderer].
type WSClock struct {
	slots
	used, ref, mod bitmap   // by slot
	old            bitmap   // by slot: R was cleared more than tau references ago; R may be set again
	numOld         int      // bits of old
	last           []uint64 // by slot: time of last use while its page is in rested, else 0
	rested         rings    // pages whose R was cleared, in that order, until they are old; R may be set again
	touched        []uint32 // slots whose R was set since all were clear; it may be clear again
	busy           bitmap   // words that may have a slot with R=1, or an old one
	clean          bitmap   // words that may have a clean page
	numClean       int      // pages with M=0
	now, tau       uint64
	laundry        []vm.PageID
}

// NewWSClock returns an empty WSClock with a window of tau references (at least
// 1).
func NewWSClock(tau int) *WSClock { return &WSClock{rested: newRings(1), tau: uint64(max(tau, 1))} }

// Hit implements [vm.Policy].
func (c *WSClock) Hit(p vm.PageID, write bool) {
	c.now++
	i := c.slot[p]
	w, m := i>>6, uint64(1)<<(i&63)
	if write && c.mod[w]&m == 0 {
		c.mod[w] |= m
		c.numClean--
	}
	if c.ref[w]&m == 0 {
		c.setRef(i)
	}
}

// setRef sets R of slot i.
func (c *WSClock) setRef(i uint32) {
	c.ref.set(int(i))
	c.busy.set(int(i >> 6))
	c.touched = append(c.touched, i)
}

// Insert implements [vm.Policy].
func (c *WSClock) Insert(p vm.PageID, write bool) {
	i := c.add(p)
	if i >= len(c.last) {
		growTo(&c.last, i+1)
		for _, b := range []*bitmap{&c.used, &c.ref, &c.mod, &c.old} {
			b.growBits(i)
		}
		c.busy.growBits(i >> 6)
		c.clean.growBits(i >> 6)
	}
	c.come(p, i, write)
}

// come notes that p was loaded into slot i.
func (c *WSClock) come(p vm.PageID, i int, write bool) {
	c.now++
	c.rested.grow(p)
	growTo(&c.slot, int(p)+1)
	c.slot[p] = uint32(i)
	c.used.set(i)
	c.setRef(uint32(i))
	if write {
		c.mod.set(i)
		return
	}
	c.mod.clear(i)
	c.numClean++
	c.clean.set(i >> 6)
}

// Victim implements [vm.Policy].
func (c *WSClock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	p := c.page[c.turn()]
	c.Remove(p)
	return p, true
}

// turn moves the hand behind the slot of the victim, which it returns. There must be
// a page.
func (c *WSClock) turn() int {
	c.age()
	i := -1
	if c.numOld > 0 {
		i = c.round()
	}
	if i < 0 {
		c.clearAll()
		i = c.firstClean()
	}
	if i < 0 {
		i = c.firstUsed()
	}
	c.setHand(i + 1)
	return i
}

// age marks the pages that have grown old since the last time.
func (c *WSClock) age() {
	for c.rested.size[0] > 0 {
		p := c.rested.front(0)
		i := c.slot[p]
		if c.last[i]+c.tau >= c.now {
			break
		}
		c.rested.remove(0, p)
		c.last[i] = 0
		if w, m := i>>6, uint64(1)<<(i&63); c.ref[w]&m == 0 {
			c.old[w] |= m
			c.numOld++
			c.busy.set(int(w))
		}
	}
	if len(c.touched) > 4*len(c.page)+64 { // rounds found victims: what is listed is mostly clear, or listed twice
		c.touched = c.touched[:0]
		for w, m := range c.ref {
			for ; m != 0; m &= m - 1 {
				c.touched = append(c.touched, uint32(w<<6+bits.TrailingZeros64(m)))
			}
		}
	}
}

// clearAll is a round in which nobody is old: it clears R wherever it is set.
func (c *WSClock) clearAll() {
	for _, i := range c.touched {
		w, m := i>>6, uint64(1)<<(i&63)
		if c.ref[w]&m != 0 {
			c.ref[w] &^= m
			c.rest(int(i))
		}
		if c.numOld == 0 {
			c.busy.clear(int(w))
		}
	}
	c.touched = c.touched[:0]
}

// rest notes that R of slot i is cleared now.
func (c *WSClock) rest(i int) {
	if p := c.page[i]; c.last[i] == 0 {
		c.rested.pushBack(0, p)
	} else {
		c.rested.toBack(0, p)
	}
	c.last[i] = c.now
}

// firstUsed returns the slot of the first page from the hand on.
func (c *WSClock) firstUsed() int {
	if w := c.hand >> 6; c.used[w]>>(c.hand&63)&1 != 0 {
		return c.hand
	}
	return c.used.firstFrom(c.hand)
}

// firstClean returns the slot of the first clean page from the hand on, or -1.
func (c *WSClock) firstClean() int {
	if c.numClean == 0 {
		return -1
	}
	w0, upper := c.hand>>6, ^uint64(0)<<(c.hand&63)
	if m := (c.used[w0] &^ c.mod[w0]) & upper; m != 0 {
		return w0<<6 + bits.TrailingZeros64(m)
	}
	for from, rest := w0+1, len(c.used); rest > 0; {
		w := c.clean.firstFrom(from)
		if w < 0 {
			return -1
		}
		if m := c.used[w] &^ c.mod[w]; m != 0 {
			return w<<6 + bits.TrailingZeros64(m)
		}
		c.clean.clear(w)
		from, rest = w+1, rest-1
	}
	return -1
}

// round moves the hand once round and returns the slot of an old clean page, or
// -1. The word of the hand is visited twice, its upper part first.
func (c *WSClock) round() int {
	w0, upper := c.hand>>6, ^uint64(0)<<(c.hand&63)
	if i := c.sweep(w0, upper); i >= 0 {
		return i
	}
	if i := c.sweepWords(w0+1, len(c.used)); i >= 0 {
		return i
	}
	if i := c.sweepWords(0, w0); i >= 0 {
		return i
	}
	return c.sweep(w0, ^upper)
}

// sweepWords moves the hand over the words from lo to before hi that have
// something to clear or somebody old.
func (c *WSClock) sweepWords(lo, hi int) int {
	for k := lo >> 6; k<<6 < hi; k++ {
		m := c.busy[k]
		if k == lo>>6 {
			m &= ^uint64(0) << (lo & 63)
		}
		for ; m != 0; m &= m - 1 {
			w := k<<6 + bits.TrailingZeros64(m)
			if w >= hi {
				return -1
			}
			if i := c.sweep(w, ^uint64(0)); i >= 0 {
				return i
			}
		}
	}
	return -1
}

// sweep moves the hand over the slots of word w that are in mask, and returns the
// slot of an old clean page, or -1.
func (c *WSClock) sweep(w int, mask uint64) int {
	old := c.old[w] & c.used[w] &^ c.ref[w] & mask
	victim := -1
	if clean := old &^ c.mod[w]; clean != 0 {
		victim = bits.TrailingZeros64(clean)
		mask &= 1<<victim - 1
	}
	for m := old & c.mod[w] & mask; m != 0; m &= m - 1 {
		c.laundry = append(c.laundry, c.page[w<<6+bits.TrailingZeros64(m)])
	}
	if m := old & c.mod[w] & mask; m != 0 {
		c.mod[w] &^= m
		c.numClean += bits.OnesCount64(m)
		c.clean.set(w)
	}
	set := c.used[w] & c.ref[w] & mask
	for m := set; m != 0; m &= m - 1 {
		c.rest(w<<6 + bits.TrailingZeros64(m))
	}
	c.ref[w] &^= set
	c.numOld -= bits.OnesCount64(c.old[w] & set)
	c.old[w] &^= set
	if victim >= 0 {
		return w<<6 + victim
	}
	if c.used[w]&(c.ref[w]|c.old[w]) == 0 {
		c.busy.clear(w)
	}
	return -1
}

// Launder implements [vm.Launderer].
func (c *WSClock) Launder() (vm.PageID, bool) {
	n := len(c.laundry)
	if n == 0 {
		return 0, false
	}
	p := c.laundry[n-1]
	c.laundry = c.laundry[:n-1]
	return p, true
}

// Remove implements [vm.Policy].
func (c *WSClock) Remove(p vm.PageID) {
	c.leave(p, c.take(p))
}

// leave notes that p left slot i.
func (c *WSClock) leave(p vm.PageID, i int) {
	w, m := i>>6, uint64(1)<<(i&63)
	if c.last[i] != 0 {
		c.rested.remove(0, p)
		c.last[i] = 0
	}
	if c.mod[w]&m == 0 {
		c.numClean--
	}
	if c.old[w]&m != 0 {
		c.numOld--
	}
	c.used[w] &^= m
	c.ref[w] &^= m
	c.mod[w] &^= m
	c.old[w] &^= m
}

// runBatch implements batcher.
func (c *WSClock) runBatch(s *Sim, refs []Ref) int {
	state, writes := s.state, int64(0)
	n := len(refs)
	for i, r := range refs {
		p := r.Page()
		if int(p) >= len(state) {
			n = i
			break
		}
		writes += int64(r & 1)
		st := state[p]
		state[p] = st | resident | uint8(r&1)<<1
		switch {
		case st != 0:
			c.Hit(p, r.Write())
			continue
		case s.used < s.frames:
			s.used++
			c.Insert(p, r.Write())
		default:
			c.replace(s, p, r.Write())
		}
		s.counts.Misses++
	}
	s.counts.Writes += writes
	return n
}

// replace puts p in the place of a victim. It is Victim, Launder and Insert in one.
func (c *WSClock) replace(s *Sim, p vm.PageID, write bool) {
	i := c.turn()
	for _, q := range c.laundry {
		s.state[q] &^= dirty
	}
	s.counts.Writebacks += int64(len(c.laundry))
	c.laundry = c.laundry[:0]
	v := c.page[i]
	s.counts.Evictions++
	s.counts.Writebacks += int64(s.state[v] >> 1)
	s.state[v] = 0
	c.leave(v, i)
	c.page[i] = p
	c.come(p, i, write)
}

// Pages implements [vm.Lister]: in the order of the frames.
func (c *WSClock) Pages() iter.Seq[vm.PageID] { return c.all() }
