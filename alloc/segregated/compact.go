package segregated

import (
	"errors"

	"github.com/memlab-go/memlab/alloc"
)

// Blocks of sizes that a program no longer asks for end up few on a page, and
// what is free between them fits nothing. No choice of places prevents that, but
// a few moves mend it: to empty a page costs what is still used of it, so the
// pages of which least is used come first, and each gives a whole one.
//
// One call of Compact:
//
//  1. It surveys a window of the heap: how many granules are used of each page
//     (compact_survey.go), and which runs have how many live slots. The next call
//     goes on where this one ends.
//  2. From two ends, the runs of each class: slots of the emptiest one go to the
//     fullest that has room, until the two meet (compact_run.go).
//  3. From two ends, the pages: the blocks of the emptiest one go into holes of the
//     fullest ones, best fit first (compact_place.go).
//
// A block moves only if it comes to have clearly more company: with u for what is
// used of a page, the sum of all u² grows by more than 1/8 of what the block adds to
// it where it is. So nothing moves back and forth, and each move makes full pages
// fuller and empty ones emptier.
//
// Nothing moves at all while little is wasted, as most blocks that die soon had better
// die where they are: then a page empties itself.
const (
	compactWindow = 4 << 20                 // bytes of a window at least
	compactView   = 256                     // bytes of a window for each byte of the budget
	compactBlock  = 8 << 10 >> granuleShift // granules, the largest block that moves
	compactWaste  = 10                      // nothing moves if what is wasted is less than such a part of what is used
	compactLevels = 8                       // pages and runs are emptied in the order of how many eighths are used; not the last one
	compactMargin = 8                       // see above
	compactIdle   = 16                      // runs of idle classes become spans if one slot in so many is free
	compactMisses = 64                      // blocks without a place after which it is over, and one for every four pages
)

// errNoMove says that Compact was called without a function.
var errNoMove = errors.New("segregated: compact: move is nil")

// compactor is one call of Compact, and what is kept for the next one.
type compactor struct {
	*Heap
	mover  func(from, to []byte) bool
	asking bool // mover is running
	budget int
	moved  int
	misses int // blocks without a place

	cursor uint64             // page where the next window begins
	taken  [maxClasses]uint32 // classTrace.now at the last call

	pageWindow
	runWindow
	holeIndex
	found []piece // scratch: blocks of a page
}

// Compact moves blocks from pages and runs of which little is used to fuller ones,
// so that what they leave can serve larger blocks, or goes back to the system as
// any free page does, or at once by [Heap.Trim]. It ends when at least budget bytes
// have been moved, or little is left to gain in the part of the heap that it looks at:
// 256 bytes for each byte of the budget and at least 4 MiB, at each call those that
// follow. It moves nothing there while what is free on pages in use, and in runs, is less
// than a tenth of what is used. It returns how many bytes it has moved.
//
// For each block Compact calls move with the block and the place found for it,
// where its bytes are already; both are as long as [Heap.Usable] says. If move
// returns true, it has replaced every reference to from by one to to, and from is
// freed when move has returned: a reference that it forgot is a stale one. If it
// returns false, or panics, the block stays where it is. (A cache writes its key
// or an index into each block, and finds by that in move what refers to the block.)
//
// Inside move the heap does not change: Malloc returns [alloc.ErrBusy] and Free
// panics with it; [Heap.Offset] and [Heap.At] work. What does not move are blocks of
// up to 8 bytes in runs of their own, of more than 8 KiB, those with guard pages, and the root. A block keeps its alignment,
// up to the largest that the heap was ever asked for. To the event sink a move is a
// Realloc, to Stats a Malloc and a Free. The modes Checked and Guarded find references
// that move forgot: blocks move there however little is wasted, and the old places are
// held back, so that less is saved, and later. In a heap in a file both places are live
// blocks while move runs, and one is lost if the process ends then.
//
// A budget of 0 or less moves nothing. Errors: [alloc.ErrClosed], [alloc.ErrBusy],
// [alloc.ErrCorrupt]; one for a nil move;
// in the modes beyond Fast also the fault of a freed block that was written to.
// O(budget): some 5 ns for each KiB that is looked at, and 1 to 2 µs for each block that
// is moved, beside what move takes. So call it now and then, after each few hundred KiB of
// allocation for instance, and with a multiple of that as the budget if a call may take so
// long: blocks that it leaves for the next one cost pages until then. A few bytes for each
// page that is looked at are kept on the Go heap.
func (h *Heap) Compact(budget int, move func(from, to []byte) bool) (moved int, err error) {
	switch {
	case h.refused():
		return 0, h.refusal("compact")
	case move == nil:
		return 0, errNoMove
	case budget <= 0:
		return 0, nil
	}
	if h.compacting == nil {
		h.compacting = &compactor{Heap: h}
	}
	c := h.compacting
	c.mover, c.asking = move, false
	c.budget, c.moved, c.misses = budget, 0, 0
	h.walking++
	h.arm()
	defer func() {
		c.mover = nil
		h.walking--
		h.arm()
		moved = c.moved
		if c.asking {
			return // a panic of move's own goes on
		}
		switch r := recover().(type) {
		case nil:
		case *alloc.Fault: // of a block that was written to after it was freed
			err = r
		default:
			err = h.caught(r)
		}
	}()
	c.compact()
	if h.err != nil {
		return c.moved, h.err
	}
	return c.moved, nil
}

