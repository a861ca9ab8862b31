package memtable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	// A node has another level with the chance numer/denom = 3/8. A search walks
	// about (1-p)/p nodes on each of log(n)/log(1/p) levels, and the memory of each
	// is waited for: 22 nodes of 500,000 with 3/8, 28 with the 1/4 of LevelDB, whose
	// towers are 1 byte shorter.
	levelNumer, levelDenom = 3, 8

	// maxHeight bounds the tower of a node: (8/3)^18 is 46 million entries, more
	// than fit in 4 GiB with values of any use.
	maxHeight = 18
	linkSize  = 4
	tagSize   = 4

	kindBits = 4
	kindMask = 1<<kindBits - 1
	// MaxSpan is how many sequence numbers a list can tell apart, from its base on.
	MaxSpan = 1 << (32 - kindBits)

	// MaxOverhead bounds what an entry takes beyond its key and its value.
	MaxOverhead = maxHeight*linkSize + tagSize + 2*binary.MaxVarintLen32 + inPlaceHeader + nodeAlign - 1
)

// ErrDuplicate says that an entry with the same key and sequence number exists.
var ErrDuplicate = errors.New("memtable: duplicate key and sequence number")

// A Compare orders keys: negative, zero or positive as a is before, equal to or
// after b.
type Compare func(a, b []byte) int

// A SkipList is a sorted list of entries (key, sequence number, kind, value) in
// an arena, ordered by key and then from the newest to the oldest. The laws:
//
//	each level is strictly sorted, and a sublist of the level below it
//	every entry is on level 0
//	a link is 0 (the end) or the offset of a node in the arena
//
// It is safe for concurrent use, by readers and by inserters with an [Inserter] each.
type SkipList struct {
	base    pointer // of arena.mem
	arena   *Arena
	cmp     Compare // nil: bytes.Compare, called directly
	baseSeq uint64
	head    uint32
	height  atomic.Int32  // levels in use
	count   atomic.Int64  // entries
	stripes *[]sync.Mutex // of the values, when they may be overwritten; else nil
	kept    uint64        // entries up to this sequence number are not overwritten
}

// NewSkipList makes an empty list in a. Its entries' sequence numbers must lie in
// [baseSeq, baseSeq+MaxSpan). A nil cmp orders keys by their bytes. The error is
// ErrFull when a has no room for the head of the list.
func NewSkipList(a *Arena, cmp Compare, baseSeq uint64) (*SkipList, error) {
	off, err := a.alloc(maxHeight*linkSize + nodeAlign)
	if err != nil {
		return nil, err
	}
	s := &SkipList{base: basePointer(a.mem), arena: a, cmp: cmp, baseSeq: baseSeq}
	s.head = off + maxHeight*linkSize
	for level := range maxHeight {
		s.setNext(s.head, level, 0)
	}
	s.height.Store(1)
	return s, nil
}

// Len returns the number of entries.
func (s *SkipList) Len() int { return int(s.count.Load()) }

// Arena returns the arena that holds the entries.
func (s *SkipList) Arena() *Arena { return s.arena }

// EntrySize returns an upper bound of the bytes an entry takes in the arena.
func EntrySize(keyLen, valueLen int) int { return keyLen + valueLen + MaxOverhead }

// compareNode orders the node off against a key and tag: larger tags are newer
// and come first.
func (s *SkipList) compareNode(off uint32, key []byte, tag uint32) int {
	var c int
	if s.cmp == nil {
		c = bytes.Compare(s.key(off), key)
	} else {
		c = s.cmp(s.key(off), key)
	}
	if c != 0 {
		return c
	}
	switch t := s.tag(off); {
	case t > tag:
		return -1
	case t < tag:
		return 1
	}
	return 0
}

// searchTag returns the tag that sorts before every entry of its key that is
// visible at seq, and whether any entry of this list can be visible.
func (s *SkipList) searchTag(seq uint64) (uint32, bool) {
	switch {
	case seq < s.baseSeq:
		return 0, false
	case seq-s.baseSeq >= MaxSpan:
		return 1<<32 - 1, true
	}
	return uint32(seq-s.baseSeq)<<kindBits | kindMask, true
}

// findLess returns the last node before (key, tag), or the head, and the node
// after it. O(log n).
func (s *SkipList) findLess(key []byte, tag uint32) (prev, next uint32) {
	t := newTarget(key, tag)
	prev = s.head
	for level := int(s.height.Load()) - 1; level >= 0; level-- {
		prev, next = s.advance(&t, prev, level, next)
	}
	return prev, next
}

// Get finds the newest entry of key that is visible at seq and returns its value
// (a view of the arena), kind and sequence number. O(log n).
func (s *SkipList) Get(key []byte, seq uint64) (value []byte, kind uint8, at uint64, ok bool) {
	tag, any := s.searchTag(seq)
	if !any || s.count.Load() == 0 {
		return nil, 0, 0, false
	}
	_, off := s.findLess(key, tag)
	if off == 0 || !s.equal(s.key(off), key) {
		return nil, 0, 0, false
	}
	t := s.tag(off)
	return s.value(off), uint8(t & kindMask), s.baseSeq + uint64(t>>kindBits), true
}

func (s *SkipList) equal(a, b []byte) bool {
	if s.cmp == nil {
		return bytes.Equal(a, b)
	}
	return s.cmp(a, b) == 0
}

// value returns the value of node off, a view of the arena. Where values may be
// overwritten it is a copy.
func (s *SkipList) value(off uint32) []byte {
	p := off + tagSize
	klen, n := s.uvarint(p)
	vlen, m := s.uvarint(p + n)
	start := int(p) + int(n) + int(m) + int(klen)
	if s.stripes != nil {
		return s.copyInPlace(off, start)
	}
	return s.arena.mem[start : start+int(vlen) : start+int(vlen)]
}

// uvarint decodes a varint of at most 32 bits at off and returns its length.
func (s *SkipList) uvarint(off uint32) (v, n uint32) {
	b := s.arena.mem[off:]
	for shift := 0; ; shift += 7 {
		c := b[n]
		n++
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, n
		}
	}
}

func uvarintLen(v int) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// newNode writes an entry into fresh memory: room for a tower, then tag, lengths,
// key and value.
func (s *SkipList) newNode(height int, key []byte, tag uint32, value []byte) (uint32, error) {
	if uint64(len(key)) > uint64(len(s.arena.mem)) || uint64(len(value)) > uint64(len(s.arena.mem)) {
		return 0, ErrFull
	}
	vlen := len(value)
	if s.stripes != nil {
		vlen += inPlaceHeader
	}
	size := height*linkSize + tagSize + uvarintLen(len(key)) + uvarintLen(vlen) + len(key) + vlen
	start, err := s.arena.alloc((size + nodeAlign - 1) &^ (nodeAlign - 1))
	if err != nil {
		return 0, err
	}
	off := start + uint32(height*linkSize)
	s.setTag(off, tag)
	b := s.arena.mem[off+tagSize : int(start)+size]
	n := binary.PutUvarint(b, uint64(len(key)))
	n += binary.PutUvarint(b[n:], uint64(vlen))
	n += copy(b[n:], key)
	if s.stripes != nil {
		binary.NativeEndian.PutUint32(b[n:], uint32(len(value)))
		n += inPlaceHeader
	}
	copy(b[n:], value)
	return off, nil
}
