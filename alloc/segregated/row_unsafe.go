package segregated

import "unsafe"

// row and kind read the tables without a bounds check: they are what every
// step over spans consists of. A number that comes from the metadata is
// compared with the top before it is used here, see [Heap.isFree].

// row returns the row of unit u, at most rowsPastTop past that of the top.
func (h *Heap) row(u uint64) *uint64 {
	// SAFETY: these rows are committed, see grow.
	return (*uint64)(unsafe.Add(h.unitTab, uintptr(u)*unitRow))
}

// rowOf returns the row of the unit of granule g.
func (h *Heap) rowOf(g uint64) *uint64 { return h.row(g >> granuleBits) }

// kind returns the kind of unit u, as row does its row.
func (h *Heap) kind(u uint64) *uint16 {
	// SAFETY: as for rows.
	return (*uint16)(unsafe.Add(h.kindTab, uintptr(u)*kindSize))
}

// rowsTo and kindsTo return the rows and kinds of smallUnits units up to u.
func (h *Heap) rowsTo(u uint64) *[smallUnits]uint64 {
	// SAFETY: as for row.
	return (*[smallUnits]uint64)(unsafe.Pointer(h.row(u - smallUnits + 1)))
}

func (h *Heap) kindsTo(u uint64) *[smallUnits]uint16 {
	// SAFETY: as for row.
	return (*[smallUnits]uint16)(unsafe.Pointer(h.kind(u - smallUnits + 1)))
}

// info returns the record of the span of infoMin that starts at granule g, below the
// top; of a smaller one that is large its tag alone may be looked at.
func (h *Heap) info(g uint64) *spanInfo {
	// SAFETY: infoRows rows have the size of a spanInfo, and both are
	// made of uint64 alone; they are at most rowsPastTop past the top's.
	return (*spanInfo)(unsafe.Pointer(h.row(g>>granuleBits + 1)))
}

// infoKinds returns the kinds of the units of that record.
func (h *Heap) infoKinds(g uint64) *[infoRows]uint16 {
	// SAFETY: as for info.
	return (*[infoRows]uint16)(unsafe.Pointer(h.kind(g>>granuleBits + 1)))
}

// smallLinks returns the links inside the free span at granule g, below the top.
func (h *Heap) smallLinks(g uint64) *links {
	// SAFETY: 16 bytes at a multiple of 16 of memory that no caller owns.
	return (*links)(unsafe.Add(h.base, uintptr(g)<<granuleShift))
}

// runLinks returns the links of the run of c at unit run: the row after its own, or, if it has
// one unit, a word where it has no slot any more.
func (h *Heap) runLinks(c *class, run uintptr) *uint64 {
	if c.units != 1 {
		return h.row(uint64(run) + 1)
	}
	// SAFETY: the last granule of the run's memory, see newClass.
	return (*uint64)(unsafe.Add(h.base, run<<unitShift+unitSize-granule))
}

// at returns the first size bytes of the block at granule g, which has that many.
func (h *Heap) at(g uint64, size int) []byte {
	// SAFETY: the span is below the top and nobody else's.
	return bytesAt(unsafe.Add(h.base, uintptr(g)<<granuleShift), size)
}

// dataRow returns the row of what lies off bytes behind the first byte of data, below the
// top.
func (h *Heap) dataRow(off uintptr) *uint64 {
	// SAFETY: as for row.
	return (*uint64)(unsafe.Add(h.data.units, off>>unitShift*unitRow))
}

// isSoon reports whether a large span that starts in unit u of the data is one whose
// pages go back at once.
func (h *Heap) isSoon(u uintptr) bool {
	u += h.data.unit + 1
	return *h.kind(uint64(u)) == kindLarge && *h.row(uint64(u)) >= soonLeast<<granuleBits
}

// at returns bucket i of the quick lists, which is the bin of at most quickMax granules, or the one
// behind the last, which is empty.
func (q *quickLists) at(i int) *quickBucket {
	if i >= exactBins {
		return q.wide(i)
	}
	// SAFETY: those of one line are behind those of two.
	return (*quickBucket)(unsafe.Add(unsafe.Pointer(&q.lines), uintptr(i+2*(quickBuckets+1-exactBins))*bucketLine))
}

// wide is at for a bucket from exactBins on.
func (q *quickLists) wide(i int) *quickBucket {
	// SAFETY: that of quickMax is the last of quickBuckets, and there are lines for one more.
	return (*quickBucket)(unsafe.Add(unsafe.Pointer(&q.lines), uintptr(i-exactBins)*(2*bucketLine)))
}

const bucketLine = unsafe.Sizeof(quickBucket{})

// entry returns span k of b, which has room for it.
func (b *quickBucket) entry(k uint16) *quickEntry {
	// SAFETY: the spans are what follows 8 bytes; those of a wide bucket go on in the next line.
	return (*quickEntry)(unsafe.Add(unsafe.Pointer(b), 8+uintptr(k)*8))
}

// spans returns the spans of b.
func (b *quickBucket) spans() []quickEntry {
	// SAFETY: as for entry.
	return unsafe.Slice(b.entry(0), min(b.n, quickSlots))
}

// newest returns the newest span of b, which has some.
func (b *quickBucket) newest() *quickEntry {
	// SAFETY: as for entry; there are n of them.
	return (*quickEntry)(unsafe.Add(unsafe.Pointer(b), uintptr(b.n)*8))
}
