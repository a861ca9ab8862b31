package memtable

// An Iter is a cursor on a list. It sees entries that are added while it stands
// still or moves. Not safe for concurrent use; any number may exist at once.
// Its zero value is of no list; use [SkipList.Iter].
type Iter struct {
	list *SkipList
	off  uint32 // node, 0 when the cursor is off the list
}

// Iter returns a cursor that stands nowhere.
func (s *SkipList) Iter() Iter { return Iter{list: s} }

// Valid reports whether the cursor stands on an entry.
func (it *Iter) Valid() bool { return it.off != 0 }

// First moves to the first entry and reports whether there is one.
func (it *Iter) First() bool {
	it.off = it.list.next(it.list.head, 0)
	return it.off != 0
}

// Last moves to the last entry and reports whether there is one. O(log n).
func (it *Iter) Last() bool {
	s := it.list
	off := s.head
	for level := int(s.height.Load()) - 1; level >= 0; level-- {
		for next := s.next(off, level); next != 0; next = s.next(off, level) {
			off = next
		}
	}
	return it.stand(off)
}

// SeekGE moves to the first entry that is not before (key, seq, kind), where
// newer entries of a key come first. O(log n).
func (it *Iter) SeekGE(key []byte, seq uint64, kind uint8) bool {
	_, it.off = it.list.findLess(key, it.list.clampTag(seq, kind))
	if seq < it.list.baseSeq {
		it.skipKey(key)
	}
	return it.off != 0
}

// skipKey moves past all entries of key: their sequence numbers are too new.
func (it *Iter) skipKey(key []byte) {
	for it.off != 0 && it.list.equal(it.list.key(it.off), key) {
		it.off = it.list.next(it.off, 0)
	}
}

// SeekLT moves to the last entry before (key, seq, kind). O(log n).
func (it *Iter) SeekLT(key []byte, seq uint64, kind uint8) bool {
	s := it.list
	if seq < s.baseSeq { // all entries of key are newer, thus before
		it.SeekGE(key, seq, kind)
		if it.off == 0 {
			return it.Last()
		}
		return it.Prev()
	}
	prev, _ := s.findLess(key, s.clampTag(seq, kind))
	return it.stand(prev)
}

// Next moves to the following entry.
func (it *Iter) Next() bool {
	it.off = it.list.next(it.off, 0)
	return it.off != 0
}

// Prev moves to the preceding entry. O(log n): links go forward only.
func (it *Iter) Prev() bool {
	prev, _ := it.list.findLess(it.list.key(it.off), it.list.tag(it.off))
	return it.stand(prev)
}

// Key returns the entry's key, a view of the arena.
func (it *Iter) Key() []byte { return it.list.key(it.off) }

// Seq returns the entry's sequence number.
func (it *Iter) Seq() uint64 {
	return it.list.baseSeq + uint64(it.list.tag(it.off)>>kindBits)
}

// Kind returns the entry's kind.
func (it *Iter) Kind() uint8 { return uint8(it.list.tag(it.off) & kindMask) }

// Value returns the entry's value, a view of the arena, or a copy where values
// may be overwritten.
func (it *Iter) Value() []byte { return it.list.value(it.off) }

func (it *Iter) stand(off uint32) bool {
	if off == it.list.head {
		off = 0
	}
	it.off = off
	return off != 0
}

// clampTag is the tag of (seq, kind), cut to what the list can hold.
func (s *SkipList) clampTag(seq uint64, kind uint8) uint32 {
	switch {
	case seq < s.baseSeq:
		return 0
	case seq-s.baseSeq >= MaxSpan:
		return 1<<32 - 1
	}
	return uint32(seq-s.baseSeq)<<kindBits | uint32(min(kind, kindMask))
}
