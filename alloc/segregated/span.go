package segregated

import "math/bits"

// This file knows how spans are marked and measured. A span of n granules at g
// is known by bit g of the live and bound rows (a span starts here, and what it
// is) and, if it is large, by the rows inside it. Every other bit under a span
// is zero. A bound bit at the top ends the last span.

// bit returns the unit of granule g and g's bit in the words of its row.
func bit(g uint64) (u, mask uint64) { return g >> granuleBits, 1 << (g & granuleMask) }

// starts returns the bits where spans start in a row of bitmaps.
func (r *unit) starts() uint64 { return r.live | r.bound }

// markUsed makes [g, g+n) a used span.
func (h *Heap) markUsed(g, n uint64) {
	u, m := bit(g)
	row := h.row(u)
	row.bound |= m
	row.live |= m
	if n >= largeMin {
		h.tag(g, n)
	}
}

// soonLeast is the least that soonGranules can be: no page is smaller than 4 KiB.
const soonLeast = soonPages * 4096 >> granuleShift

// tag writes start and size into the first row inside the large span [g, g+n).
func (h *Heap) tag(g, n uint64) {
	u := g>>granuleBits + 1
	*h.kind(u), *h.row(u) = kindLarge, unit{g, n}
	if n >= soonLeast {
		h.hasSoon = true
	}
}

// untag clears what tag wrote.
func (h *Heap) untag(g uint64) { h.clearRow(g>>granuleBits + 1) }

// clearRow makes unit u one inside a span, of which nothing is kept there. The
// row comes before its kind, and in tag and putFree after it: a row that is no
// bitmap is not believed when a heap is opened whose process was killed in
// between (see rebuild.go).
func (h *Heap) clearRow(u uint64) { *h.row(u), *h.kind(u) = unit{}, kindBitmap }

// spanSize returns the size in granules of the span that starts at g, below
// the top: the distance to the next start, or what the row inside says. 0 means
// that the rows make no sense.
func (h *Heap) spanSize(g uint64) uint64 {
	u := g >> granuleBits
	if w := h.row(u).starts() >> (g & granuleMask) >> 1; w != 0 {
		return uint64(bits.TrailingZeros64(w)) + 1
	}
	u++
	if *h.kind(u) == kindLarge {
		return h.largeSize(g)
	}
	n := u<<granuleBits - g
	for range largeMin/unitGranules + 1 { // not past the rows behind the top
		k := *h.kind(u)
		if k >= kindRun {
			return n
		}
		if k != kindBitmap {
			return 0
		}
		if w := h.row(u).starts(); w != 0 {
			return n + uint64(bits.TrailingZeros64(w))
		}
		n += unitGranules
		u++
	}
	return 0
}

// largeSize returns the size of the large span that starts at g, or 0.
func (h *Heap) largeSize(g uint64) uint64 {
	u := g>>granuleBits + 1
	row := h.row(u)
	if *h.kind(u) != kindLarge || row.live != g || row.bound < largeMin || row.bound > h.top-g {
		return 0
	}
	return row.bound
}

// hasEnd reports whether the large free span [g, g+n), below the top, also ends where its
// first rows say, if its last row repeats it: what is cut from its end is to be its own.
func (h *Heap) hasEnd(g, n uint64) bool {
	last := (g+n)>>granuleBits - 1
	return *h.kind(last) == kindLast && *h.row(last) == unit{g, n} || last == g>>granuleBits+2
}

// smallUnits is how many units before that where a small span ends it may start.
const smallUnits = largeMin / unitGranules

// freeBefore returns the start of the free span that ends at granule g and starts in a
// unit before that of g, or 0 if what is there is used, a run, or the start of the data.
// A small one starts at the last bit before g, a large one has its start in its last row.
func (h *Heap) freeBefore(g uint64) uint64 {
	u, first := g>>granuleBits-1, h.first>>granuleBits
	if u < first {
		return 0
	}
	row := h.row(u)
	switch *h.kind(u) {
	case kindBitmap:
		w := row.starts()
		if w == 0 && u >= first+smallUnits {
			kinds, rows := h.kindsTo(u), h.rowsTo(u)
			if kinds[0]|kinds[1] == kindBitmap && rows[0].starts()|rows[1].starts() == 0 {
				return 0 // the inside of a large used one
			}
		}
		for n := smallUnits; w == 0; n-- {
			if u--; u < first || n == 1 || *h.kind(u) != kindBitmap {
				return 0
			}
			row = h.row(u)
			w = row.starts()
		}
		b := uint64(bits.Len64(w)) - 1
		if p := u<<granuleBits + b; row.live>>(b&granuleMask)&1 == 0 && g-p < largeMin {
			return p
		}
		return 0
	case kindInfo: // the last row, which is the second
		if u == first {
			return 0
		}
		row = h.row(u - 1)
	case kindLast:
	default:
		return 0
	}
	if p := row.live; p < g && p+row.bound == g && p >= h.first && h.startsFree(p) {
		return p
	}
	return 0
}

// isFree reports whether a free span starts at g. It trusts nothing about g.
func (h *Heap) isFree(g uint64) bool { return g-h.first < h.top-h.first && h.startsFree(g) }

// startsFree is isFree for a granule between the first and the top.
func (h *Heap) startsFree(g uint64) bool {
	u, m := bit(g)
	if *h.kind(u) != kindBitmap {
		return false // not even looked at: the row of a run of Shared is others' business
	}
	row := h.row(u)
	return row.bound&^row.live&m != 0
}

// isUsed reports whether a used span starts at g. It trusts nothing about g.
func (h *Heap) isUsed(g uint64) bool {
	if g-h.first >= h.top-h.first {
		return false
	}
	u, m := bit(g)
	row := h.row(u)
	return *h.kind(u) == kindBitmap && row.bound&row.live&m != 0
}
