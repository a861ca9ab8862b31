package segregated

import "math/bits"

// Free spans are kept in bins by size: one bin for each size below exactBins
// granules, eight a doubling above. A bin is a doubly linked list, newest first;
// bitmaps of two levels say which bins have spans (Masmano et al., TLSF: a new
// dynamic memory allocator for real-time systems, ECRTS 2004, section 4).

// links returns the links of the free span at g in the given bin.
func (h *Heap) links(g uint64, bin int) *links {
	if bin >= infoBin {
		return &h.info(g).links
	}
	return h.smallLinks(g)
}

// link puts the free span [g, g+n), whose links are l, first in its bin. Mostly that has no
// other.
func (h *Heap) link(g, n uint64, bin int, l *links) bool {
	d := h.hdr
	head := &d.bins[bin]
	next := *head
	l.next, l.prev = next, 0
	*head = g
	h.freeSpans++
	h.freeSum += n
	if next != 0 || h.hooked {
		return h.linkBefore(g, next, bin)
	}
	d.addBin(uint(bin))
	return true
}

// linkBefore does what is left of link if the heap is hooked or there are others in the bin,
// of which next was the first; it is 0 if there are none.
func (h *Heap) linkBefore(g, next uint64, bin int) bool {
	if next == 0 {
		h.hdr.addBin(uint(bin))
	} else if !h.isIn(next, bin) {
		return h.badHead(bin, next)
	} else {
		h.links(next, bin).prev = g
	}
	if h.sink != nil {
		h.emitLinks(g, bin)
		h.emitUnlink(links{next: next}, bin)
	}
	return true
}

// unlink takes the free span [g, g+n), whose links are l, out of its bin. Mostly it is
// alone there.
func (h *Heap) unlink(g, n uint64, bin int, l links) bool {
	d := h.hdr
	head := &d.bins[bin]
	if *head != g || l.next|l.prev != 0 || h.hooked {
		return h.unlinkFrom(g, n, bin, l)
	}
	*head = 0
	d.dropBin(uint(bin))
	h.freeSpans--
	h.freeSum -= n
	return true
}

// unlinkFrom is unlink if there are others in the bin, or the heap is hooked. The links
// may have been overwritten by a stray write of the caller's: they are followed only to
// other free spans that point back.
func (h *Heap) unlinkFrom(g, n uint64, bin int, l links) bool {
	if l.next != 0 {
		if !h.isIn(l.next, bin) {
			return h.badLink(g, "next", l.next)
		}
		next := h.links(l.next, bin)
		if next.prev != g {
			return h.badLink(g, "next", l.next)
		}
		next.prev = l.prev
	}
	switch head := &h.hdr.bins[bin]; {
	case *head == g && l.prev == 0:
		if *head = l.next; l.next == 0 {
			h.hdr.dropBin(uint(bin))
		}
	case l.prev == 0 || !h.isIn(l.prev, bin):
		return h.badLink(g, "previous", l.prev)
	default:
		prev := h.links(l.prev, bin)
		if prev.next != g {
			return h.badLink(g, "previous", l.prev)
		}
		prev.next = l.next
	}
	h.freeSpans--
	h.freeSum -= n
	if h.hooked {
		h.leftBin(g, bin, l)
	}
	return true
}

// isIn reports whether a free span starts at g, and its links are where those of the spans in the bin
// are. It does not go by the mark that ends the span, which may have been cleared just now.
func (h *Heap) isIn(g uint64, bin int) bool {
	if !h.isFree(g) {
		return false
	}
	n := h.largeSize(g)
	if bin < infoBin {
		return n < infoMin
	}
	return n != 0 && binOf(n) == bin
}

// rebin moves the free span at g, which has become larger by so many granules, from one
// bin to the front of another: an unlink and a link in one. Its links were was and are to
// be l.
func (h *Heap) rebin(g, more uint64, from, to int, was links, l *links) bool {
	d := h.hdr
	head := &d.bins[from]
	if *head != g || was.next|was.prev != 0 || h.hooked {
		return h.unlinkFrom(g, -more, from, was) && h.link(g, 0, to, l)
	}
	*head = 0
	d.dropBin(uint(from))
	h.freeSum += more
	return h.putFirst(g, to, l)
}

// putFirst is what is left of rebin when the span is out of its bin.
func (h *Heap) putFirst(g uint64, to int, l *links) bool {
	d := h.hdr
	head := &d.bins[to]
	next := *head
	l.next, l.prev = next, 0
	*head = g
	if next != 0 {
		return h.linkBefore(g, next, to)
	}
	d.addBin(uint(to))
	return true
}

// replaceFirst puts the free span [to, to+m), which is about to be marked, in the place
// of the free span [g, g+n), whose links are l, if that is the first of its bin and the
// bin of both. It reports whether it did; the links of the new one are for the caller to
// write.
func (h *Heap) replaceFirst(g, n, to, m uint64, l *links) bool {
	if !sameBin(n, m) || l.prev != 0 || h.hooked {
		return false
	}
	bin := binOf(n)
	head := &h.hdr.bins[bin]
	if *head != g {
		return false
	}
	if next := l.next; next != 0 {
		if !h.isFree(next) || h.links(next, bin).prev != g {
			return false
		}
		h.links(next, bin).prev = to
	}
	*head = to
	h.freeSum += m - n
	return true
}

// leftBin does what a heap that is hooked does when the free span at g, whose links
// were l, has left its bin.
func (h *Heap) leftBin(g uint64, bin int, l links) {
	h.unlinked(g, bin)
	if h.sink != nil {
		h.emitUnlink(l, bin)
	}
}

