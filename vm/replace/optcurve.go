package replace

import (
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// OPTCurve returns the stack distances of [OPT] on f: the misses of the best
// policy for every memory size in one pass.
//
// OPT has the inclusion property, so the pages of all memories form one stack:
// the first n places are what n frames hold (Mattson and others 1970). A
// reference to the page at place d puts it on top; the page from the top is
// carried down: at each place above d the page used sooner stays and the one
// used later goes on, and the last one fills place d.
//
// With P pages a reference may make P exchanges, so the places are divided into
// blocks of some √P. A page that is carried through a whole block leaves it as
// the latest of them all, so a block keeps its pages in a heap, and those that came
// in on a list, and sorts out who stands where only when a reference goes to one of
// its pages. Blocks that hold nobody later than the page carried are skipped by a
// tree over the latest use of each block. So a reference costs O(√P log P), and
// O(log P) where few blocks change hands, as in real programs' traces, which have
// 0.3 to 1.2 exchanges a reference. (That all is in O(log P) is known for LRU
// only: the places of OPT are the shape of a Greene-Kleitman partition.)
func OPTCurve(f *Future) *Histogram {
	s := newOPTStack(f.NumPages())
	for t, r := range f.refs {
		s.reference(r.Page(), f.next[t])
	}
	return &s.hist
}

// An optUse is a page with its next use above it, so that numbers compare as uses:
// the larger is the later. Of pages that are never used again any may be the later.
type optUse uint64

func newOPTUse(p vm.PageID, next uint32) optUse { return optUse(next)<<32 | optUse(p) }

func (u optUse) page() vm.PageID { return vm.PageID(uint32(u)) }

// optStack is the stack, without the page on top.
type optStack struct {
	hist   Histogram
	size   int // pages in the stack
	top    optUse
	block  []uint32 // by page: its block + 1; 0: not in the stack
	blocks []optBlock
	width  int      // places of a block
	late   []uint32 // tree: latest next use of a block; node 1 is the root, block i is leaf half+i
	half   int
	steps  int // places and heap elements looked at, for the test of the bound
}

// An optBlock is width places; the last one may be partly filled.
//
// While came is empty, order says who stands where. A page that is carried through
// joins came, and the latest of the block goes on: the pages of the block are those
// of heap, and who stands where follows from order and came (settle).
type optBlock struct {
	order  []optUse // by place
	came   []optUse // carried in since
	heap   []optUse // the pages, the latest first; nil: those of order
	passes int      // pages carried through since heap was nil
}

// A block is passed place by place that often before it gets a heap: those on top
// are changed by nearly every reference. And it is settled when that many times its
// places have come in.
const (
	plainPasses = 4
	mostCame    = 4
)

func newOPTStack(pages int) *optStack {
	return newOPTStackOf(pages, max(64, 1<<(bits.Len(uint(pages))/2)))
}

// newOPTStackOf is newOPTStack with blocks of so many places.
func newOPTStackOf(pages, width int) *optStack {
	s := &optStack{block: make([]uint32, pages), width: width}
	n := (pages + width - 1) / width
	for s.half = 1; s.half < n; s.half *= 2 {
	}
	s.blocks, s.late = make([]optBlock, s.half), make([]uint32, 2*s.half)
	return s
}

// reference takes one reference to p, whose next use is at time next.
func (s *optStack) reference(p vm.PageID, next uint32) {
	use := newOPTUse(p, next)
	switch b := int(s.block[p]) - 1; {
	case s.size > 0 && s.top.page() == p:
		s.hist.count(1)
	case b >= 0:
		at := s.place(b, p)
		s.hist.count(b*s.width + at + 2) // and the one on top
		s.settleAt(b, at, s.carry(s.top, b))
	default:
		s.hist.count(0)
		if s.size > 0 {
			b := (s.size - 1) / s.width
			c := s.carry(s.top, b)
			s.settle(b)
			s.blocks[b].order = append(s.blocks[b].order, optUse(p)) // used before anybody: now
			s.settleAt(b, len(s.blocks[b].order)-1, c)
		}
		s.size++
	}
	s.block[p] = 0
	s.top = use
}

// carry takes c down through the blocks before b and returns who arrives there.
func (s *optStack) carry(c optUse, b int) optUse {
	for i := s.laterBlock(0, b, c); i < b; i = s.laterBlock(i+1, b, c) {
		c = s.through(i, c)
	}
	return c
}

// through carries c through the whole block i, which holds a later page: that one
// goes on.
func (s *optStack) through(i int, c optUse) optUse {
	b := &s.blocks[i]
	s.block[c.page()] = uint32(i) + 1
	s.steps++
	if b.passes++; b.heap == nil && b.passes <= plainPasses {
		s.steps += len(b.order)
		late := optUse(0)
		for k, u := range b.order {
			if u > c {
				b.order[k], c = c, u
			}
			late = max(late, b.order[k])
		}
		s.setLate(i, uint32(late>>32))
		return c
	}
	if b.heap == nil {
		s.steps += len(b.order)
		b.heap = append(make([]optUse, 0, s.width), b.order...)
		for k := len(b.heap)/2 - 1; k >= 0; k-- {
			sink(b.heap, k)
		}
	}
	latest := b.heap[0]
	b.heap[0] = c
	sink(b.heap, 0)
	b.came = append(b.came, c)
	s.setLate(i, uint32(b.heap[0]>>32))
	if len(b.came) >= mostCame*s.width {
		s.settle(i)
	}
	return latest
}

// place returns where p stands in block b.
func (s *optStack) place(b int, p vm.PageID) int {
	s.settle(b)
	for at, u := range s.blocks[b].order {
		if u.page() == p {
			return at
		}
	}
	panic("replace: a page is not in its block")
}

// settle works out who stands where in block i. Those that came were carried past
// each place in turn, where the one used soonest stays: the soonest of all that came
// and the one who was there.
func (s *optStack) settle(i int) {
	b := &s.blocks[i]
	if len(b.came) == 0 {
		return
	}
	s.steps += len(b.came) + len(b.order)
	h := b.came // a heap, the soonest first
	for k := len(h)/2 - 1; k >= 0; k-- {
		rise(h, k)
	}
	for at, u := range b.order {
		if u > h[0] {
			b.order[at], h[0] = h[0], u
			rise(h, 0)
		}
	}
	b.came = b.came[:0]
}

// settleAt carries c to place at of the settled block b, whose page, the soonest of
// all, has left it.
func (s *optStack) settleAt(b, at int, c optUse) {
	s.block[c.page()] = uint32(b) + 1
	if use := uint32(c >> 32); use > s.late[s.half+b] {
		s.setLate(b, use)
	}
	s.steps += at + 1
	order := s.blocks[b].order
	for k, u := range order[:at] {
		if u > c {
			order[k], c = c, u
		}
	}
	order[at] = c
	s.blocks[b].heap, s.blocks[b].passes = nil, 0
}

// setLate notes the latest use of block i.
func (s *optStack) setLate(i int, use uint32) {
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

// laterBlock returns the first block from i on, below b, that holds a page used
// later than c, or b.
func (s *optStack) laterBlock(i, b int, c optUse) int {
	if i >= b {
		return b
	}
	use, n := uint32(c>>32), s.half+i
	for s.late[n] <= use { // to the next range on the right
		for n&1 == 1 {
			n /= 2
		}
		if n == 0 {
			return b
		}
		n++
	}
	for n < s.half {
		if n *= 2; s.late[n] <= use {
			n++
		}
	}
	return min(n-s.half, b)
}

// sink restores a heap with the latest first, of which element i may be too soon.
func sink(h []optUse, i int) {
	u := h[i]
	for {
		kid := 2*i + 1
		if kid+1 < len(h) && h[kid+1] > h[kid] {
			kid++
		}
		if kid >= len(h) || h[kid] <= u {
			h[i] = u
			return
		}
		h[i] = h[kid]
		i = kid
	}
}

// rise restores a heap with the soonest first, of which element i may be too late.
func rise(h []optUse, i int) {
	u := h[i]
	for {
		kid := 2*i + 1
		if kid+1 < len(h) && h[kid+1] < h[kid] {
			kid++
		}
		if kid >= len(h) || h[kid] >= u {
			h[i] = u
			return
		}
		h[i] = h[kid]
		i = kid
	}
}
