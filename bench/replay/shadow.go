package replay

// A shadow knows which addresses belong to live blocks: one bit per granule, in
// pieces of 2^17 bits that are made on demand. A granule is 8 bytes where blocks
// are aligned to that, so that no two of them share a bit, else 1 byte.
type shadow struct {
	shift  uint // of the granule
	pieces map[uintptr]*[pieceWords]uint64
	last   *[pieceWords]uint64 // the piece used last
	lastAt uintptr
}

const (
	pieceWords = 1 << 11
	wordsMask  = pieceWords - 1
)

// newShadow makes a shadow for blocks that are aligned to align bytes.
func newShadow(align int) *shadow {
	shift := uint(0)
	if align >= 8 {
		shift = 3
	}
	return &shadow{shift: shift, pieces: make(map[uintptr]*[pieceWords]uint64)}
}

// claim marks [addr, addr+size) as a live block. It returns the first granule's
// address that is another's already, and then marks nothing more.
func (s *shadow) claim(addr uintptr, size int) (clash uintptr, ok bool) {
	return s.each(addr, size, func(w *uint64, mask uint64) bool {
		if *w&mask != 0 {
			return false
		}
		*w |= mask
		return true
	})
}

// release takes the mark away.
func (s *shadow) release(addr uintptr, size int) {
	s.each(addr, size, func(w *uint64, mask uint64) bool {
		*w &^= mask
		return true
	})
}

// each calls f for every word of bits that the block covers, with the bits it
// covers, until f returns false; then it returns the address that word stands
// for. An empty block covers one granule, so that its address is its own.
func (s *shadow) each(addr uintptr, size int, f func(w *uint64, mask uint64) bool) (uintptr, bool) {
	first := addr >> s.shift
	last := (addr + uintptr(max(size, 1)) - 1) >> s.shift
	for g := first; g <= last; {
		bit := g & 63
		n := min(64-bit, last-g+1)
		mask := (^uint64(0) >> (64 - n)) << bit
		if !f(s.word(g>>6), mask) {
			return g << s.shift, false
		}
		g += n
	}
	return 0, true
}

// word returns the i-th word of the whole address space's bits.
func (s *shadow) word(i uintptr) *uint64 {
	at := i / pieceWords
	if s.last == nil || s.lastAt != at {
		p := s.pieces[at]
		if p == nil {
			p = new([pieceWords]uint64)
			s.pieces[at] = p
		}
		s.last, s.lastAt = p, at
	}
	return &s.last[i&wordsMask]
}
