package segregated

// What follows from a free depends on the block: whether it is a span, whether its run was
// full, whether that is empty now. When blocks come in no order a processor guesses that
// wrong for one in six, and each time loses as much as a whole free takes. So after many
// frees without a Malloc, in no order, Free puts it off: it checks the block and clears its
// bit, in the same way for slots and spans, writes a note of the block, and counts the note
// only if something follows. What the notes say is done (settle) when there is no more room
// for them, before a block is allocated that is not at hand in a current run, and before
// anybody needs the lists of partial runs or the free spans. A run that was full and is
// empty by then never was on a list.
//
// Until then the rows say what they always do: a slot is live if its bit is set, and a noted
// span is marked as one in a quick list is, and counts among the live ones of its class. So
// a bad block is found as ever, and a heap in a file is a readable one. While there are
// notes no run becomes current and no other ceases to be.

// notes are those of the frees in a row, in their order. Each is the offset of the block
// from the first byte of data, a multiple of a granule, with isSpan if it is a span, and with
// wasFull if it is a slot and its run was full. A slot's note without wasFull says that its
// run has become empty.
type notes struct {
	n       uint64   // how many there are; fewer than end while Free takes notes
	end     uint64   // when there are so many Free calls settleFree; 0: it takes none
	table   []uint64 // at least end, and maxNotes at most; nil before the first row
	mallocs uint64   // h.mallocs when lookForRow was called last
	frees   uint64   // h.frees when the row began, or from which on one is looked for again
	last    uint64   // granule of which lookForRow was told last
	far     uint64   // how many in succession were far from the one before
	began   uint64   // h.frees when taken was last set back
	taken   uint64   // notes since then, less the n that there are
}

const (
	rowFrees  = 512 // a row begins after so many frees,
	rowFar    = 4   // when so many places where there was something to do were far apart
	noteFirst = 128 // notes for which there is room at first; from then on it grows by four
	maxNotes  = 2048
	noteEvery = 64 // frees from one note to the next, at most, as a run has up to 64 slots
	wasFull   = 1  // in a note
	isSpan    = 2

	// Fewer than one note in fewMost of the last fewFrees frees are not worth it; then a row
	// is looked for again fewWait frees later.
	fewMost  = 28
	fewFrees = 512
	fewWait  = 4096
)

// oneIf returns 1 if what is true, else 0, without a branch.
func oneIf(what bool) (n uint64) {
	if what {
		n = 1
	}
	return n
}

// lookForRow is told of a free at granule g after which there was something to do, and has
// Free take notes from now on if it is one of many in a row, in no order.
func (h *Heap) lookForRow(g uint64) {
	t := &h.notes
	last := t.last
	t.last = g
	if t.mallocs != h.mallocs {
		t.mallocs, t.frees, t.far = h.mallocs, h.frees, 0
		return
	}
	if int64(h.frees-t.frees) < rowFrees || h.hooked {
		return
	}
	if !h.isFar(g, last) {
		t.far = 0
		return
	}
	if t.far++; t.far < rowFar {
		return
	}
	h.near, h.wideSizes = 0, 0
	t.began, t.taken = h.frees, 0
	h.waitForSweep()
}

// waitForSweep sets the end of the notes, of which there are fewer than maxNotes, so that
// settleFree is called before a sweep is due, or soon after, and when few can tell; and makes
// room for so many.
func (h *Heap) waitForSweep() {
	t, ops := &h.notes, h.sweepAt-min(h.mallocs+h.frees, h.sweepAt)
	t.end = min(t.n+1+min(ops/noteEvery, fewFrees/fewMost), maxNotes)
	if room := uint64(len(t.table)); t.end > room {
		table := make([]uint64, min(max(4*room, noteFirst), maxNotes))
		copy(table, t.table)
		t.table = table
	}
}

// settleFree is the rest of a free of b when there may be no more room for notes, or a sweep
// may be due.
func (h *Heap) settleFree(b []byte) {
	if h.notes.n == maxNotes {
		h.settle()
	}
	if h.tick(); h.notes.end != 0 {
		if h.waitForSweep(); h.inOrder() || h.notes.few(h.frees) {
			h.closeRow()
			h.notes.frees = h.frees + fewWait
		}
	}
	if h.err != nil {
		h.failFree(b)
	}
}

// isFar reports whether the granules a and b are far from each other, as most are that are
// freed in no order. Those freed in the order of their addresses, or back, are not; and then
// a processor foresees what Free does, and to take notes costs more than it saves.
func (h *Heap) isFar(a, b uint64) bool {
	return max(a, b)-min(a, b) > (h.top-h.first)/64
}

