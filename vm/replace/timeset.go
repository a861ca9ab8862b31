package replace

import "math/bits"

// A timeSet is a set of times in [0, n): a bitmap, above it a bitmap of its
// words that are not 0, and so on up to one word. Adding, taking out and finding
// the last element cost one step a level, of which there are log64 n: four for a
// trace of 16 million references.
type timeSet [][]uint64

func newTimeSet(n int) timeSet {
	var s timeSet
	for {
		n = (n + 63) / 64
		s = append(s, make([]uint64, max(n, 1)))
		if n <= 1 {
			return s
		}
	}
}

// add puts t into the set.
func (s timeSet) add(t uint32) {
	for _, level := range s {
		w := &level[t>>6]
		old := *w
		*w = old | 1<<(t&63)
		if old != 0 {
			return
		}
		t >>= 6
	}
}

// drop takes t out of the set.
func (s timeSet) drop(t uint32) {
	for _, level := range s {
		w := &level[t>>6]
		*w &^= 1 << (t & 63)
		if *w != 0 {
			return
		}
		t >>= 6
	}
}

// last returns the largest element.
func (s timeSet) last() (t uint32, ok bool) {
	for l := len(s) - 1; l >= 0; l-- {
		w := s[l][t]
		if w == 0 {
			return 0, false
		}
		t = t<<6 | uint32(63-bits.LeadingZeros64(w))
	}
	return t, true
}

// from returns the smallest element that is at least t.
func (s timeSet) from(t uint32) (uint32, bool) {
	for l := 0; l < len(s); l++ {
		i := t >> 6
		if int(i) >= len(s[l]) {
			return 0, false
		}
		if w := s[l][i] &^ (1<<(t&63) - 1); w != 0 {
			t = t&^63 | uint32(bits.TrailingZeros64(w))
			for l--; l >= 0; l-- {
				t = t<<6 | uint32(bits.TrailingZeros64(s[l][t]))
			}
			return t, true
		}
		t = i + 1
	}
	return 0, false
}