// addBin sets the bits of a bin that has its first span.
func (d *header) addBin(bin uint) {
	d.binSet[bin/64] |= 1 << (bin & 63)
	d.wordSet |= 1 << (bin / 64 & 63)
}

// dropBin clears the bits of a bin that has lost its last span.
func (d *header) dropBin(bin uint) {
	w := bin / 64
	set := d.binSet[w] &^ (1 << (bin & 63))
	if d.binSet[w] = set; set == 0 {
		d.wordSet &^= 1 << (w & 63)
	}
}

// badLink fails: a link of the free span at g does not lead to one that leads
// back.
//
//go:noinline
func (h *Heap) badLink(g uint64, which string, to uint64) bool {
	return h.fail("free span %#x: %s link %#x is damaged", g<<granuleShift, which, to<<granuleShift)
}

// badHead fails: a bin starts at what is no free span.
//
//go:noinline
func (h *Heap) badHead(bin int, g uint64) bool {
	return h.fail("bin %d starts at %#x, which is not a free span", bin, g<<granuleShift)
}

// nextBin returns the first bin from bin on that has spans, or numBins, also where the
// bits are damaged.
func (h *Heap) nextBin(bin int) int {
	if s := h.hdr.binSet[uint(bin)/64] >> (uint(bin) & 63); s != 0 {
		return min(bin+bits.TrailingZeros64(s), numBins)
	}
	return h.nextWord(bin)
}

// nextWord is nextBin if no bin of the word of bin will do.
func (h *Heap) nextWord(bin int) int {
	w, d := uint(bin)/64, h.hdr
	if rest := d.wordSet >> (w + 1) << (w + 1) & (1<<binWords - 1); rest != 0 {
		w = uint(bits.TrailingZeros64(rest))
		return min(int(w*64)+bits.TrailingZeros64(d.binSet[w]), numBins)
	}
	return numBins
}

// lastBin returns the last bin before the given one that has spans, or 0, which has none, also
// where the bits are damaged.
func (h *Heap) lastBin(before int) int {
	for w := (before - 1) / 64; w >= 0; w-- {
		s := h.hdr.binSet[w]
		if w == before/64 {
			s &= 1<<(before&63) - 1
		}
		if s != 0 {
			return min(w*64+bits.Len64(s), before) - 1
		}
	}
	return 0
}

// find returns a free span of at least n granules that is not yet unlinked and
// its size, or 0: better fit, the closest of a bounded number of spans in the
// bin of n, else of the next bin that has any.
func (h *Heap) find(n uint64) (g, size uint64) {
	bin := h.nextBin(binOf(n))
	if bin == numBins {
		return 0, 0
	}
	return h.findFrom(bin, n)
}

// findFrom is find if bin is the first from that of n on that has spans.
func (h *Heap) findFrom(bin int, n uint64) (g, size uint64) {
	switch {
	case bin < exactBins:
		return h.closestSmall(bin, n, 1)
	case bin == binOf(n):
		if g, size = h.closest(bin, n, searchOwn); g != 0 || h.err != nil {
			return g, size
		}
		if bin = h.nextBin(bin + 1); bin == numBins {
			return 0, 0
		}
	}
	return h.closest(bin, n, searchNext)
}

// How many spans of a bin find looks at: in the bin of the request, where some
// may be too small, and in the next one, where all fit.
const (
	searchOwn  = 8
	searchNext = 4
)

// closest returns the smallest of the first limit spans of bin that have at
// least n granules, the lower address among equals.
func (h *Heap) closest(bin int, n uint64, limit int) (best, bestSize uint64) {
	if bin < infoBin || h.sink != nil {
		return h.closestSmall(bin, n, limit)
	}
	least, width := sizesOf(bin)
	g, left := h.hdr.bins[bin], limit
	bestSize = ^uint64(0)
	for ; left > 0 && g != 0; left-- {
		if g-h.first >= h.top-h.first {
			h.wrongSize(bin, g)
			return 0, 0
		}
		in := h.info(g)
		size := in.tag >> granuleBits
		if in.tag&granuleMask != g&granuleMask || size-least >= width {
			h.wrongSize(bin, g)
			return 0, 0
		}
		if size >= n && (size < bestSize || size == bestSize && g < best) {
			best, bestSize = g, size
			if size == n {
				left--
				break
			}
		}
		g = in.next
	}
	h.searched += uint64(limit - left)
	if best != 0 && (!h.isFree(best) || h.largeSize(best) == 0 || !h.hasEnd(best, bestSize)) {
		h.wrongSize(bin, best)
		return 0, 0
	}
	return best, bestSize
}

// closestSmall is closest for any bin, those of spans of less than infoMin in particular.
func (h *Heap) closestSmall(bin int, n uint64, limit int) (best, bestSize uint64) {
	g := h.hdr.bins[bin]
	bestSize = ^uint64(0)
	for ; limit > 0 && g != 0; limit-- {
		h.searched++
		if h.sink != nil {
			h.emitLook(g, bin)
		}
		size := uint64(0)
		if h.isFree(g) {
			size = h.spanSize(g)
		}
		if size == 0 || binOf(size) != bin {
			h.wrongSize(bin, g)
			return 0, 0
		}
		if size >= n && (size < bestSize || size == bestSize && g < best) {
			best, bestSize = g, size
			if size == n {
				break
			}
		}
		g = h.links(g, bin).next
	}
	return best, bestSize
}

// wrongSize fails: a bin has what is no free span of its size.
//
//go:noinline
func (h *Heap) wrongSize(bin int, g uint64) {
	h.fail("bin %d has %#x, which is not a free span of its size", bin, g<<granuleShift)
}
