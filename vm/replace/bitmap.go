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

// firstFrom returns the first number i ≥ from, and then from 0 on, for which
// word(w) has its bit set, where word(w) gives the bits of numbers 64w and up.
// It looks at each of the n words at most twice, and returns -1 if all are 0.
func firstFrom(from, n int, word func(w int) uint64) int {
	w := from >> 6
	if w >= n {
		w, from = 0, 0
	}
	m := word(w) &^ (1<<(from&63) - 1)
	for range n + 1 {
		if m != 0 {
			return w<<6 + bits.TrailingZeros64(m)
		}
		if w++; w == n {
			w = 0
		}
		m = word(w)
	}
	return -1
}

// firstFrom is the function firstFrom over the numbers of b.
func (b bitmap) firstFrom(from int) int {
	if w := from >> 6; w < len(b) { // mostly it is near
		if m := b[w] >> (from & 63); m != 0 {
			return from + bits.TrailingZeros64(m)
		}
	}
	return firstFrom(from, len(b), func(w int) uint64 { return b[w] })
}
