package replace

import (
	"iter"
	"math"

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
	nodes   []lfuNode // node 0 is the head, that of a page is one above its number
	buckets []lfuBucket
	free    []uint32 // buckets not in use
}

// lfuNode is a page in the list, fewest references first. It is meaningless while
// the page is not resident.
type lfuNode struct {
	prev, next uint32
	bucket     uint32 // index into buckets
}

// lfuBucket is the run of pages that have one count. Bucket 0 is the head's, above all
// others.
type lfuBucket struct {
	count uint64
	end   uint32 // node of the last page of the run
	size  uint32 // pages in it
}

// NewLFU returns an empty LFU.
func NewLFU() *LFU {
	return &LFU{nodes: make([]lfuNode, 1), buckets: []lfuBucket{{count: math.MaxUint64}}}
}

// Hit implements [vm.Policy].
func (l *LFU) Hit(p vm.PageID, _ bool) {
	n := uint32(p) + 1
	b := &l.buckets[l.nodes[n].bucket]
	above := l.nodes[l.nodes[b.end].next].bucket
	follows := l.buckets[above].count == b.count+1
	if b.size == 1 && !follows {
		b.count++ // alone in its bucket, which moves up with it
		return
	}
	l.raise(n, above, follows)
}

// raise moves node n to the bucket of the next count: above, which follows its own in
// the list, if that is the one, else a new one.
func (l *LFU) raise(n, above uint32, follows bool) {
	own := l.nodes[n].bucket
	count, at := l.buckets[own].count, l.buckets[own].end
	if follows {
		at = l.buckets[above].end
	}
	if at == n { // it is the end of its own bucket and stays where it is
		at = l.nodes[n].prev
	}
	l.leave(n)
	l.unlink(n)
	if !follows {
		above = l.newBucket(count + 1)
	}
	l.linkAfter(n, at)
	l.join(n, above)
}

// Insert implements [vm.Policy].
func (l *LFU) Insert(p vm.PageID, _ bool) {
	growTo(&l.nodes, int(p)+2)
	l.insert(uint32(p) + 1)
}

// insert puts node n behind the pages with a count of at most 1, which have at most two
// buckets: 0, which only aged counts reach, and 1.
func (l *LFU) insert(n uint32) {
	at, to := uint32(0), l.nodes[l.nodes[0].next].bucket
	if l.buckets[to].count == 0 {
		at = l.buckets[to].end
		to = l.nodes[l.nodes[at].next].bucket
	}
	if l.buckets[to].count == 1 {
		at = l.buckets[to].end
	} else {
		to = l.newBucket(1)
	}
	l.linkAfter(n, at)
	l.join(n, to)
}

// Victim implements [vm.Policy].
func (l *LFU) Victim(vm.PageID) (vm.PageID, bool) {
	n := l.nodes[0].next
	if n == 0 {
		return 0, false
	}
	l.leave(n)
	l.unlink(n)
	return vm.PageID(n - 1), true
}

// Remove implements [vm.Policy].
func (l *LFU) Remove(p vm.PageID) {
	l.leave(uint32(p) + 1)
	l.unlink(uint32(p) + 1)
}

// Pages implements [vm.Lister]: fewest references first, then least recently
// used first.
func (l *LFU) Pages() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for n := l.nodes[0].next; n != 0; n = l.nodes[n].next {
			if !yield(vm.PageID(n - 1)) {
				return
			}
		}
	}
}

// Count returns how often the resident page p was referenced since its load.
func (l *LFU) Count(p vm.PageID) uint64 { return l.buckets[l.nodes[p+1].bucket].count }

// runBatch implements batcher.
func (l *LFU) runBatch(s *Sim, refs []Ref) int {
	growTo(&l.nodes, len(s.state)+1)
	state, c := s.state, s.counts
	taken := len(refs)
	for i, r := range refs {
		p := r.Page()
		if int(p) >= len(state) {
			taken = i
			break
		}
		c.Writes += int64(r & 1)
		st := state[p]
		state[p] = st | resident | uint8(r&1)<<1
		if st != 0 {
			l.Hit(p, false)
			continue
		}
		c.Misses++
		if s.used < s.frames {
			s.used++
			l.insert(uint32(p) + 1)
			continue
		}
		v := l.replace(uint32(p)+1) - 1
		c.Evictions++
		c.Writebacks += int64(state[v] >> 1)
		state[v] = 0
	}
	s.counts = c
	return taken
}

// replace is Victim and insert in one: node n for the one in front, which is returned.
// There must be one.
func (l *LFU) replace(n uint32) (victim uint32) {
	head := &l.nodes[0]
	victim = head.next
	v := l.nodes[victim]
	b := &l.buckets[v.bucket]
	switch {
	case b.count != 1:
		l.leave(victim)
		l.unlink(victim)
		l.insert(n)
	case b.end == victim: // alone: n takes its place
		l.nodes[n] = v
		l.nodes[v.next].prev = n
		head.next, b.end = n, n
	default: // its bucket keeps its size
		head.next, l.nodes[v.next].prev = v.next, 0
		end := &l.nodes[b.end]
		l.nodes[n] = lfuNode{b.end, end.next, v.bucket}
		l.nodes[end.next].prev = n
		end.next, b.end = n, n
	}
	return victim
}

// leave takes node n out of its bucket, not out of the list.
func (l *LFU) leave(n uint32) {
	x := l.nodes[n]
	b := &l.buckets[x.bucket]
	if b.size--; b.size == 0 {
		l.free = append(l.free, x.bucket)
	} else if b.end == n {
		b.end = x.prev
	}
}

// join makes node n, which is in the list already, the last of bucket i.
func (l *LFU) join(n, i uint32) {
	l.nodes[n].bucket = i
	b := &l.buckets[i]
	b.end = n
	b.size++
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

// linkAfter puts node n behind node at.
func (l *LFU) linkAfter(n, at uint32) {
	next := l.nodes[at].next
	l.nodes[n].prev, l.nodes[n].next = at, next
	l.nodes[at].next, l.nodes[next].prev = n, n
}

// unlink takes node n out of the list.
func (l *LFU) unlink(n uint32) {
	x := l.nodes[n]
	l.nodes[x.prev].next, l.nodes[x.next].prev = x.next, x.prev
}
