package main

import (
	"math/bits"
	"time"
)

// A hist counts durations in buckets of 1/16 of a power of two, so that a
// percentile is right to 6 %.
type hist struct {
	counts [64 * 16]int64
	n      int64
}

func (h *hist) add(d time.Duration) {
	v := uint64(max(d, 1))
	e := bits.Len64(v) - 1
	frac := uint64(0)
	if e >= 4 {
		frac = (v >> (e - 4)) & 15
	}
	h.counts[e*16+int(frac)]++
	h.n++
}

func (h *hist) merge(o *hist) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
}

// us returns the percentile p, from 0 to 1, in microseconds.
func (h *hist) us(p float64) float64 {
	left := int64(p * float64(h.n))
	for i, c := range h.counts {
		if left -= c; left < 0 {
			e := i / 16
			v := float64(uint64(1) << e)
			if e >= 4 {
				v += float64(i%16) * v / 16
			}
			return v / 1000
		}
	}
	return 0
}
