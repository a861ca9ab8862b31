package segregated

import (
	"iter"
	"math/bits"
)

// pageWindow is the part of the heap that a call of Compact works on: for each of
// its pages how many granules are used, all those of runs and of what waits to be
// reused included.
type pageWindow struct {
	pageBits int                // binary logarithm of the granules of a page
	lo, hi   uint64             // pages
	used     []uint16           // by page, from lo on
	order    []uint32           // pages that are neither empty nor full, the emptiest first
	ends     [compactLevels]int // of order: behind the pages of which at most so many eighths are used
	left     int                // of order: the page to empty next
	right    int                // of order: behind the page whose holes are looked at next
	starts   []uint32           // scratch of sort
}

// pageOf returns the number of the page that granule g lies on.
func (c *compactor) pageOf(g uint64) uint64 { return g >> (c.pageBits & 63) }

// setWindow chooses the pages: those behind the ones of the last call.
func (c *compactor) setWindow() {
	c.pageBits = bits.TrailingZeros64(c.pageGranules)
	first, end := c.pageOf(c.Heap.first), c.pageOf(c.top+c.pageGranules-1)
	n := max(compactWindow, min(uint64(c.budget), 1<<40)*compactView) / c.pageSize
	if c.cursor < first || c.cursor >= end {
		c.cursor = first
	}
	c.lo, c.hi, c.cursor = c.cursor, end, first
	if end-c.lo > n+n/2 {
		c.hi = c.lo + n
		c.cursor = c.hi
	}
	c.used = zeroed(c.used, int(c.hi-c.lo))
}

// zeroed returns s with length n and all zero.
func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	s = s[:n]
	clear(s)
	return s
}

// surveyWindow counts what is used of each page of the next window, by rows, not by
// blocks, and notes its runs. O(units of the window).
func (c *compactor) surveyWindow() {
	c.setWindow()
	c.clearRuns()
	perPage := c.pageGranules / unitGranules
	at := c.spanAt(c.lo * c.pageGranules)
	in := at != 0 && c.isUsed(at)
	for i := range c.used {
		if c.err != nil {
			return
		}
		u := (c.lo + uint64(i)) * perPage
		c.used[i], in = c.surveyUnits(u, u+perPage, in)
	}
}

// surveyUnits is surveyWindow for the units from u to end, all on one page. in says whether
// the first begins inside a used span, and on whether what follows them does.
func (c *compactor) surveyUnits(u, end uint64, in bool) (used uint16, on bool) {
	for ; u < end && u <= c.top>>granuleBits; u++ {
		k := *c.kind(u)
		if k >= kindRun && k&0xff == 0 && !c.isTiny(uint64(k>>8)) {
			c.noteRun(u, uint64(k>>8))
		}
		var n uint16
		n, in = c.usedOf(u, in)
		used += n
	}
	return used, in
}

// usedOf returns how many granules of unit u are used. in says whether it begins inside a
// used span, and on whether what follows does.
func (h *Heap) usedOf(u uint64, in bool) (used uint16, on bool) {
	switch k := *h.kind(u); {
	case k == kindMarks:
		mask, on := usedMask(*h.row(u), in)
		return uint16(bits.OnesCount64(mask)), on
	case k >= kindRun, k == kindLarge && in:
		return unitGranules, in
	}
	return 0, in
}

// wasteful reports whether the free granules on pages of which something is used,
// and the free slots, are at least 1/compactWaste of what is used.
func (c *compactor) wasteful() bool {
	if c.chk != nil {
		return true // what is held back counts as used; and the more moves, the more is found
	}
	used, waste := uint64(0), uint64(0)
	for _, n := range c.used {
		if n != 0 {
			used += uint64(n)
			waste += c.pageGranules - min(uint64(n), c.pageGranules)
		}
	}
	for _, r := range c.runs {
		cl := &c.classes[r.key>>6]
		free := uint64(cl.numSlots()-int(r.key&63)) * uint64(cl.size/granule)
		used -= free
		waste += free
	}
	return waste*compactWaste >= used
}

// usedMask returns which granules of a row of marks are used, those of spans in quick lists
// included, and whether the one after it is if no span starts there; in says the same of its
// first one. From each bit where a used span starts, an addition carries through the row up to
// the next bit where a free one does.
func usedMask(row uint64, in bool) (mask uint64, on bool) {
	live := row / liveBit & eachCell
	free := startBits(row, row/boundBit&eachCell&^live)
	seed := startBits(row, live)
	if in {
		seed |= 1 &^ free
	}
	sum, carry := bits.Add64(^free, seed, 0)
	return (sum ^ ^free | seed) &^ free, carry != 0
}

