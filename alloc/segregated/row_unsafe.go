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
