package replay

import (
	"bytes"
	"math/rand/v2"
)

// patterns are the bytes that Verify fills blocks with. A block's pattern is a
// window into random bytes, chosen by the block's generation, so that filling
// and checking run at the speed of copy and compare, and a block that holds
// another's bytes, or its own at another place, is noticed.
type patterns [2 * patternSize]byte

const patternSize = 1 << 16

func newPatterns() *patterns {
	p := new(patterns)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// window returns the patternSize bytes that generation gen repeats.
func (p *patterns) window(gen uint64) []byte {
	off := gen * 0x9e3779b97f4a7c15 >> 48
	return p[off:][:patternSize]
}

// fill writes the pattern of gen over b.
func (p *patterns) fill(b []byte, gen uint64) {
	w := p.window(gen)
	for len(b) > 0 {
		b = b[copy(b, w):]
	}
}

// differs returns the index of the first byte of b that is not of the pattern
// of gen, or -1.
func (p *patterns) differs(b []byte, gen uint64) int {
	w := p.window(gen)
	for at := 0; at < len(b); at += patternSize {
		part := b[at:min(at+patternSize, len(b))]
		if bytes.Equal(part, w[:len(part)]) {
			continue
		}
		for i := range part {
			if part[i] != w[i] {
				return at + i
			}
		}
	}
	return -1
}

// notZero returns the index of the first byte of b that is not 0, or -1.
func (p *patterns) notZero(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return -1
}