// sortPages puts the pages that are neither empty nor full in order.
func (c *compactor) sortPages() {
	full := uint16(c.pageGranules)
	c.starts = zeroed(c.starts, int(full)+1)
	for _, used := range c.used {
		c.starts[min(used, full)]++
	}
	n := uint32(0)
	c.starts[0] = 0
	for i := 1; i < int(full); i++ {
		c.starts[i], n = n, n+c.starts[i]
	}
	c.order = zeroed(c.order, int(n))
	for i, used := range c.used {
		if used != 0 && used < full {
			c.order[c.starts[used]] = uint32(i)
			c.starts[used]++
		}
	}
	for level := range c.ends {
		c.ends[level] = int(c.starts[c.eighths(level)])
	}
	c.left, c.right = 0, len(c.order)
}

// count adds sign for each granule of [g, g+n) to the pages they lie in.
func (c *compactor) count(g, n uint64, sign int) {
	pg := c.pageGranules
	for p, last := c.pageOf(g), c.pageOf(g+n-1); p <= last; p++ {
		if p >= c.lo && p < c.hi {
			part := min(g+n, (p+1)*pg) - max(g, p*pg)
			c.used[p-c.lo] += uint16(sign * int(part))
		}
	}
}

// company returns by how much the sum of the squares of what is used of each page
// grows if [g, g+n) becomes used, or with own shrinks if it becomes free: the
// granules times the company that they have. Pages outside of the window count as full;
// nothing is to come there, which ok says.
func (c *compactor) company(g, n uint64, own bool) (sum uint64, ok bool) {
	pg := c.pageGranules
	ok = true
	for p, last := c.pageOf(g), c.pageOf(g+n-1); p <= last; p++ {
		part := min(g+n, (p+1)*pg) - max(g, p*pg)
		others := pg
		if p < c.lo || p >= c.hi {
			ok = false
		} else if others = uint64(c.used[p-c.lo]); own {
			others -= min(others, part)
		}
		sum += part * (2*others + part)
	}
	return sum, ok
}

// emptyPages moves blocks away from the pages of which at most so many eighths are
// used, the emptiest first.
func (c *compactor) emptyPages(level int) {
	for ; c.left < c.ends[level] && !c.done(); c.left++ {
		if i := c.order[c.left]; uint64(c.used[i]) <= c.eighths(level) { // else it has got blocks meanwhile
			c.emptyPage(c.lo + uint64(i))
		}
	}
}

// eighths returns so many eighths of a page, in granules.
func (c *compactor) eighths(level int) uint64 { return c.pageGranules * uint64(level) / compactLevels }

// emptyPage moves away the blocks that page p has a part of.
func (c *compactor) emptyPage(p uint64) {
	c.dissolveOn(p)
	c.collectUsed(p)
	for _, b := range c.found {
		if c.done() {
			return
		}
		from := spot{off: b.g << granuleShift, size: b.n << granuleShift}
		if b.n > compactBlock || !c.movable(from) {
			continue
		}
		g := c.place(b.g, b.n)
		if g == 0 {
			c.misses++
			continue
		}
		c.shift(from, spot{off: g << granuleShift, size: from.size})
	}
}

// movable reports whether the block at the spot may move, as far as it is not the
// mover's business.
func (c *compactor) movable(s spot) bool {
	if c.chk != nil {
		return c.movableChecked(s.off)
	}
	return s.off != c.safe.root
}

// collectUsed finds the used spans that page p has a part of.
func (c *compactor) collectUsed(p uint64) {
	c.found = c.found[:0]
	for g := range c.spansOn(p) {
		if !c.isUsed(g) {
			continue
		}
		if n := c.spanSize(g); n != 0 {
			c.found = append(c.found, piece{g: g, n: n, used: true})
		}
	}
}

// spansOn is an iterator over the starts of the spans that page p has a part of.
func (c *compactor) spansOn(p uint64) iter.Seq[uint64] {
	lo := p * c.pageGranules
	hi := min(lo+c.pageGranules, c.top)
	return func(yield func(uint64) bool) {
		if lo >= hi {
			return
		}
		if u := lo >> granuleBits; *c.kind(u) < kindRun && (*c.kind(u) != kindMarks || !isStart(*c.row(u), lo)) {
			if g := c.spanAt(lo); g != 0 && !yield(g) {
				return
			}
		}
		for u := lo >> granuleBits; u<<granuleBits < hi; u++ {
			if *c.kind(u) != kindMarks {
				continue
			}
			for w := *c.row(u); w != 0; w = withoutFirst(w) {
				if !yield(u<<granuleBits + firstStart(w)) {
					return
				}
			}
		}
	}
}
