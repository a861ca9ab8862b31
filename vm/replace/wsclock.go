package replace

import (
	"iter"
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
// stops behind the victim.
//
// The hand need not look at pages that it only passes. Pages whose R is clear grow
// old in the order in which it was cleared: a queue of them keeps a bitmap of the
// old ones, and words of bits lead from one page that matters to the next. Each
// step of the hand is paid for by a reference or by a write. O(1) amortized, and
// one look at every 4096th frame a fault.
//
// It is a [vm.Launderer].
type WSClock struct {
	slots
	used, ref, mod bitmap   // by slot
	old            bitmap   // by slot: R was cleared more than tau references ago; R may be set again
	last           []uint64 // by slot: time of last use, while R is clear
	young          []wsAge  // pages with R clear that are not old, the oldest at head; and some that are not so any more
	head           int
	busy           bitmap // words that may have a slot with R=1, or an old one
	clean          bitmap // words that may have a clean page
	now, tau       uint64
	laundry        []vm.PageID
}

// A wsAge is a slot whose R was cleared at a time.
type wsAge struct {
	time uint64
	slot uint32
}

// NewWSClock returns an empty WSClock with a window of tau references (at least
// 1).
func NewWSClock(tau int) *WSClock { return &WSClock{tau: uint64(max(tau, 1))} }

// Hit implements [vm.Policy].
func (c *WSClock) Hit(p vm.PageID, write bool) {
	c.now++
	i := int(c.slot[p])
	if write {
		c.mod.set(i)
	}
	if c.ref[i>>6]>>(i&63)&1 == 0 {
		c.ref.set(i)
		c.busy.set(i >> 6)
	}
}

// Insert implements [vm.Policy].
func (c *WSClock) Insert(p vm.PageID, write bool) {
	c.now++
	i := c.add(p)
	if i >= len(c.last) {
		growTo(&c.last, i+1)
		for _, b := range []*bitmap{&c.used, &c.ref, &c.mod, &c.old} {
			b.growBits(i)
		}
		c.busy.growBits(i >> 6)
		c.clean.growBits(i >> 6)
	}
	c.used.set(i)
	c.ref.set(i)
	c.busy.set(i >> 6)
	c.old.clear(i)
	c.mod.put(i, write)
	c.clean.set(i >> 6)
	c.last[i] = c.now
}

// Victim implements [vm.Policy].
func (c *WSClock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	c.age()
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

// age marks the pages that have grown old since the last time.
func (c *WSClock) age() {
	for ; c.head < len(c.young) && c.young[c.head].time+c.tau < c.now; c.head++ {
		if a := c.young[c.head]; c.isYoung(a) {
			c.old.set(int(a.slot))
			c.busy.set(int(a.slot >> 6))
		}
	}
	if c.head > 1024 && 2*c.head > len(c.young) {
		c.young = c.young[:copy(c.young, c.young[c.head:])]
		c.head = 0
	}
	if len(c.young)-c.head > 4*len(c.page)+1024 { // what is left are mostly pages that were used again
		c.young = slices.DeleteFunc(c.young[c.head:], func(a wsAge) bool { return !c.isYoung(a) })
		c.head = 0
	}
}

// isYoung reports whether a is what it says: since then the page was neither used
// nor replaced.
func (c *WSClock) isYoung(a wsAge) bool {
	i := int(a.slot)
	return c.last[i] == a.time && (c.used[i>>6]&^c.ref[i>>6])>>(i&63)&1 != 0
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
		c.clean.set(w)
	}
	set := c.used[w] & c.ref[w] & mask
	for m := set; m != 0; m &= m - 1 {
		i := w<<6 + bits.TrailingZeros64(m)
		c.last[i] = c.now
		c.young = append(c.young, wsAge{c.now, uint32(i)})
	}
	c.ref[w] &^= set
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
	i := c.take(p)
	c.used.clear(i)
	c.ref.clear(i)
	c.mod.clear(i)
	c.old.clear(i)
}

// Pages implements [vm.Lister]: in the order of the frames.
func (c *WSClock) Pages() iter.Seq[vm.PageID] { return c.all() }
