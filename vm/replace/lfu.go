package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// LFU evicts the page with the fewest references since it was loaded, the load
// counting one; among equals, the one least recently used. A page's count is
// forgotten when it leaves. O(1): pages stand in one list by count and, within a
// count, by last use; a bucket for each count knows where its pages end (Shah,
// Mitra and Matani, An O(1) algorithm for implementing the LFU cache eviction
// scheme, 2010).
//
//	head ⇄ a ⇄ b ⇄ c ⇄ d ⇄ head
//	       └ count 1 ┘  └ count 5
//	              ▲ end  ▲ end
type LFU struct {
	list    rings    // one list: fewest references first
	bucket  []uint32 // by page: index into buckets
	buckets []lfuBucket
	free    []uint32 // buckets not in use
}

// lfuBucket is the run of pages that have one count.
type lfuBucket struct {
	count uint64
	end   vm.PageID // the last page of the run
	size  uint32    // pages in it
}

// NewLFU returns an empty LFU.
func NewLFU() *LFU { return &LFU{list: newRings(1)} }

// Hit implements [vm.Policy].
func (l *LFU) Hit(p vm.PageID, _ bool) {
	b := &l.buckets[l.bucket[p]]
	count, end := b.count, b.end
	after := l.next(end)
	follows := after != noPage && l.buckets[l.bucket[after]].count == count+1
	if b.size == 1 && !follows {
		b.count++ // alone in its bucket, which moves up with it
		return
	}
	at := end
	to := uint32(0)
	if follows {
		to = l.bucket[after]
		at = l.buckets[to].end
	}
	l.leave(p)
	if at == p { // p was the end of its own bucket and stays where it is
		at = l.prev(p)
	}
	l.list.remove(0, p)
	l.linkAfter(p, at)
	if !follows {
		to = l.newBucket(count + 1)
	}
	l.join(p, to)
}

// Insert implements [vm.Policy].
func (l *LFU) Insert(p vm.PageID, _ bool) {
	l.list.grow(p)
	growTo(&l.bucket, int(p)+1)
	l.insert(p, 1)
}

// insert puts p behind all pages with a count of at most that of the first run,
// which must be the run of count, or its successor in order.
func (l *LFU) insert(p vm.PageID, count uint64) {
	at, to := noPage, uint32(0)
	found := false
	for q := l.next(noPage); q != noPage; q = l.next(at) { // at most two runs: counts 0 and 1
		b := l.bucket[q]
		if l.buckets[b].count > count {
			break
		}
		if at, to, found = l.buckets[b].end, b, l.buckets[b].count == count; found {
			break
		}
	}
	l.linkAfter(p, at)
	if !found {
		to = l.newBucket(count)
	}
	l.join(p, to)
}

// Victim implements [vm.Policy].
func (l *LFU) Victim(vm.PageID) (vm.PageID, bool) {
	p := l.next(noPage)
	if p == noPage {
		return 0, false
	}
	l.Remove(p)
	return p, true
}

// Remove implements [vm.Policy].
func (l *LFU) Remove(p vm.PageID) {
	l.leave(p)
	l.list.remove(0, p)
}

// Pages implements [vm.Lister]: fewest references first, then least recently
// used first.
func (l *LFU) Pages() iter.Seq[vm.PageID] { return l.list.all(0) }

// Count returns how often the resident page p was referenced since its load.
func (l *LFU) Count(p vm.PageID) uint64 { return l.buckets[l.bucket[p]].count }

// runBatch implements batcher.
func (l *LFU) runBatch(s *Sim, refs []Ref) int {
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
			l.Hit(p, false)
			continue
		}
		s.counts.Misses++
		if s.used < s.frames {
			s.used++
		} else {
			v, _ := l.Victim(p)
			s.counts.Evictions++
			s.counts.Writebacks += int64(state[v] >> 1)
			state[v] = 0
		}
		l.Insert(p, false)
	}
	s.counts.Writes += writes
	return n
}

// leave takes p out of its bucket, not out of the list.
func (l *LFU) leave(p vm.PageID) {
	i := l.bucket[p]
	b := &l.buckets[i]
	if b.size--; b.size == 0 {
		l.free = append(l.free, i)
	} else if b.end == p {
		b.end = l.prev(p)
	}
}

// join makes p, which is in the list already, the last page of bucket i.
func (l *LFU) join(p vm.PageID, i uint32) {
	l.bucket[p] = i
	l.buckets[i].end = p
	l.buckets[i].size++
}

// newBucket returns a bucket for count.
func (l *LFU) newBucket(count uint64) uint32 {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		l.buckets[b] = lfuBucket{count: count}
		return b
	}
	l.buckets = append(l.buckets, lfuBucket{count: count})
	return uint32(len(l.buckets) - 1)
}

// next returns the page behind p, or noPage; next of noPage is the first.
// Node 0 is the head and the node of a page is one above its number, so that
// noPage and the head are the same node.
func (l *LFU) next(p vm.PageID) vm.PageID { return vm.PageID(l.list.nodes[uint32(p)+1].next - 1) }

// prev returns the page before p, or noPage.
func (l *LFU) prev(p vm.PageID) vm.PageID { return vm.PageID(l.list.nodes[uint32(p)+1].prev - 1) }

// linkAfter puts p behind at, or first if at is noPage.
func (l *LFU) linkAfter(p, at vm.PageID) {
	l.list.link(uint32(p)+1, uint32(at)+1, l.list.nodes[uint32(at)+1].next)
	l.list.size[0]++
}
