package replace

import (
	"iter"
	"math"
	"math/bits"
	"slices"

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
// stops behind the victim. Words of bits, and the oldest time of every 64
// frames, spare the hand the pages that it would only pass.
//
// It is a [vm.Launderer].
type WSClock struct {
	slots
	used, ref, mod bitmap // by slot
	last           []uint64
	oldest         []uint64 // by word: at most the smallest last of its slots with R=0
	floor          uint64   // at most the smallest of oldest among the words not in aged
	aged           bitmap   // words that may have an old slot with R=0
	hot            bitmap   // words that may have a slot with R=1
	clean          bitmap   // words that may have a clean page
	now, tau       uint64
	laundry        []vm.PageID
}

// NewWSClock returns an empty WSClock with a window of tau references (at least
// 1).
func NewWSClock(tau int) *WSClock { return &WSClock{tau: uint64(max(tau, 1))} }

// Hit implements [vm.Policy].
func (c *WSClock) Hit(p vm.PageID, write bool) {
	c.now++
	i := int(c.slot[p])
	c.ref.set(i)
	c.hot.set(i >> 6)
	if write {
		c.mod.set(i)
	}
}

// Insert implements [vm.Policy].
func (c *WSClock) Insert(p vm.PageID, write bool) {
	c.now++
	i := c.add(p)
	for _, b := range []*bitmap{&c.used, &c.ref, &c.mod} {
		b.growBits(i)
	}
	growTo(&c.last, i+1)
	growTo(&c.oldest, i>>6+1)
	for _, b := range []*bitmap{&c.aged, &c.hot, &c.clean} {
		b.growBits(i >> 6)
	}
	c.used.set(i)
	c.ref.set(i)
	c.hot.set(i >> 6)
	c.mod.put(i, write)
	c.clean.set(i >> 6)
	c.last[i] = c.now
}

// Victim implements [vm.Policy].
func (c *WSClock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	i := c.round()
	if i < 0 {
		i = c.firstClean()
	}
	if i < 0 {
		i = firstFrom(c.hand, len(c.used), func(w int) uint64 { return c.used[w] })
	}
	p := c.page[i]
	c.Remove(p)
	c.setHand(i + 1)
	return p, true
}

// firstClean returns the slot of the first clean page from the hand on, or -1.
func (c *WSClock) firstClean() int {
	w0, upper := c.hand>>6, ^uint64(0)<<(c.hand&63)
	if m := (c.used[w0] &^ c.mod[w0]) & upper; m != 0 {
		return w0<<6 + bits.TrailingZeros64(m)
	}
	for from, rest := w0+1, len(c.used); rest > 0; {
		w := firstFrom(from, len(c.clean), func(k int) uint64 { return c.clean[k] })
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
	if c.floor+c.tau < c.now {
		c.age()
	}
	if !slices.ContainsFunc(c.aged, func(m uint64) bool { return m != 0 }) { // nobody is old: the hand only clears R
		for h := range c.hot {
			for m := c.hot[h]; m != 0; m &= m - 1 {
				c.passReferenced(h<<6+bits.TrailingZeros64(m), ^uint64(0))
			}
			c.hot[h] = 0
		}
		return -1
	}
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

// age finds the words whose oldest slot has grown old since the last time.
func (c *WSClock) age() {
	c.floor = math.MaxUint64 - c.tau
	for w, t := range c.oldest {
		if t+c.tau < c.now {
			c.aged.set(w)
		} else {
			c.floor = min(c.floor, t)
		}
	}
}

// sweepWords moves the hand over the words from lo to before hi that have
// something to clear or somebody old.
func (c *WSClock) sweepWords(lo, hi int) int {
	for k := lo >> 6; k<<6 < hi; k++ {
		m := c.hot[k] | c.aged[k]
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
			c.hot.clear(w)
		}
	}
	return -1
}

// passReferenced clears R of the slots of word w that are in mask.
func (c *WSClock) passReferenced(w int, mask uint64) {
	set := c.used[w] & c.ref[w] & mask
	if set == 0 {
		return
	}
	for m := set; m != 0; m &= m - 1 {
		c.last[w<<6+bits.TrailingZeros64(m)] = c.now
	}
	c.ref[w] &^= set
	c.oldest[w] = min(c.oldest[w], c.now)
	c.floor = min(c.floor, c.now)
}

// sweep moves the hand over the slots of word w that are in mask.
func (c *WSClock) sweep(w int, mask uint64) int {
	if c.oldest[w]+c.tau >= c.now { // nobody is old
		c.passReferenced(w, mask)
		return -1
	}
	last := c.last[w<<6:]
	low := uint64(math.MaxUint64) - c.tau
	for m := c.used[w] & mask; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		switch t := last[k]; {
		case c.ref[w]>>k&1 != 0:
			c.ref[w] &^= 1 << k
			last[k] = c.now
			low = min(low, c.now)
		case c.now-t <= c.tau:
			low = min(low, t)
		case c.mod[w]>>k&1 == 0:
			c.oldest[w] = 0 // not known: look at the word again next time
			c.aged.set(w)
			return w<<6 + k
		default:
			c.mod[w] &^= 1 << k
			c.clean.set(w)
			c.laundry = append(c.laundry, c.page[w<<6+k])
			low = min(low, t)
		}
	}
	for m := c.used[w] &^ c.ref[w] &^ mask; m != 0; m &= m - 1 {
		low = min(low, last[bits.TrailingZeros64(m)])
	}
	c.oldest[w] = low
	if low+c.tau >= c.now {
		c.aged.clear(w)
		c.floor = min(c.floor, low)
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
	i := c.take(p)
	c.used.clear(i)
	c.ref.clear(i)
	c.mod.clear(i)
}

// Pages implements [vm.Lister]: in the order of the frames.
func (c *WSClock) Pages() iter.Seq[vm.PageID] { return c.all() }
