package replace

import "math/bits"

// bitmap is a set of small numbers, 64 to a word.
type bitmap []uint64

// growBits makes room for number i.
func (b *bitmap) growBits(i int) { growTo((*[]uint64)(b), i>>6+1) }

func (b bitmap) set(i int)   { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) clear(i int) { b[i>>6] &^= 1 << (i & 63) }

// put sets or clears number i.
func (b bitmap) put(i int, on bool) {
	if on {
		b.set(i)
	} else {
		b.clear(i)
	}
}

// firstFrom returns the first number i ≥ from, and then from 0 on, that is in b, or
// -1. It looks at each word at most twice.
func (b bitmap) firstFrom(from int) int {
	w := from >> 6
	if w >= len(b) {
		w, from = 0, 0
	}
	if len(b) == 0 {
		return -1
	}
	if m := b[w] >> (from & 63); m != 0 { // mostly it is near
		return from + bits.TrailingZeros64(m)
	}
	for k := w + 1; k < len(b); k++ {
		if m := b[k]; m != 0 {
			return k<<6 + bits.TrailingZeros64(m)
		}
	}
	for k, m := range b[:w+1] {
		if m != 0 {
			return k<<6 + bits.TrailingZeros64(m)
		}
	}
	return -1
}
