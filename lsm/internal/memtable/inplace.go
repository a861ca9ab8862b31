package memtable

import (
	"encoding/binary"
	"sync"
)

// inPlaceHeader is the current length of a value that may be overwritten: 4
// bytes in front of it. The varint vlen counts the header and the room.
const inPlaceHeader = 4

// numStripes is how many locks guard the values of a list with in-place update.
const numStripes = 64

// EnableInPlace makes Add overwrite the value of an existing entry when the new
// one fits into its room, both are of the same kind, and the key is the same. The
// entry keeps its old sequence number, so a list in this mode has no snapshots, and
// its entries are to be added one by one, in the order of their numbers. Values are
// copied on reading, under a lock. Call it while the list is empty.
func (s *SkipList) EnableInPlace() {
	stripes := make([]sync.Mutex, numStripes)
	s.stripes = &stripes
}

// KeepUpTo ends the overwriting of entries up to seq: one that is hidden by what
// happened at seq must not get a value that is newer. To be called by who adds.
func (s *SkipList) KeepUpTo(seq uint64) {
	if s.stripes != nil {
		s.kept = seq
	}
}

func (s *SkipList) stripe(off uint32) *sync.Mutex {
	return &(*s.stripes)[off/nodeAlign%numStripes]
}

// overwrite puts value into the newest entry of key, node off, if it fits.
func (s *SkipList) overwrite(off uint32, key []byte, kind uint8, value []byte) bool {
	if off == 0 || uint8(s.tag(off)&kindMask) != kind || !s.equal(s.key(off), key) {
		return false
	}
	if s.baseSeq+uint64(s.tag(off)>>kindBits) <= s.kept {
		return false
	}
	p := off + tagSize
	klen, n := s.uvarint(p)
	vlen, m := s.uvarint(p + n)
	if len(value)+inPlaceHeader > int(vlen) {
		return false
	}
	b := s.arena.mem[p+n+m+klen:]
	mu := s.stripe(off)
	mu.Lock()
	defer mu.Unlock()
	binary.NativeEndian.PutUint32(b, uint32(len(value)))
	copy(b[inPlaceHeader:], value)
	return true
}

// copyInPlace returns a copy of the value whose header is at start.
func (s *SkipList) copyInPlace(off uint32, start int) []byte {
	mu := s.stripe(off)
	mu.Lock()
	defer mu.Unlock()
	b := s.arena.mem[start:]
	n := int(binary.NativeEndian.Uint32(b))
	return append([]byte(nil), b[inPlaceHeader:inPlaceHeader+n]...)
}
