package fit

import "math/bits"

// A tlsfIndex is the two-level segregated fit of Masmano et al.: the first level
// splits sizes by powers of two, the second each power into 16 equal parts. A
// bit per list says whether it has blocks, so that the smallest list that
// certainly fits is found with two instructions.
//
//	size 0x1a0 = 1 1010 0000₂ → first level 8 (the leading bit), second 10 (the four bits after it)
type tlsfIndex struct {
	h      *Heap
	first  uint64              // bit f: some list of first level f has blocks
	second [firstLevels]uint32 // bit s of second[f]: list f, s has blocks
	heads  [firstLevels][secondLevels]int
}

const (
	firstLevels  = 44 // sizes up to maxHeap
	secondBits   = 4
	secondLevels = 1 << secondBits

	_ = uint(1<<firstLevels/maxHeap - 2) // compile-time: maxHeap has a level
)

// mapping returns the list of a block of size bytes, at least 16.
func mapping(size int) (f, s int) {
	f = bits.Len(uint(size)) - 1
	return f, size >> (f - secondBits) & (secondLevels - 1)
}

// insert puts the block at the front of the list of its size.
func (x *tlsfIndex) insert(off, size int) {
	f, s := mapping(size)
	head := x.heads[f][s]
	x.h.setNext(off, head)
	x.h.setPrev(off, 0)
	if head != 0 {
		x.h.setPrev(head, off)
	}
	x.heads[f][s] = off
	x.second[f] |= 1 << s
	x.first |= 1 << f
}

// remove unlinks the block from the list of its size.
func (x *tlsfIndex) remove(off, size int) {
	h := x.h
	f, s := mapping(size)
	prev, next := h.prev(off), h.next(off)
	if prev == 0 && x.heads[f][s] != off || prev != 0 && h.next(prev) != off || next != 0 && h.prev(next) != off {
		h.corrupt("unlink", off, "the free list's links do not agree")
	}
	if next != 0 {
		h.setPrev(next, prev)
	}
	if prev != 0 {
		h.setNext(prev, next)
		return
	}
	x.heads[f][s] = next
	if next == 0 {
		x.second[f] &^= 1 << s
		if x.second[f] == 0 {
			x.first &^= 1 << f
		}
	}
}

func (x *tlsfIndex) replace(old, oldSize, off, size int) {
	x.remove(old, oldSize)
	x.insert(off, size)
}

// find takes the first block of the smallest list whose blocks all fit. Only
// when there is none, and the heap would have to grow, it searches the request's
// own list, where some may fit.
func (x *tlsfIndex) find(need int) int {
	x.h.lastSearched = 0
	off := x.findLarger(need)
	if off == 0 {
		off = x.searchOwn(need)
	}
	x.h.searched += uint64(x.h.lastSearched)
	return off
}

// searchOwn returns the first block on the list of size need that fits, or 0.
func (x *tlsfIndex) searchOwn(need int) int {
	f, s := mapping(need)
	for off := x.heads[f][s]; off != 0; off = x.h.next(off) {
		if x.h.lastSearched > x.h.freeBlocks {
			x.h.corrupt("search", off, "a free list has a cycle")
		}
		x.h.lastSearched++
		if x.h.freeSize(off) >= need {
			return off
		}
	}
	return 0
}

// findLarger returns the first block of the smallest list whose blocks all have
// need bytes, or 0.
func (x *tlsfIndex) findLarger(need int) int {
	h := x.h
	f, s := mapping(need)
	if up := need + 1<<(f-secondBits) - 1; up > need {
		f, s = mapping(up) // blocks of the request's own list may be too small
	}
	if f >= firstLevels {
		return 0
	}
	list := x.second[f] >> s << s
	if list == 0 {
		higher := x.first >> (f + 1) << (f + 1)
		if higher == 0 {
			return 0
		}
		f = bits.TrailingZeros64(higher)
		list = x.second[f]
	}
	off := x.heads[f][bits.TrailingZeros32(list)]
	h.lastSearched++
	if h.freeSize(off) < need {
		h.corrupt("search", off, "a block is on the list of another size")
	}
	return off
}

func (x *tlsfIndex) joined(off, size int) {}

func (x *tlsfIndex) reset() {
	x.first = 0
	clear(x.second[:])
	clear(x.heads[:])
}

// check proves law L4: bits agree with lists, each free block is on the list of
// its size, and links agree.
func (x *tlsfIndex) check(free map[int]int, report reportFunc) {
	seen := map[int]bool{}
	for f := range firstLevels {
		if x.first>>f&1 != 0 != (x.second[f] != 0) {
			report("L4: first-level bit %d and its second level %#x do not agree", f, x.second[f])
		}
		for s := range secondLevels {
			if x.second[f]>>s&1 != 0 != (x.heads[f][s] != 0) {
				report("L4: second-level bit %d/%d and its list do not agree", f, s)
			}
			x.checkList(f, s, free, seen, report)
		}
	}
	for off := range free {
		if !seen[off] {
			report("L4: free block %#x is on no list", off)
		}
	}
}

// checkList walks one list.
func (x *tlsfIndex) checkList(f, s int, free map[int]int, seen map[int]bool, report reportFunc) {
	prev := 0
	for at := x.heads[f][s]; at != 0; {
		size, isFree := free[at]
		if seen[at] || !isFree {
			report("L4: list %d/%d leads to %#x, which is no free block or was seen before", f, s, at)
			return
		}
		seen[at] = true
		if gf, gs := mapping(size); gf != f || gs != s {
			report("L4: block %#x of %d bytes is on list %d/%d", at, size, f, s)
		}
		back, wrongBack := x.h.tryLink(at+x.h.o.Header+wordSize, prevWord)
		next, wrongNext := x.h.tryLink(at+x.h.o.Header, nextWord)
		if wrongBack || wrongNext || back != prev {
			report("L4: the links of block %#x are wrong", at)
			return
		}
		prev, at = at, next
	}
}
