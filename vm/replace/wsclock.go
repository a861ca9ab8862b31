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
	floor          uint64   // at most the smallest of oldest
	hot            bitmap   // words that may have a slot with R=1
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
	c.hot.growBits(i >> 6)
	c.used.set(i)
	c.ref.set(i)
	c.hot.set(i >> 6)
	c.mod.put(i, write)
	c.last[i] = c.now
}

// Victim implements [vm.Policy].
func (c *WSClock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	i := c.round()
	if i < 0 {
		i = firstFrom(c.hand, len(c.used), func(w int) uint64 { return c.used[w] &^ c.mod[w] })
	}
	if i < 0 {
		i = firstFrom(c.hand, len(c.used), func(w int) uint64 { return c.used[w] })
	}
	p := c.page[i]
	c.Remove(p)
	c.setHand(i + 1)
	return p, true
}

// round moves the hand once round and returns the slot of an old clean page, or
// -1. The word of the hand is visited twice, its upper part first.
func (c *WSClock) round() int {
	n := len(c.used)
	if c.floor+c.tau >= c.now { // nobody is old: the hand only clears R
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
	for w := w0 + 1; w < w0+n; w++ {
		at := w
		if at >= n {
			at -= n
		}
		if c.hot[at>>6]>>(at&63)&1 == 0 && c.oldest[at]+c.tau >= c.now {
			continue // nothing to clear, nobody old
		}
		if i := c.sweep(at, ^uint64(0)); i >= 0 {
			return i
		}
	}
	if i := c.sweep(w0, ^upper); i >= 0 {
		return i
	}
	c.floor = slices.Min(c.oldest)
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
}

// sweep moves the hand over the slots of word w that are in mask.
func (c *WSClock) sweep(w int, mask uint64) int {
	if c.oldest[w]+c.tau >= c.now { // nobody is old
		c.passReferenced(w, mask)
		return -1
	}
	for m := c.used[w] & mask; m != 0; m &= m - 1 {
		i := w<<6 + bits.TrailingZeros64(m)
		switch {
		case c.ref.has(i):
			c.ref.clear(i)
			c.last[i] = c.now
		case c.now-c.last[i] <= c.tau:
		case !c.mod.has(i):
			c.oldest[w] = 0 // not known: look at the word again next time
			return i
		default:
			c.mod.clear(i)
			c.laundry = append(c.laundry, c.page[i])
		}
	}
	low := uint64(math.MaxUint64) - c.tau
	for m := c.used[w] &^ c.ref[w]; m != 0; m &= m - 1 {
		low = min(low, c.last[w<<6+bits.TrailingZeros64(m)])
	}
	c.oldest[w] = low
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
