package fit

import "github.com/memlab-go/memlab/alloc"

// A listIndex is an explicit list of the free blocks: doubly linked through
// their payloads, in the order of Options.Order. A link is the distance of a
// block from the heap's start in units, plus 1; 0 ends the list.
type listIndex struct {
	h          *Heap
	head, tail int // blocks, 0 if none
	rover      int // Next: where the next search begins, 0 for the head
}

// next returns the block after off on its list, or 0.
func (h *Heap) next(off int) int { return h.link(off+h.o.Header, nextWord) }

// prev returns the block before off on its list, or 0.
func (h *Heap) prev(off int) int { return h.link(off+h.o.Header+wordSize, prevWord) }

func (h *Heap) setNext(off, to int) { h.setLink(off+h.o.Header, nextWord, to) }
func (h *Heap) setPrev(off, to int) { h.setLink(off+h.o.Header+wordSize, prevWord, to) }

// link reads the link at offset at and finds the heap corrupt unless it is 0 or
// leads to a free block.
func (h *Heap) link(at int, kind wordKind) int {
	v, ok := h.mem.get(at, kind)
	if !ok {
		h.corrupt("read", at, "the link's check bits are wrong")
	}
	if v == 0 {
		return 0
	}
	to := (v - 1) * sizeUnit
	if to >= uint64(h.end-h.start) || to%uint64(h.o.Align) != 0 {
		h.corrupt("read", at, "the link leads out of the heap")
	}
	return h.start + int(to)
}

func (h *Heap) setLink(at int, kind wordKind, to int) {
	v := uint64(0)
	if to != 0 {
		v = uint64(to-h.start)/sizeUnit + 1
	}
	h.mem.put(at, kind, v)
}

// freeSize returns the size of the block off, which must be free since it is on
// a list.
func (h *Heap) freeSize(off int) int {
	t := h.tagAt(off)
	if t.used {
		h.corrupt("search", off, "a used block is on the free list")
	}
	return t.size
}

// insert puts the block where the order wants it.
func (l *listIndex) insert(off, size int) {
	switch l.h.o.Order {
	case Front:
		l.insertAfter(0, off)
	case Back:
		l.insertAfter(l.tail, off)
	default:
		l.insertAfter(l.place(off, size), off)
	}
}

// place returns the block after which a sorted list wants the block, 0 for the
// front.
func (l *listIndex) place(off, size int) int {
	after := 0
	for at, n := l.head, 0; at != 0; at, n = l.h.next(at), n+1 {
		if l.follows(at, off, size) {
			break
		}
		if n > l.h.freeBlocks {
			l.h.corrupt("insert", at, "the free list has a cycle")
		}
		after = at
	}
	return after
}

// follows reports whether block at belongs after the new block. Among equal
// sizes the newest is last.
func (l *listIndex) follows(at, off, size int) bool {
	switch l.h.o.Order {
	case SizeAscending:
		return l.h.freeSize(at) > size
	case SizeDescending:
		return l.h.freeSize(at) < size
	case Address:
		return at > off
	default:
		return false
	}
}

// insertAfter links the block behind after, 0 for the front.
func (l *listIndex) insertAfter(after, off int) {
	next := l.head
	if after != 0 {
		next = l.h.next(after)
	}
	l.join(after, off)
	l.join(off, next)
}

// join makes a and b neighbours on the list; 0 stands for its ends.
func (l *listIndex) join(a, b int) {
	if a == 0 {
		l.head = b
	} else {
		l.h.setNext(a, b)
	}
	if b == 0 {
		l.tail = a
	} else {
		l.h.setPrev(b, a)
	}
}

// neighbours returns the blocks before and after off and finds the heap corrupt
// unless they link back.
func (l *listIndex) neighbours(off int) (prev, next int) {
	prev, next = l.h.prev(off), l.h.next(off)
	if prev == 0 && l.head != off || prev != 0 && l.h.next(prev) != off ||
		next == 0 && l.tail != off || next != 0 && l.h.prev(next) != off {
		l.h.corrupt("unlink", off, "the free list's links do not agree")
	}
	return prev, next
}

// remove unlinks the block.
func (l *listIndex) remove(off, _ int) {
	prev, next := l.neighbours(off)
	l.join(prev, next)
	if l.rover == off {
		l.rover = next
	}
}

