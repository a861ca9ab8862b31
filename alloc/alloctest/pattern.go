package alloctest

import (
	"encoding/binary"
	"fmt"
)

// Blocks up to wholePattern bytes are filled and compared completely, larger
// ones in their first and last edgePattern bytes.
const (
	wholePattern = 64 << 10
	edgePattern  = 4 << 10
)

// fill writes the block's pattern: words that depend on the block and on where
// they stand, so that a stray copy shows.
func (s *shadow) fill() {
	if len(s.b) <= wholePattern {
		fillFrom(s.b, s.stamp, 0)
		return
	}
	fillFrom(s.b[:edgePattern], s.stamp, 0)
	tail := len(s.b) - edgePattern
	fillFrom(s.b[tail:], s.stamp, tail)
}

// verify compares the block with its pattern.
func (s *shadow) verify(op Op) error {
	bad := -1
	if len(s.b) <= wholePattern {
		bad = firstBad(s.b, s.stamp, 0)
	} else if bad = firstBad(s.b[:edgePattern], s.stamp, 0); bad < 0 {
		tail := len(s.b) - edgePattern
		bad = firstBad(s.b[tail:], s.stamp, tail)
	}
	if bad < 0 {
		return nil
	}
	return &Violation{op, fmt.Sprintf("byte %d of the live block of %d bytes at %#x has changed", bad, len(s.b), addr(s.b))}
}

// word is the pattern of the eight bytes at position at of the block stamp.
func word(stamp uint64, at int) uint64 {
	return (stamp+1)*0x9e3779b97f4a7c15 + uint64(at)
}

func fillFrom(b []byte, stamp uint64, at int) {
	for ; len(b) >= 8; b, at = b[8:], at+8 {
		binary.LittleEndian.PutUint64(b, word(stamp, at))
	}
	for i := range b {
		b[i] = byte(word(stamp, at) >> (8 * i))
	}
}

// firstBad returns the position in the block of the first wrong byte, or -1.
func firstBad(b []byte, stamp uint64, at int) int {
	for ; len(b) >= 8; b, at = b[8:], at+8 {
		if got, want := binary.LittleEndian.Uint64(b), word(stamp, at); got != want {
			for i := range 8 {
				if byte(got>>(8*i)) != byte(want>>(8*i)) {
					return at + i
				}
			}
		}
	}
	for i := range b {
		if b[i] != byte(word(stamp, at)>>(8*i)) {
			return at + i
		}
	}
	return -1
}

func isZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
