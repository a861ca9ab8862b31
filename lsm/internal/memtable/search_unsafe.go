package memtable

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// wordLen is the length of the pieces in which keys are compared first.
const wordLen = 8

// A target is a place in the order of entries that a search looks for: in front
// of all that are not before (key, tag).
type target struct {
	key    []byte
	tag    uint32
	w0, w1 uint64 // the first bytes of key as big-endian numbers, as if zeros followed it
}

func newTarget(key []byte, tag uint32) target {
	t := target{key: key, tag: tag}
	switch {
	case len(key) >= 2*wordLen:
		t.w0, t.w1 = binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[wordLen:])
	case len(key) >= wordLen:
		t.w0, t.w1 = binary.BigEndian.Uint64(key), shortWord(key[wordLen:])
	default:
		t.w0 = shortWord(key)
	}
	return t
}

// shortWord is the big-endian number of fewer than eight bytes with zeros behind.
func shortWord(b []byte) (w uint64) {
	for i, c := range b {
		w |= uint64(c) << (8*(wordLen-1) - 8*i)
	}
	return w
}

// advance walks a level from prev, which is before t, and returns the last node
// before t and the first one that is not. bigger is a node known not to be before
// t, or 0.
//
// Most of what a search costs is waiting for memory. So before a node is compared,
// the one that will be compared next if the search goes down a level from prev is
// touched: the two miss the cache at the same time instead of one after the other.
// And keys in bytewise order are compared by words of eight bytes, which settles
// nearly all comparisons without a call.
func (s *SkipList) advance(t *target, prev uint32, level int, bigger uint32) (last, next uint32) {
	next = s.next(prev, level)
	for next != 0 && next != bigger {
		if level > 0 {
			s.touch(s.next(prev, level-1))
		}
		if !s.before(next, t) {
			break
		}
		prev, next = next, s.next(next, level)
	}
	return prev, next
}

// touch reads the tag of node off. An atomic load is one that the compiler keeps
// although nobody looks at the result.
func (s *SkipList) touch(off uint32) {
	// SAFETY: off is a node of the list, or 0, where the arena has unused bytes.
	atomic.LoadUint32((*uint32)(unsafe.Add(s.base, uintptr(off))))
}

// before reports whether node off is before t.
func (s *SkipList) before(off uint32, t *target) bool {
	if s.cmp == nil {
		// SAFETY: off is a node of the list: its lengths lie behind its tag, and
		// behind them, if each takes one byte, the key. The words read lie inside a
		// key of that length.
		p := unsafe.Add(s.base, uintptr(off)+tagSize)
		lens := *(*[2]byte)(p)
		if lens[0]|lens[1] < 0x80 && lens[0] >= wordLen {
			if w := binary.BigEndian.Uint64((*[wordLen]byte)(unsafe.Add(p, 2))[:]); w != t.w0 {
				return w < t.w0
			}
			if lens[0] >= 2*wordLen {
				if w := binary.BigEndian.Uint64((*[wordLen]byte)(unsafe.Add(p, 2+wordLen))[:]); w != t.w1 {
					return w < t.w1
				}
			}
		}
	}
	return s.compareNode(off, t.key, t.tag) < 0
}