// replace puts the rest of a split where its block was; lists that are sorted by
// size are sorted anew.
func (l *listIndex) replace(old, oldSize, off, size int) {
	if l.h.o.Order == SizeAscending || l.h.o.Order == SizeDescending {
		rover := l.rover
		l.remove(old, oldSize)
		l.insert(off, size)
		if rover == old {
			l.rover = off
		}
		return
	}
	prev, next := l.neighbours(old)
	l.join(prev, off)
	l.join(off, next)
	if l.rover == old {
		l.rover = off
	}
}

// find searches by the policy. It counts the blocks it looks at.
func (l *listIndex) find(need int) int {
	h := l.h
	h.lastSearched = 0
	var found int
	switch h.o.Policy {
	case Next:
		if found = l.scan(l.rover, 0, need, First); found == 0 && l.rover != 0 {
			found = l.scan(l.head, l.rover, need, First)
		}
		if found != 0 {
			l.rover = found
		}
	default:
		found = l.scan(l.head, 0, need, h.o.Policy)
	}
	h.searched += uint64(h.lastSearched)
	return found
}

// scan looks at the blocks from from up to until (not included) and returns the
// one that policy wants, or 0. from == 0 stands for the head.
func (l *listIndex) scan(from, until, need int, policy Policy) (found int) {
	h := l.h
	if from == 0 {
		from = l.head
	}
	foundSize := 0
	for at := from; at != 0 && at != until; at = h.next(at) {
		if h.lastSearched > h.freeBlocks {
			h.corrupt("search", at, "the free list has a cycle")
		}
		h.lastSearched++
		size := h.freeSize(at)
		if size < need {
			continue
		}
		if policy == First {
			return at
		}
		if found == 0 || policy == Best && size < foundSize || policy == Worst && size > foundSize {
			found, foundSize = at, size
		}
	}
	return found
}

func (l *listIndex) joined(off, size int) {}

// reset empties the list.
func (l *listIndex) reset() { l.head, l.tail, l.rover = 0, 0, 0 }

// check proves law L4.
func (l *listIndex) check(free map[int]int, report reportFunc) {
	seen := map[int]bool{}
	prev := 0
	for at := l.head; at != 0; {
		size, isFree := free[at]
		switch {
		case seen[at]:
			report("L4: the free list comes back to block %#x", at)
			return
		case !isFree:
			report("L4: the free list leads to %#x, where no free block is", at)
			return
		case prev != 0 && l.follows(prev, at, size):
			report("L4: block %#x comes before block %#x on a list ordered by %v", prev, at, l.h.o.Order)
		}
		seen[at] = true
		back, wrongBack := l.h.tryLink(at+l.h.o.Header+wordSize, prevWord)
		next, wrongNext := l.h.tryLink(at+l.h.o.Header, nextWord)
		if wrongBack || wrongNext {
			report("L4: a link of block %#x has wrong check bits or leads out of the heap", at)
			return
		}
		if back != prev {
			report("L4: block %#x links back to %#x, not to %#x", at, back, prev)
		}
		prev, at = at, next
	}
	if l.tail != prev {
		report("L4: the free list ends at %#x, its tail is %#x", prev, l.tail)
	}
	if l.rover != 0 && !seen[l.rover] {
		report("L4: the next search would begin at %#x, which is not on the list", l.rover)
	}
	for off := range free {
		if !seen[off] {
			report("L4: free block %#x is not on the free list", off)
		}
	}
}

// tryLink is link without the panic.
func (h *Heap) tryLink(at int, kind wordKind) (to int, wrong bool) {
	err := alloc.Try(func() {
		bad := h.bad
		defer func() { h.bad = bad }()
		to = h.link(at, kind)
	})
	return to, err != nil
}

// FreeList returns the free blocks as the heap's list has them. As in Blocks,
// Off is where the payload would begin, and Size counts the tag too. For an
// implicit list and for TLSF the order is by address. It is for pictures and
// lessons. O(free blocks).
func (h *Heap) FreeList() []alloc.Block {
	var blocks []alloc.Block
	if l, ok := h.index.(*listIndex); ok {
		for at := l.head; at != 0 && len(blocks) < h.freeBlocks; at = h.next(at) {
			blocks = append(blocks, h.freeBlock(at))
		}
		return blocks
	}
	for off := h.start; off < h.end; {
		t := h.tagAt(off)
		if !t.used {
			blocks = append(blocks, h.freeBlock(off))
		}
		off += t.size
	}
	return blocks
}
