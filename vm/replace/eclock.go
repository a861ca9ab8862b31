package replace

import (
	"iter"
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// EnhancedClock, also called CLOCK-M, is [Clock] that spares written pages, as
// evicting them costs a write-back (Silberschatz, Operating System Concepts,
// section 10.4.5.3; the Macintosh's rule). R is set on load and reference, M on
// write. On a fault, from the hand on:
//
//  1. one round looks for R=0 M=0 and changes nothing;
//  2. one round looks for R=0 M=1 and clears R on every page it passes;
//  3. rounds 1 and 2 again, which then must find a page.
//
// The hand moves past the victim. The bits stand in words of 64, so that a
// round costs a few instructions for every 64 frames.
type EnhancedClock struct {
	slots
	used, ref, mod bitmap // by slot
}

// NewEnhancedClock returns an empty EnhancedClock.
func NewEnhancedClock() *EnhancedClock { return &EnhancedClock{} }

// Hit implements [vm.Policy].
func (c *EnhancedClock) Hit(p vm.PageID, write bool) {
	i := int(c.slot[p])
	c.ref.set(i)
	if write {
		c.mod.set(i)
	}
}

// Insert implements [vm.Policy].
func (c *EnhancedClock) Insert(p vm.PageID, write bool) {
	i := c.add(p)
	c.used.growBits(i)
	c.ref.growBits(i)
	c.mod.growBits(i)
	c.used.set(i)
	c.ref.set(i)
	c.mod.put(i, write)
}

// Victim implements [vm.Policy].
func (c *EnhancedClock) Victim(vm.PageID) (vm.PageID, bool) {
	if c.empty() {
		return 0, false
	}
	for {
		i := c.first(0)
		if i < 0 {
			i = c.first(^uint64(0))
			c.clearRefs(i)
		}
		if i >= 0 {
			p := c.page[i]
			c.Remove(p)
			c.setHand(i + 1)
			return p, true
		}
	}
}

// first returns the first slot from the hand on that has R=0, and M=0 if mod is 0 or
// M=1 if it is all ones; or -1.
func (c *EnhancedClock) first(mod uint64) int {
	n := len(c.used)
	used, r, m := c.used, c.ref[:n], c.mod[:n]
	w, upper := c.hand>>6, ^uint64(0)<<(c.hand&63)
	if set := used[w] &^ r[w] &^ (m[w] ^ mod) & upper; set != 0 {
		return w<<6 + bits.TrailingZeros64(set)
	}
	for k := w + 1; k < n; k++ {
		if set := used[k] &^ r[k] &^ (m[k] ^ mod); set != 0 {
			return k<<6 + bits.TrailingZeros64(set)
		}
	}
	for k := range w + 1 {
		if set := used[k] &^ r[k] &^ (m[k] ^ mod); set != 0 {
			return k<<6 + bits.TrailingZeros64(set)
		}
	}
	return -1
}

// clearRefs clears R of the slots that a round passes from the hand to slot i,
// of all if i is negative.
func (c *EnhancedClock) clearRefs(i int) {
	if i < 0 {
		clear(c.ref)
		return
	}
	for j := c.hand; j != i; {
		if j&63 == 0 && (i < j || i >= j+64) { // a whole word
			c.ref[j>>6] = 0
			j += 64
		} else {
			c.ref.clear(j)
			j++
		}
		if j >= len(c.page) {
			j = 0
		}
	}
}

// Remove implements [vm.Policy].
func (c *EnhancedClock) Remove(p vm.PageID) {
	i := c.take(p)
	c.used.clear(i)
	c.ref.clear(i)
	c.mod.clear(i)
}

// Pages implements [vm.Lister]: in the order of the frames.
func (c *EnhancedClock) Pages() iter.Seq[vm.PageID] { return c.all() }
