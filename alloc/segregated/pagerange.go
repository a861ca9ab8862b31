package segregated

// pageRange is a range of pages of 4 KiB in one word of a free span's record: the first page in
// its low half, the one after the last in the other. 0 is none.
type pageRange uint64

const (
	rangeShift = 12 - granuleShift // granule number >> rangeShift is its page of 4 KiB
	rangePage  = 1 << rangeShift   // granules
	rangeBits  = 32
	rangeMask  = 1<<rangeBits - 1
	_          = uint64(1<<rangeBits - maxGranules>>rangeShift) // every page has a number
)

// pagesOf returns the whole pages of g.
func pagesOf(g gap) pageRange {
	lo, hi := (g.lo+rangePage-1)>>rangeShift, g.hi>>rangeShift
	if lo >= hi {
		return 0
	}
	return pageRange(hi<<rangeBits | lo)
}

// gap returns the granules of the pages.
func (r pageRange) gap() gap {
	return gap{uint64(r) & rangeMask << rangeShift, uint64(r) >> rangeBits << rangeShift}
}

// before returns the pages of r that lie before granule at.
func (r pageRange) before(at uint64) pageRange {
	if g := r.gap(); g.hi > at {
		return pagesOf(gap{g.lo, at})
	}
	return r
}

// from returns the pages of r from granule at on.
func (r pageRange) from(at uint64) pageRange {
	if g := r.gap(); g.lo < at {
		return pagesOf(gap{at, g.hi})
	}
	return r
}
