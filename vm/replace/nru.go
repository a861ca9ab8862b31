package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// NRU, not recently used, sorts pages into four classes by the bits R
// (referenced since the last tick) and M (written since the load) and evicts
// from the lowest class that has a page (Tanenbaum and Bos, section 3.4.2):
//
//	class 0  R=0 M=0      class 2  R=1 M=0
//	class 1  R=0 M=1      class 3  R=1 M=1
//
// Every Interval references a tick clears all R bits. Tanenbaum takes a random
// page of the class; here it is the one that has been in the class longest,
// pages that a tick brings down counting from the tick on, in their old order.
// O(1), the tick included: it joins lists.
type NRU struct {
	list     rings // one list a class
	written  []bool
	epoch    []uint64 // by page: the tick during which it was referenced last
	now      uint64   // ticks so far, from 1
	interval int
	left     int // references until the next tick
}

// NewNRU returns an empty NRU with a tick every interval references (at least 1).
func NewNRU(interval int) *NRU {
	n := &NRU{list: newRings(4), interval: max(interval, 1), now: 1}
	n.left = n.interval
	return n
}

// class returns the class of the resident page p.
func (n *NRU) class(p vm.PageID) int {
	c := 0
	if n.epoch[p] == n.now {
		c = 2
	}
	if n.written[p] {
		c++
	}
	return c
}

// Hit implements [vm.Policy].
func (n *NRU) Hit(p vm.PageID, write bool) {
	n.tick()
	if old := n.class(p); old < 2 || write && old < 3 {
		n.list.remove(old, p)
		n.epoch[p] = n.now
		n.written[p] = n.written[p] || write
		n.list.pushBack(n.class(p), p)
	}
}

// Insert implements [vm.Policy].
func (n *NRU) Insert(p vm.PageID, write bool) {
	n.tick()
	n.list.grow(p)
	growTo(&n.written, int(p)+1)
	growTo(&n.epoch, int(p)+1)
	n.written[p], n.epoch[p] = write, n.now
	n.list.pushBack(n.class(p), p)
}

// Victim implements [vm.Policy].
func (n *NRU) Victim(vm.PageID) (vm.PageID, bool) {
	for c := range 4 {
		if p, ok := n.list.popFront(c); ok {
			return p, true
		}
	}
	return 0, false
}

// Remove implements [vm.Policy].
func (n *NRU) Remove(p vm.PageID) { n.list.remove(n.class(p), p) }

// Pages implements [vm.Lister]: lowest class first.
func (n *NRU) Pages() iter.Seq[vm.PageID] { return n.list.allOf(0, 1, 2, 3) }

// tick counts a reference and clears the R bits when it is time.
func (n *NRU) tick() {
	if n.left == 0 {
		n.left = n.interval
		n.now++
		n.list.appendAll(0, 2)
		n.list.appendAll(1, 3)
	}
	n.left--
}
