package segregated

import "unsafe"

// view gives typed access to a region's memory. Everything in it is an offset
// from base; it keeps no state of its own and is remade when a region is
// opened again at another address.
type view struct {
	mem   []byte  // the whole region
	hdr   *header // at offset 0
	kinds []uint16
	units []uint64 // the rows
}

// newView lays the views over mem, which has the header and the tables at these offsets; they
// are as long as mem has units.
func newView(mem []byte, t tables) view {
	n := len(mem) / unitSize
	base := unsafe.Pointer(unsafe.SliceData(mem))
	// SAFETY: the tables end inside mem (checked by the caller), the region
	// starts on a page, and the types hold no pointers.
	return view{
		mem:   mem,
		hdr:   (*header)(base),
		kinds: unsafe.Slice((*uint16)(unsafe.Add(base, t.kinds)), n),
		units: unsafe.Slice((*uint64)(unsafe.Add(base, t.units)), n),
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

// The overlay has the size of its rows; the header fits its page.
const (
	_ = uint(infoRows*unitRow - unsafe.Sizeof(spanInfo{}))
	_ = uint(unsafe.Sizeof(spanInfo{}) - infoRows*unitRow)
	_ = uint(headerSize - unsafe.Sizeof(header{}))
)
