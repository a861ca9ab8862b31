package arena

import "math/bits"

// A pageSet is a set of page numbers that costs memory only where it is
// neither empty nor full: a tree of four levels, of which the third can say
// "all of them" of a leaf that is not there.
//
//	top     one slot per midPages pages, as many as the region needs
//	mid     one slot per groupLeaves leaves, and for each leaf a bit: all of it
//	group   one slot per leaf
//	leaf    one bit a page
//
// With pages of 4 KiB a leaf stands for 16 MiB, a group for 1 GiB and a mid for 8 GiB.
// A mid has room for the first few groups and leaves below it: a heap in a region uses two
// or three places of it, and objects of several sizes would each bring a page or two of
// Go's heap into memory.
type pageSet struct {
	top   []*mid
	count int64 // pages in the set
}

const (
	leafPages   = 4096
	leafWords   = leafPages / 64
	groupLeaves = 64
	midLeaves   = 512
	midPages    = leafPages * midLeaves
	firstGroups = 2
	firstLeaves = 3
)

type (
	leaf  [leafWords]uint64
	group [groupLeaves]*leaf // nil: empty, or full where the bit says so
	mid   struct {
		count  int64 // pages in the set below this node
		full   [midLeaves / groupLeaves]uint64
		groups [midLeaves / groupLeaves]*group // nil: no leaves

		usedGroups, usedLeaves uint8 // of the first ones
		firstGroup             [firstGroups]group
		firstLeaf              [firstLeaves]leaf
	}
)

// newPageSet returns an empty set for pages [0, pages).
func newPageSet(pages int64) pageSet {
	return pageSet{top: make([]*mid, (pages+midPages-1)/midPages)}
}

// has reports whether page p is in the set.
func (s *pageSet) has(p int64) bool {
	m := s.top[p/midPages]
	if m == nil {
		return false
	}
	i := uint64(p) % midPages / leafPages
	if l := m.leaf(i); l != nil {
		return l[p%leafPages/64]>>(p%64)&1 != 0
	}
	return m.isFull(i)
}

// add puts pages [a, b) into the set and returns how many were not in it.
func (s *pageSet) add(a, b int64) int64 { return s.change(a, b, true) }

// remove takes pages [a, b) out and returns how many were in the set.
func (s *pageSet) remove(a, b int64) int64 { return s.change(a, b, false) }

// change sets or clears [a, b) leaf by leaf. O(leaves touched).
func (s *pageSet) change(a, b int64, set bool) int64 {
	before := s.count
	for at, end := uint64(a), uint64(b); at < end; {
		m := s.top[at/midPages]
		if m == nil {
			if !set {
				at = min(end, (at/midPages+1)*midPages)
				continue
			}
			m = new(mid)
			s.top[at/midPages] = m
		}
		next := min(end, (at/leafPages+1)*leafPages)
		n := m.change(at%midPages/leafPages, at%leafPages, next-at, set)
		if !set {
			n = -n
		}
		m.count += n
		s.count += n
		at = next
	}
	if set {
		return s.count - before
	}
	return before - s.count
}

// change sets or clears n pages of leaf i from page lo on and returns how many
// changed. A leaf that becomes full or empty as a whole is dropped.
func (m *mid) change(i, lo, n uint64, set bool) int64 {
	l := m.leaf(i)
	if l == nil {
		if m.isFull(i) == set {
			return 0
		}
		if n == leafPages {
			m.full[i/64] ^= 1 << (i % 64)
			return int64(n)
		}
		l = m.newLeaf(i)
		if !set {
			for w := range l {
				l[w] = ^uint64(0)
			}
			m.full[i/64] &^= 1 << (i % 64)
		}
	}
	changed := l.change(lo, lo+n, set)
	if n == leafPages {
		m.groups[i/groupLeaves][i%groupLeaves] = nil
		if set {
			m.full[i/64] |= 1 << (i % 64)
		}
	}
	return changed
}

// leaf returns leaf i, nil if it is empty, or full as isFull says.
func (m *mid) leaf(i uint64) *leaf {
	if g := m.groups[i/groupLeaves]; g != nil {
		return g[i%groupLeaves]
	}
	return nil
}

