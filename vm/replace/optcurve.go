package replace

import "github.com/memlab-go/memlab/vm"

// OPTCurve returns the stack distances of [OPT] on f: the misses of the best
// policy for every memory size in one pass.
//
// OPT has the inclusion property, so the pages of all memories form one stack:
// the first n places are what n frames hold (Mattson and others 1970). A
// reference to the page at place d puts it on top; the page from the top is
// carried down: at each place above d the page used sooner stays and the one
// used later goes on, and the last one fills place d. Only places with a page
// used later than the one carried change hands, and a tree of the latest use in
// each range of places finds the next such place in O(log pages). So a reference
// costs O(exchanges × log pages). Real programs' traces have 0.3 to 1.2 exchanges
// a reference; independent draws from a zipf law over 20 000 pages have 81, and
// nothing but the number of pages bounds them.
func OPTCurve(f *Future) *Histogram {
	s := newOPTStack()
	for t, r := range f.refs {
		s.reference(r.Page(), f.next[t])
	}
	return &s.hist
}

// optStack is the stack; places count from 0.
type optStack struct {
	hist  Histogram
	place []uint32 // by page: its place + 1, 0 if not in the stack
	page  []vm.PageID
	late  []uint32 // tree: node 1 is the root, place i is leaf half+i; 0: no page
	half  int      // number of leaves
}

func newOPTStack() *optStack { return &optStack{late: make([]uint32, 128), half: 64} }

// reference takes one reference to p, whose next use is at time next.
func (s *optStack) reference(p vm.PageID, next uint32) {
	growTo(&s.place, int(p)+1)
	d := int(s.place[p]) - 1
	if d < 0 {
		s.hist.count(0)
		d = len(s.page)
		s.page = append(s.page, p)
		if d == s.half {
			s.grow()
		}
	} else {
		s.hist.count(d + 1)
	}
	if d > 0 {
		s.carry(d)
	}
	s.put(0, p, next)
}

// carry takes the page at place 0 down to place d.
func (s *optStack) carry(d int) {
	p, use := s.page[0], s.late[s.half]
	for i := 1; use != never; i++ {
		if i = s.later(i, d, use); i == d {
			break
		}
		q, quse := s.page[i], s.late[s.half+i]
		s.put(i, p, use)
		p, use = q, quse
	}
	s.put(d, p, use)
}

// put makes p the page at place i and mends the tree above.
func (s *optStack) put(i int, p vm.PageID, use uint32) {
	s.page[i] = p
	s.place[p] = uint32(i) + 1
	n := s.half + i
	s.late[n] = use
	for n > 1 {
		n /= 2
		m := max(s.late[2*n], s.late[2*n+1])
		if s.late[n] == m {
			return
		}
		s.late[n] = m
	}
}

// later returns the first place from i on, below d, whose page is used later
// than use, or d. It looks at the next places one by one, then climbs the tree.
func (s *optStack) later(i, d int, use uint32) int {
	for near := min(i+8, d); i < near; i++ {
		if s.late[s.half+i] > use {
			return i
		}
	}
	if i >= d {
		return d
	}
	n := s.half + i
	for s.late[n] <= use { // to the next range on the right
		for n&1 == 1 {
			n /= 2
		}
		if n == 0 {
			return d
		}
		n++
	}
	for n < s.half {
		if n *= 2; s.late[n] <= use {
			n++
		}
	}
	return min(n-s.half, d)
}

// grow doubles the number of leaves.
func (s *optStack) grow() {
	old := s.late[s.half:]
	s.half *= 2
	s.late = make([]uint32, 2*s.half)
	copy(s.late[s.half:], old)
	for n := s.half - 1; n > 0; n-- {
		s.late[n] = max(s.late[2*n], s.late[2*n+1])
	}
}