// compact is Compact for a heap that takes no other calls meanwhile.
func (c *compactor) compact() {
	c.flushQuick()
	c.dropReserve()
	c.surveyWindow()
	if c.err == nil && c.wasteful() {
		c.sortPages()
		c.sortRuns()
		for level := 1; level < compactLevels && !c.done(); level++ {
			c.mergeRuns(level)
			c.emptyPages(level)
		}
	}
	for ci := range c.taken {
		c.taken[ci] = c.dissolving.traces[ci].now
	}
}

// done reports whether the call is over.
func (c *compactor) done() bool {
	return c.moved >= c.budget || c.misses >= compactMisses+len(c.order)/4 || c.err != nil
}

// spot is the place of a block: a span, or a slot of a run.
type spot struct {
	off, size uint64 // bytes
	run       uint64 // unit of the run; 0: a span
	slot      uint64
}

// shift moves the block at from to the place to, which is marked as used, if the
// mover takes it, and reports whether it has. The place that is left is freed.
func (c *compactor) shift(from, to spot) bool {
	if c.chk != nil {
		return c.shiftChecked(from, to)
	}
	dead := to // if the mover does not want it, or panics
	defer func() { c.leave(dead) }()
	c.copy(to.off, from.off, int(from.size))
	if !c.ask(from.off, to.off, int(from.size)) {
		return false
	}
	dead = from
	c.trace.moved(from.off, to.off)
	if c.sink != nil {
		c.emitRealloc(from.off, to.off, int(from.size))
	}
	return true
}

// ask calls the mover for a block of size bytes, whose contents are at both places.
func (c *compactor) ask(from, to uint64, size int) bool {
	old, fresh := c.block(from, size), c.block(to, size)
	c.asking = true
	ok := c.mover(old, fresh)
	c.asking = false
	if ok {
		c.moved += size
	}
	return ok
}

// leave frees a place.
func (c *compactor) leave(s spot) {
	if c.err != nil {
		return
	}
	c.frees++
	if c.zeroOnFree {
		c.clear(s.off, s.off+s.size)
	}
	if s.run != 0 {
		c.leaveSlot(s)
		return
	}
	g, n := s.off>>granuleShift, s.size>>granuleShift
	c.demands(n, -1)
	c.freeSpan(g, n)
	c.count(g, n, -1)
}

// noteAlign remembers that a block is to be aligned.
func (h *Heap) noteAlign(align int) {
	if align > 0 && align&(align-1) == 0 && align <= len(h.mem) {
		h.maxAlign = max(h.maxAlign, align)
	}
}

// alignOf returns what the address of the block at off is to stay a multiple of,
// as the heap does not know what was asked for it.
func (c *compactor) alignOf(off uint64) grid {
	a := grid{align: 1}
	if c.maxAlign <= granule {
		return a
	}
	a.bias = c.baseGranule()
	if c.chk != nil {
		a.bias += recordSize / granule
	}
	g := off>>granuleShift + a.bias
	a.align = min(g&-g, uint64(c.maxAlign)>>granuleShift)
	a.bias &= a.align - 1
	return a
}
