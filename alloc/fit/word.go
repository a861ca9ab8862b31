package fit

import (
	"encoding/binary"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Every word of metadata in a block is 8 bytes, little-endian: 53 bits of value
// and 11 check bits.
//
//	 63        53 52                                                    0
//	├────────────┼───────────────────────────────────────────────────────┤
//	│ check      │ value                                                 │
//	└────────────┴───────────────────────────────────────────────────────┘
//
// The check bits are a linear code over the value, in which every single and
// every double bit flip shows, plus a salt of the word's kind, its place and
// the heap's seed, so that a word copied to another place shows too (in 2047 of
// 2048 cases).
const (
	wordSize  = 8
	valueBits = 53
	checkBits = 11
	checkMask = 1<<checkBits - 1
	valueMask = 1<<valueBits - 1
)

// A wordKind keeps words of one kind from passing for another.
type wordKind uint64

const (
	headerWord wordKind = iota + 1
	footerWord
	nextWord
	prevWord
	tailWord  // a buddy block's requested size
	stateWord // a buddy block's state
)

// fold returns the check bits of value v, unsalted. Bit i of v flips the check
// bits i and i+1+i/11, both modulo 11: the five groups of eleven bits have five
// different distances, so no two value bits flip the same pair.
func fold(v uint64) uint64 {
	a, b := v&checkMask, v>>checkBits&checkMask
	c, d := v>>(2*checkBits)&checkMask, v>>(3*checkBits)&checkMask
	e := v >> (4 * checkBits)
	x := a ^ b ^ c ^ d ^ e
	x ^= a<<1 ^ a>>10 ^ b<<2 ^ b>>9 ^ c<<3 ^ c>>8 ^ d<<4 ^ d>>7 ^ e<<5 ^ e>>6
	return x & checkMask
}

// salt spreads kind, place and seed over the check bits.
func salt(at int, kind wordKind, seed uint64) uint64 {
	return ((uint64(at)<<3 | uint64(kind)) ^ seed) * 0x9e3779b97f4a7c15 >> valueBits
}

// A memory is the bytes of a heap's region with the access to its words.
type memory struct {
	bytes  []byte
	seed   uint64
	access alloc.Sink // nil unless metadata accesses are reported
}

// report tells of an access that is none to a word.
func (m *memory) report(kind alloc.EventKind, off, size int) {
	if m.access != nil && size > 0 {
		m.access(alloc.Event{Kind: kind, Off: arena.Offset(off), Size: size})
	}
}

// copy copies what fits of the n bytes at from to the block that begins at to and
// has room for size.
func (m *memory) copy(to, size, from, n int) {
	n = min(n, size)
	m.report(alloc.EventRead, from, n)
	m.report(alloc.EventWrite, to, n)
	copy(m.bytes[to:][:n], m.bytes[from:])
}

// clear clears [from, end).
func (m *memory) clear(from, end int) {
	m.report(alloc.EventWrite, from, end-from)
	clear(m.bytes[from:end])
}

// get reads the word at offset at and reports whether its check bits are right.
// at must lie in the region; corrupt offsets are refused before they get here.
func (m *memory) get(at int, kind wordKind) (v uint64, ok bool) {
	if m.access != nil {
		m.access(alloc.Event{Kind: alloc.EventRead, Off: arena.Offset(at), Size: wordSize})
	}
	w := binary.LittleEndian.Uint64(m.bytes[at:])
	v = w & valueMask
	return v, w>>valueBits == fold(v)^salt(at, kind, m.seed)
}

// put writes value v, with its check bits, at offset at.
func (m *memory) put(at int, kind wordKind, v uint64) {
	if m.access != nil {
		m.access(alloc.Event{Kind: alloc.EventWrite, Off: arena.Offset(at), Size: wordSize})
	}
	binary.LittleEndian.PutUint64(m.bytes[at:], v|(fold(v)^salt(at, kind, m.seed))<<valueBits)
}