// inOrder reports whether the latest notes are of blocks in some order.
func (h *Heap) inOrder() bool {
	n, far := h.notes.n, uint64(0)
	if n < 2*rowFar {
		return false
	}
	for i := n - 2*rowFar + 1; i < n; i++ {
		if h.isFar(h.noted(i-1), h.noted(i)) {
			far++
		}
	}
	return far < rowFar
}

// few reports, once every fewFrees frees, whether too few notes were taken meanwhile.
func (t *notes) few(frees uint64) bool {
	sum := frees - t.began
	if sum < fewFrees {
		return false
	}
	few := (t.taken+t.n)*fewMost < sum
	t.began, t.taken = frees, -t.n
	return few
}

// endRow has Free take no more notes, and does what they say.
func (h *Heap) endRow() {
	if h.notes.end != 0 {
		h.closeRow()
	}
}

func (h *Heap) closeRow() {
	h.notes.end = 0
	if !h.hooked {
		h.near, h.wideSizes = h.reach, wideCount
	}
	h.settle()
}

// settle does what the notes say, and no more: it does not sweep.
func (h *Heap) settle() {
	t := &h.notes
	for i := uint64(0); i < t.n && h.err == nil; i++ {
		if t.table[i]&isSpan != 0 {
			h.settleSpan(h.noted(i))
		} else if ci, run := h.notedRun(i); h.settleRun(ci, run, i) && !h.keepIdle(ci, run) && !h.defers(uint64(run)<<granuleBits) {
			h.leaveRun(ci, run)
		}
	}
	t.taken += t.n
	t.n = 0
}

// noted returns the granule of the block of note i.
func (h *Heap) noted(i uint64) uint64 { return h.first + h.notes.table[i]>>granuleShift }

// notedRun returns the class and the first unit of the run of note i, as the kind of the slot's
// unit says; the class is 0 if that is the kind of no run.
func (h *Heap) notedRun(i uint64) (ci, run uintptr) {
	u := h.noted(i) >> granuleBits
	k := uintptr(*h.kind(u))
	return k >> 8 % maxClasses, uintptr(u) - k&runIndex
}

// settleSpan does what is left of the free of the span at g.
func (h *Heap) settleSpan(g uint64) {
	n := uint64(0)
	if h.begins(asKept, g) {
		if d := &h.deferred; d.lists(g) {
			d.list = append(d.list, uint32(g))
			return
		}
		n = h.spanSize(g)
	}
	if n == 0 {
		h.noEnd(g)
		return
	}
	h.demands(n, -1)
	if !h.quick.keeps(n) || !h.makeRoom(n) || !h.putQuick(g, n) {
		h.letGo(g, n)
	}
}

// settleRun does what note i says of the run of class ci, and reports whether that is
// to be let go.
func (h *Heap) settleRun(ci, run uintptr, i uint64) bool {
	c, full := &h.classes[ci], h.notes.table[i]&wasFull != 0
	if ci == 0 || !h.isRun(ci, run) {
		return h.fail("%#x, of which a slot was freed, is no run", run<<unitShift)
	}
	if run == c.cur {
		return false
	}
	live := *h.row(uint64(run))
	empty := live&c.valid == 0
	switch {
	case !full && empty:
		return h.wasOff(c, run, i) || h.unlinkRun(ci, run)
	case !full:
		return h.fail("run %#x was empty, and has live slots", run<<unitShift)
	case empty:
		*h.runLinks(c, run) = i // for wasOff: there is a second note, of the last slot
		return false
	case live == ^uint64(0):
		return h.fail("run %#x had a free slot, and is full", run<<unitShift)
	}
	h.linkRun(ci, run)
	return false
}

// wasOff reports whether the run of class c, of which note i says that it is empty, is on no
// list, as it was full when the notes began: then there is a note before that says so, and
// settleRun has left its number in the place of the run's links. If the run is on a list, that word
// has links, and there is no such note. If it is damaged, unlinkRun finds out.
func (h *Heap) wasOff(c *class, run uintptr, i uint64) bool {
	links := h.runLinks(c, run)
	first := *links
	if first >= i || h.notes.table[first]&wasFull == 0 ||
		uintptr(h.noted(first)>>granuleBits)-run >= c.units {
		return false
	}
	*links = 0
	return true
}

// largestNoted returns the size in granules of the largest span that is noted, or run that
// is noted as empty.
func (h *Heap) largestNoted() (n uint64) {
	for i := range h.notes.n {
		if h.notes.table[i]&isSpan != 0 {
			n = max(n, h.spanSize(h.noted(i)))
			continue
		}
		ci, run := h.notedRun(i)
		if c := &h.classes[ci]; run != c.cur && *h.row(uint64(run))&c.valid == 0 {
			n = max(n, uint64(c.units)<<granuleBits)
		}
	}
	return n
}
