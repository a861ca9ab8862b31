package segregated

import "unsafe"

// row and kind read the tables without a bounds check: they are what every
// step over spans consists of. A number that comes from the metadata is
// compared with the top before it is used here, see [Heap.isFree].

// row returns the row of unit u, at most rowsPastTop past that of the top.
func (h *Heap) row(u uint64) *unit {
	// SAFETY: these rows are committed, see grow.
	return (*unit)(unsafe.Add(h.unitTab, uintptr(u)*unitRow))
}

// kind returns the kind of unit u, as row does its row.
func (h *Heap) kind(u uint64) *uint16 {
	// SAFETY: as for rows.
	return (*uint16)(unsafe.Add(h.kindTab, uintptr(u)*kindSize))
}

// rowsTo and kindsTo return the rows and kinds of smallUnits units up to u.
func (h *Heap) rowsTo(u uint64) *[smallUnits]unit {
	// SAFETY: as for row.
	return (*[smallUnits]unit)(unsafe.Pointer(h.row(u - smallUnits + 1)))
}

func (h *Heap) kindsTo(u uint64) *[smallUnits]uint16 {
	// SAFETY: as for row.
	return (*[smallUnits]uint16)(unsafe.Pointer(h.kind(u - smallUnits + 1)))
}

// info returns the record of the large span that starts at granule g, below the
// top.
func (h *Heap) info(g uint64) *spanInfo {
	// SAFETY: four rows are 64 bytes, the size of a spanInfo, and both are
	// made of uint64 alone; they are at most rowsPastTop past the top's.
	return (*spanInfo)(unsafe.Pointer(h.row(g>>granuleBits + 1)))
}

// infoKinds returns the kinds of the units of that record.
func (h *Heap) infoKinds(g uint64) *[4]uint16 {
	// SAFETY: as for info.
	return (*[4]uint16)(unsafe.Pointer(h.kind(g>>granuleBits + 1)))
}

// largeLinks returns the links of the large free span at granule g, below the
// top.
func (h *Heap) largeLinks(g uint64) *links {
	// SAFETY: as for info, whose second row they are.
	return (*links)(unsafe.Pointer(h.row(g>>granuleBits + 2)))
}

// smallLinks returns the links inside the small free span at granule g, below
// the top.
func (h *Heap) smallLinks(g uint64) *links {
	// SAFETY: 16 bytes at a multiple of 16 of memory that no caller owns.
	return (*links)(unsafe.Add(h.base, uintptr(g)<<granuleShift))
}

// at returns the first size bytes of the block at granule g, which has that many.
func (h *Heap) at(g uint64, size int) []byte {
	// SAFETY: the span is below the top and nobody else's.
	return bytesAt(unsafe.Add(h.base, uintptr(g)<<granuleShift), size)
}

// dataRow returns the row of what lies off bytes behind the first byte of data, below the
// top.
func (h *Heap) dataRow(off uintptr) *unit {
	// SAFETY: as for row.
	return (*unit)(unsafe.Add(h.data.units, off>>unitShift*unitRow))
}

// isSoon reports whether a large span that starts in unit u of the data is one whose
// pages go back at once.
func (h *Heap) isSoon(u uintptr) bool {
	u += h.data.unit + 1
	return *h.kind(uint64(u)) == kindLarge && h.row(uint64(u)).bound >= soonLeast
}

// bucket returns bucket i of the quick lists, which is the bin of at most quickMax granules.
func (h *Heap) bucket(i int) *quickBucket {
	// SAFETY: that of quickMax is the last of quickBuckets.
	return (*quickBucket)(unsafe.Add(unsafe.Pointer(&h.quick.bucket), uintptr(i)*unsafe.Sizeof(quickBucket{})))
}
