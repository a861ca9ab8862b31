package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// AgedLFU is [LFU] whose counts are halved, rounding down, every Interval
// references, so that a page that was popular once does not stay for ever.
// Among equal counts the least recently used page goes first, also after
// halving. O(1), and O(resident pages) for a halving.
type AgedLFU struct {
	lfu      LFU
	last     []uint64 // by node: time of its last reference
	now      uint64
	interval uint64
	until    uint64 // references until the next halving, which comes before the one after
}

// NewAgedLFU returns an empty AgedLFU that halves every interval references (at
// least 1).
func NewAgedLFU(interval int) *AgedLFU {
	n := uint64(max(interval, 1))
	return &AgedLFU{lfu: *NewLFU(), interval: n, until: n}
}

// Hit implements [vm.Policy].
func (a *AgedLFU) Hit(p vm.PageID, write bool) {
	a.tick(p)
	a.lfu.Hit(p, write)
}

// Insert implements [vm.Policy].
func (a *AgedLFU) Insert(p vm.PageID, write bool) {
	growTo(&a.last, int(p)+2)
	a.tick(p)
	a.lfu.Insert(p, write)
}

// Victim implements [vm.Policy].
func (a *AgedLFU) Victim(next vm.PageID) (vm.PageID, bool) { return a.lfu.Victim(next) }

// Remove implements [vm.Policy].
func (a *AgedLFU) Remove(p vm.PageID) { a.lfu.Remove(p) }

// Pages implements [vm.Lister]: lowest count first, then least recently used
// first.
func (a *AgedLFU) Pages() iter.Seq[vm.PageID] { return a.lfu.Pages() }

// runBatch implements batcher: that of LFU up to the next halving, which is left to Step.
func (a *AgedLFU) runBatch(s *Sim, refs []Ref) int {
	growTo(&a.last, len(s.state)+1)
	n := a.lfu.runBatch(s, refs[:min(uint64(len(refs)), a.until)])
	for _, r := range refs[:n] {
		a.now++
		a.last[r.Page()+1] = a.now
	}
	a.until -= uint64(n)
	return n
}

// tick counts a reference to p, halving before it when it is time.
func (a *AgedLFU) tick(p vm.PageID) {
	if a.until == 0 {
		a.age()
	}
	a.until--
	a.now++
	a.last[p+1] = a.now
}

// age halves all counts. Counts 2k and 2k+1 become k: two neighbouring runs, each in
// order of last use, are merged into one.
func (a *AgedLFU) age() {
	a.until = a.interval
	l := &a.lfu
	for first := l.nodes[0].next; first != 0; {
		b := l.nodes[first].bucket
		l.buckets[b].count /= 2
		after := l.nodes[l.buckets[b].end].next
		if above := l.nodes[after].bucket; above != 0 && l.buckets[above].count/2 == l.buckets[b].count {
			a.merge(first, after)
		}
		first = l.nodes[l.buckets[b].end].next
	}
}

// merge moves the pages of the bucket that begins with node y into the one right before
// it, which begins with node x, in the order of their last references.
func (a *AgedLFU) merge(x, y uint32) {
	l := &a.lfu
	to, from := l.nodes[x].bucket, l.nodes[y].bucket
	for l.nodes[y].bucket == from {
		next := l.nodes[y].next
		for x != y && a.last[x] < a.last[y] {
			x = l.nodes[x].next
		}
		l.leave(y)
		if x == y { // younger than all of them
			l.join(y, to)
			x = next
		} else {
			l.unlink(y)
			l.linkAfter(y, l.nodes[x].prev)
			l.nodes[y].bucket = to
			l.buckets[to].size++
		}
		y = next
	}
}
