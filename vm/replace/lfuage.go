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
	last     []uint64 // by page: time of its last reference
	now      uint64
	interval uint64
	until    uint64 // references until the next halving, which comes before the one after
}

// NewAgedLFU returns an empty AgedLFU that halves every interval references (at
// least 1).
func NewAgedLFU(interval int) *AgedLFU {
	n := uint64(max(interval, 1))
	return &AgedLFU{lfu: LFU{list: newRings(1)}, interval: n, until: n}
}

// Hit implements [vm.Policy].
func (a *AgedLFU) Hit(p vm.PageID, write bool) {
	a.tick(p)
	a.lfu.Hit(p, write)
}

// Insert implements [vm.Policy].
func (a *AgedLFU) Insert(p vm.PageID, write bool) {
	growTo(&a.last, int(p)+1)
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

// runBatch implements batcher.
func (a *AgedLFU) runBatch(s *Sim, refs []Ref) int {
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
		if st != 0 {
			a.Hit(p, false)
			continue
		}
		s.counts.Misses++
		if s.used < s.frames {
			s.used++
		} else {
			v, _ := a.Victim(p)
			s.counts.Evictions++
			s.counts.Writebacks += int64(state[v] >> 1)
			state[v] = 0
		}
		a.Insert(p, false)
	}
	s.counts.Writes += writes
	return n
}

// tick counts a reference to p, halving before it when it is time.
func (a *AgedLFU) tick(p vm.PageID) {
	if a.until == 0 {
		a.halve()
		a.until = a.interval
	}
	a.until--
	a.now++
	a.last[p] = a.now
}

// halve rebuilds the list. Counts 2k and 2k+1 become k: two neighbouring runs,
// each in order of last use, are merged into one.
func (a *AgedLFU) halve() {
	l := &a.lfu
	var runs [][]vm.PageID // of equal new counts, in old order
	var counts []uint64
	for p := range l.list.all(0) {
		c := l.Count(p) / 2
		if n := len(counts); n == 0 || counts[n-1] != c {
			counts = append(counts, c)
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	old := *l
	*l = LFU{list: newRings(1), bucket: old.bucket}
	growTo(&l.list.nodes, len(old.list.nodes))
	for i, run := range runs {
		b := l.newBucket(counts[i])
		for _, p := range mergeByTime(run, a.last) {
			l.linkAfter(p, l.prev(noPage))
			l.join(p, b)
		}
	}
}

// mergeByTime merges a run that consists of two rising ones.
func mergeByTime(run []vm.PageID, last []uint64) []vm.PageID {
	k := 1
	for k < len(run) && last[run[k-1]] < last[run[k]] {
		k++
	}
	x, y := run[:k], run[k:]
	out := make([]vm.PageID, 0, len(run))
	for len(x) > 0 && len(y) > 0 {
		if last[x[0]] < last[y[0]] {
			out, x = append(out, x[0]), x[1:]
		} else {
			out, y = append(out, y[0]), y[1:]
		}
	}
	return append(append(out, x...), y...)
}
