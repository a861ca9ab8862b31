package segregated

import "math/bits"

// holeIndex knows free spans of the fullest pages, by size. It is made bit by bit,
// as far as it is needed, and not kept up to date: a span is looked at before it is
// taken, and what was joined with others or has been taken is forgotten then.
type holeIndex struct {
	holes []hole
	first [holeBins]uint32             // index in holes of the first hole of a size
	last  [holeBins]uint32             // and of the last
	some  [(holeBins + 63) / 64]uint64 // bit set: there is one
}

// holeBins is for each size up to compactBlock one, and one for what is larger.
const holeBins = compactBlock + 2

// hole is a free span.
type hole struct {
	g    uint64 // where it starts
	next uint32 // index in holes, 0: none
}

const (
	holeLooks = 4    // holes looked at of each size
	holeSizes = 12   // sizes
	holeMost  = 4096 // holes that are known, before they are forgotten for those of other pages
	holePages = 8    // pages whose holes are added at once
	holeTries = 4    // times that this is done for one block
)

// clearHoles forgets all.
func (x *holeIndex) clearHoles() {
	if x.holes == nil {
		x.holes = make([]hole, 0, holeMost+holeMost/4)
	}
	x.holes = append(x.holes[:0], hole{})
	x.first, x.last = [holeBins]uint32{}, [holeBins]uint32{}
	x.some = [(holeBins + 63) / 64]uint64{}
}

// add adds the free span of n granules at g, behind those of its size or in front
// of them.
func (x *holeIndex) add(g, n uint64, front bool) {
	i := uint32(len(x.holes))
	bin := min(n, holeBins-1)
	x.holes = append(x.holes, hole{g: g})
	switch {
	case x.first[bin] == 0:
		x.first[bin], x.last[bin] = i, i
		x.some[bin/64] |= 1 << (bin % 64)
	case front:
		x.holes[i].next = x.first[bin]
		x.first[bin] = i
	default:
		x.holes[x.last[bin]].next = i
		x.last[bin] = i
	}
}

// drop removes hole i, which prev comes before, 0: it is the first.
func (x *holeIndex) drop(bin int, prev, i uint32) {
	next := x.holes[i].next
	if prev == 0 {
		x.first[bin] = next
		if next == 0 {
			x.some[bin/64] &^= 1 << (bin % 64)
		}
	} else {
		x.holes[prev].next = next
	}
	if next == 0 {
		x.last[bin] = prev
	}
}

// nextSize returns the first size from bin on that there are holes of, or holeBins.
func (x *holeIndex) nextSize(bin int) int {
	for w := bin / 64; w < len(x.some); w++ {
		s := x.some[w]
		if w == bin/64 {
			s = s >> (bin % 64) << (bin % 64)
		}
		if s != 0 {
			return w*64 + bits.TrailingZeros64(s)
		}
	}
	return holeBins
}

// place returns a used span as large as the used one [g, g+n), on fuller pages, or
// 0. If the holes that are known do not do it adds those of more pages, the fullest
// first, until it comes to the page that is being emptied.
func (c *compactor) place(g, n uint64) uint64 {
	at := c.placeIn(g, n)
	for range holeTries {
		if at != 0 || c.err != nil || c.right <= c.left+1 {
			break
		}
		if len(c.holes) > holeMost {
			c.clearHoles()
		}
		for i := 0; i < holePages && c.right > c.left+1; i++ {
			c.right--
			c.collectFree(c.lo + uint64(c.order[c.right]))
		}
		at = c.placeIn(g, n)
	}
	return at
}

// placeIn is place for the holes that are known.
func (c *compactor) placeIn(g, n uint64) uint64 {
	now, _ := c.company(g, n, true)
	least := now + now/compactMargin
	a := c.alignOf(g << granuleShift)
	bin := int(n)
	for range holeSizes {
		if bin = c.nextSize(bin); bin == holeBins {
			return 0
		}
		prev, i := uint32(0), c.holeIndex.first[bin]
		for looks := 0; looks < holeLooks && i != 0; looks++ {
			c.searched++
			free, next := c.holes[i].g, c.holes[i].next
			size := uint64(0)
			if c.isFree(free) {
				size = c.spanSize(free)
			}
			if size < n {
				c.drop(bin, prev, i)
			} else if at := c.bestEnd(free, size, g, n, a, least); at != 0 {
				c.drop(bin, prev, i)
				return c.occupy(free, size, at, n)
			} else {
				prev = i
			}
			i = next
		}
		bin++
	}
	return 0
}

// bestEnd returns where in the free span [free, free+size) the block [g, g+n) has
// most company, if that is more than least, else 0. It is one of the ends.
func (c *compactor) bestEnd(free, size, g, n uint64, a grid, least uint64) (best uint64) {
	from, to := c.pageOf(g), c.pageOf(g+n-1)
	low := a.up(free)
	high := (free+size-n+a.bias)&^(a.align-1) - a.bias
	for _, at := range [...]uint64{high, low} {
		if at < free || at > free+size-n || !isPiece(at-free) || !isPiece(free+size-n-at) || c.pageOf(at) <= to && c.pageOf(at+n-1) >= from {
			continue
		}
		if sum, ok := c.company(at, n, false); ok && sum > least {
			best, least = at, sum
		}
	}
	return best
}

// occupy makes n granules at at, in the free span [g, g+size), a used span, and
// returns its start, or 0.
func (c *compactor) occupy(g, size, at, n uint64) uint64 {
	if !c.carve(g, size, at, n) {
		return 0
	}
	c.markUsed(at, n)
	c.mallocs++
	c.demands(n, 1)
	c.count(at, n, +1)
	if at > g {
		c.add(g, at-g, true)
	}
	if rest := g + size - at - n; rest > 0 {
		c.add(at+n, rest, true)
	}
	return at
}

// collectFree adds the free spans that page p has a part of.
func (c *compactor) collectFree(p uint64) {
	for g := range c.spansOn(p) {
		if g < c.top && c.isFree(g) {
			c.add(g, c.spanSize(g), false)
		}
	}
}
