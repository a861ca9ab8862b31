package segregated

import "math/bits"

// This file knows how the marks of spans are written into rows. No span is shorter than a
// cell of four granules, so that in each cell one starts at most, and four bits of the row
// say what is to be said of it:
//
//	bound  live  place
//	  1     1    0 to 3   a used span starts here, at that granule of the cell
//	  1     0    0 to 3   a free one
//	  0     1    0 to 3   one in a quick list, or to be joined later: taken for used by its
//	                      neighbours, not by Free
//	  0     0      0      none starts in this cell
//
// With a bit for each granule that says where spans start, and another for what they are,
// rows would be twice as long.
const (
	cellGranules = 4
	minSpan      = cellGranules // the least span, in granules
	placeMask    = cellGranules - 1
	cellMask     = granuleMask &^ placeMask // of a granule number: the first bit of its mark
	markMask     = 1<<4 - 1

	liveBit  = 1 << 2
	boundBit = 1 << 3
	asUsed   = boundBit | liveBit
	asFree   = boundBit
	asKept   = liveBit
)

// mark returns the mark of a span that starts at granule g, in its place in the row.
func mark(as, g uint64) uint64 { return (as | g&placeMask) << (g & cellMask) }

// isMarked reports whether the row w says that a span of that kind starts at granule g.
func isMarked(w, as, g uint64) bool { return (w>>(g&cellMask)^g&placeMask)&markMask == as }

// isStart reports whether the row w says that any span starts at granule g.
func isStart(w, g uint64) bool {
	m := w >> (g & cellMask) & markMask
	return m > placeMask && m&placeMask == g&placeMask
}

// eachCell has the first bit of each cell.
const eachCell = ^uint64(0) / markMask

// startBits returns a word with a bit for each granule, set where the spans start whose cells
// have their first bit in which: all are moved by the places of their marks at once.
func startBits(w, which uint64) uint64 {
	odd, high := w&eachCell, w>>1&eachCell
	which = which&^odd | which&odd<<1
	high |= high << 1
	return which&^high | which&high<<2
}

// clearMark removes the mark from the cell of granule g.
func clearMark(row *uint64, g uint64) { *row &^= markMask << (g & cellMask) }

// firstStart returns where in its unit the first span starts of those that the row w, which
// is not 0, has marks of.
func firstStart(w uint64) uint64 {
	at := uint64(bits.TrailingZeros64(w)) & cellMask
	return at + w>>at&placeMask
}

// lastStart returns where the last one starts.
func lastStart(w uint64) uint64 {
	at := uint64(bits.Len64(w)-1) & cellMask
	return at + w>>at&placeMask
}

// marksAfter returns the marks of w in the cells behind that of granule g, the next cell's
// first.
func marksAfter(w, g uint64) uint64 { return w >> (g & cellMask) >> cellGranules }

// marksBefore returns the marks of w in the cells before that of granule g.
func marksBefore(w, g uint64) uint64 { return w & (1<<(g&cellMask) - 1) }

// withoutFirst returns w without its first mark.
func withoutFirst(w uint64) uint64 {
	return w &^ (markMask << (uint64(bits.TrailingZeros64(w)) & cellMask))
}

// isPiece reports whether n granules can be a span, or are none at all.
func isPiece(n uint64) bool { return n-1 >= minSpan-1 }