// newLeaf makes an empty leaf i.
func (m *mid) newLeaf(i uint64) *leaf {
	g := &m.groups[i/groupLeaves]
	switch {
	case *g != nil:
	case m.usedGroups < firstGroups:
		*g = &m.firstGroup[m.usedGroups]
		m.usedGroups++
	default:
		*g = new(group)
	}
	var l *leaf
	if m.usedLeaves < firstLeaves {
		l = &m.firstLeaf[m.usedLeaves]
		m.usedLeaves++
	} else {
		l = new(leaf)
	}
	(*g)[i%groupLeaves] = l
	return l
}

func (m *mid) isFull(i uint64) bool { return m.full[i/64]>>(i%64)&1 != 0 }

// wordMask returns the bits of pages [a, end) of a leaf in their word.
func wordMask(a, end uint64) uint64 { return ^uint64(0) >> ((a - end) % 64) << (a % 64) }

// change sets or clears bits [a, b) and returns how many changed.
func (l *leaf) change(a, b uint64, set bool) int64 {
	changed, want := 0, uint64(0)
	if set {
		want = ^want
	}
	for a < b {
		end := min(b, (a/64+1)*64)
		w := &l[a/64%leafWords]
		diff := (*w ^ want) & wordMask(a, end)
		*w ^= diff
		changed += bits.OnesCount64(diff)
		a = end
	}
	return int64(changed)
}

// countIn returns how many pages of [a, b) are in the set.
func (s *pageSet) countIn(a, b int64) int64 {
	var n int64
	for at, end := uint64(a), uint64(b); at < end; {
		m := s.top[at/midPages]
		if midEnd := (at/midPages + 1) * midPages; m == nil || at%midPages == 0 && end >= midEnd {
			if m != nil {
				n += m.count
			}
			at = min(end, midEnd)
			continue
		}
		next := min(end, (at/leafPages+1)*leafPages)
		i := at % midPages / leafPages
		if l := m.leaf(i); l != nil {
			n += l.countIn(at%leafPages, at%leafPages+next-at)
		} else if m.isFull(i) {
			n += int64(next - at)
		}
		at = next
	}
	return n
}

func (l *leaf) countIn(a, b uint64) int64 {
	var n int
	for a < b {
		end := min(b, (a/64+1)*64)
		n += bits.OnesCount64(l[a/64%leafWords] & wordMask(a, end))
		a = end
	}
	return int64(n)
}

// nextIn returns the first page of [a, b) that is in the set, or b.
func (s *pageSet) nextIn(a, b int64) int64 { return s.find(a, b, true) }

// nextOut returns the first page of [a, b) that is not in the set, or b.
func (s *pageSet) nextOut(a, b int64) int64 { return s.find(a, b, false) }

// find returns the first page of [a, b) whose membership is in, or b.
func (s *pageSet) find(a, b int64, in bool) int64 {
	for a < b {
		m := s.top[a/midPages]
		if m == nil {
			if !in {
				return a
			}
			a = (a/midPages + 1) * midPages
			continue
		}
		i := uint64(a) % midPages / leafPages
		l := m.leaf(i)
		if l == nil {
			if m.isFull(i) == in {
				return a
			}
			a = (a/leafPages + 1) * leafPages
			continue
		}
		w := l[a%leafPages/64]
		if !in {
			w = ^w
		}
		if w >>= a % 64; w != 0 {
			return min(b, a+int64(bits.TrailingZeros64(w)))
		}
		a = (a/64 + 1) * 64
	}
	return b
}

// runs calls f for each longest run [lo, hi) of pages in [a, b) whose
// membership is in, in order, until f returns an error.
func (s *pageSet) runs(a, b int64, in bool, f func(lo, hi int64) error) error {
	for {
		lo := s.find(a, b, in)
		if lo >= b {
			return nil
		}
		hi := s.find(lo, b, !in)
		if err := f(lo, hi); err != nil {
			return err
		}
		a = hi
	}
}
