package segregated

import "unsafe"

// view gives typed access to a region's memory. Everything in it is an offset
// from base; it keeps no state of its own and is remade when a region is
// opened again at another address.
type view struct {
	mem   []byte  // the whole region
	hdr   *header // at offset 0
	kinds []uint16
	units []unit
}

// newView lays the views over mem, whose first bytes are the header, followed
// by the kinds and then the units, for as many units as mem has.
func newView(mem []byte, pageSize uint64) view {
	n := len(mem) / unitSize
	base := unsafe.Pointer(unsafe.SliceData(mem))
	k, u, _ := metaOffsets(n, pageSize)
	// SAFETY: metaOffsets ends inside mem (checked by the caller), the region
	// starts on a page, and the types hold no pointers.
	return view{
		mem:   mem,
		hdr:   (*header)(base),
		kinds: unsafe.Slice((*uint16)(unsafe.Add(base, k)), n),
		units: unsafe.Slice((*unit)(unsafe.Add(base, u)), n),
	}
}

// block returns the view of size bytes at off.
func (v *view) block(off uint64, size int) []byte {
	if size != 0 {
		return v.mem[off:][:size:size]
	}
	// SAFETY: an address inside the region. The empty view is made from the
	// pointer because slicing to capacity 0 would yield another address.
	return unsafe.Slice(&v.mem[off], 0)
}

// bytesAt is unsafe.Slice without its check that the slice does not wrap around, which
// costs as much as a tenth of Malloc.
func bytesAt(p unsafe.Pointer, n int) []byte {
	// SAFETY: these are the words of a slice; the caller says that n bytes are at p.
	s := struct {
		p        unsafe.Pointer
		len, cap int
	}{p, n, n}
	return *(*[]byte)(unsafe.Pointer(&s))
}

// addrOf returns the base address of b without looking at its bytes.
func addrOf(b []byte) uintptr {
	// SAFETY: the address is compared and never turned back.
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// The overlay has the size of four rows; the header fits its page.
const (
	_ = uint(4*unsafe.Sizeof(unit{}) - unsafe.Sizeof(spanInfo{}))
	_ = uint(unsafe.Sizeof(spanInfo{}) - 4*unsafe.Sizeof(unit{}))
	_ = uint(headerSize - unsafe.Sizeof(header{}))
	_ = uint(unitRow - unsafe.Sizeof(unit{}))
)
