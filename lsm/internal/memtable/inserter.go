package memtable

import "math/bits"

// An Inserter is one goroutine's way to add entries: it owns a source of random
// numbers for tower heights and remembers where the last entry went, so that
// keys that arrive in order cost O(1). Its zero value is ready for any list.
type Inserter struct {
	list *SkipList // the list the hint belongs to
	prev [maxHeight]uint32
	next [maxHeight]uint32
	rng  uint64
}

// Seed sets the random numbers that tower heights come from. Without it a fixed
// seed is used.
func (in *Inserter) Seed(seed uint64) { in.rng = seed }

// height draws a tower height: h with probability (1-p)·p^(h-1), p the chance of
// another level.
func (in *Inserter) height() int {
	const chance = 1 << 64 / levelDenom * levelNumer // as a fraction of 2^64
	in.rng += 0x9e3779b97f4a7c15                     // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
	z := in.rng
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	h := 1
	for bound := uint64(chance); h < maxHeight && z < bound; h++ {
		bound, _ = bits.Mul64(bound, chance)
	}
	return h
}

// Add inserts an entry. seq must lie in the list's span and kind below 16. key
// and value are copied. The error is ErrFull when the arena has no room, or
// ErrDuplicate; the list is unchanged then. O(log n); O(1) when the key follows
// the one added before.
func (s *SkipList) Add(in *Inserter, key []byte, seq uint64, kind uint8, value []byte) error {
	tag := uint32(seq-s.baseSeq)<<kindBits | uint32(kind)
	if !s.hinted(in, key, tag) {
		s.search(in, key, tag)
	}
	if n := in.next[0]; n != 0 && s.tag(n) == tag && s.compareNode(n, key, tag) == 0 {
		return ErrDuplicate
	}
	if s.stripes != nil && s.overwrite(in.next[0], key, kind, value) {
		return nil
	}
	height := in.height()
	off, err := s.newNode(height, key, tag, value)
	if err != nil {
		return err
	}
	s.grow(in, height)
	for level := range height {
		if !s.splice(in, level, off, key, tag) {
			return ErrDuplicate // lost a race against the same entry; the node is garbage
		}
	}
	s.count.Add(1)
	return nil
}

// hinted reports whether the entry belongs right where the last one went.
func (s *SkipList) hinted(in *Inserter, key []byte, tag uint32) bool {
	if in.list != s {
		return false
	}
	prev := in.prev[0]
	next := s.next(prev, 0)
	if next != in.next[0] {
		return false
	}
	return (prev == s.head || s.compareNode(prev, key, tag) < 0) &&
		(next == 0 || s.compareNode(next, key, tag) >= 0)
}

// search fills in the neighbours of the entry on every level.
func (s *SkipList) search(in *Inserter, key []byte, tag uint32) {
	if in.list != s {
		in.list = s
		for level := range maxHeight {
			in.prev[level], in.next[level] = s.head, 0
		}
	}
	t := newTarget(key, tag)
	prev, bigger := s.head, uint32(0)
	for level := int(s.height.Load()) - 1; level >= 0; level-- {
		prev, bigger = s.advance(&t, prev, level, bigger)
		in.prev[level], in.next[level] = prev, bigger
	}
}

// grow makes the list at least as high as height. The hint's levels above what
// its search saw start at the head.
func (s *SkipList) grow(in *Inserter, height int) {
	for h := s.height.Load(); int(h) < height; h = s.height.Load() {
		if s.height.CompareAndSwap(h, int32(height)) {
			return
		}
	}
}

// splice links node off into a level behind in.prev and moves the hint there. It
// fails only if the same key and tag is found on level 0.
func (s *SkipList) splice(in *Inserter, level int, off uint32, key []byte, tag uint32) bool {
	for {
		prev, next := in.prev[level], in.next[level]
		s.setNext(off, level, next)
		if s.casNext(prev, level, next, off) {
			in.prev[level] = off
			return true
		}
		next = s.next(prev, level) // somebody got in between: walk on from prev
		for next != 0 && s.compareNode(next, key, tag) < 0 {
			prev, next = next, s.next(next, level)
		}
		if level == 0 && next != 0 && s.compareNode(next, key, tag) == 0 {
			in.list = nil
			return false
		}
		in.prev[level], in.next[level] = prev, next
	}
}
