package fit

// A walkIndex is the implicit list: no list at all. A search walks over all
// blocks from the heap's start, used and free, and counts each one.
type walkIndex struct {
	h     *Heap
	rover int // Next: where the next search begins, 0 for the start
}

func (w *walkIndex) insert(off, size int) { w.joined(off, size) }

// joined keeps the rover on a block's start.
func (w *walkIndex) joined(off, size int) {
	if w.rover > off && w.rover < off+size || w.rover >= w.h.end {
		w.rover = off
	}
}

func (w *walkIndex) remove(off, size int) {}

func (w *walkIndex) replace(old, oldSize, off, size int) {
	if w.rover == old {
		w.rover = off
	}
}

func (w *walkIndex) find(need int) int {
	h := w.h
	h.lastSearched = 0
	var found int
	if h.o.Policy == Next && w.rover != 0 {
		if found = w.scan(w.rover, h.end, need, First); found == 0 {
			found = w.scan(h.start, w.rover, need, First)
		}
	} else if h.o.Policy == Next {
		found = w.scan(h.start, h.end, need, First)
	} else {
		found = w.scan(h.start, h.end, need, h.o.Policy)
	}
	if found != 0 {
		w.rover = found
	}
	h.searched += uint64(h.lastSearched)
	return found
}

// scan walks over the blocks in [from, until) and returns the free one that
// policy wants, or 0.
func (w *walkIndex) scan(from, until, need int, policy Policy) (found int) {
	foundSize := 0
	for off := from; off < until; {
		t := w.h.tagAt(off)
		w.h.lastSearched++
		if !t.used && t.size >= need {
			if policy == First {
				return off
			}
			if found == 0 || policy == Best && t.size < foundSize || policy == Worst && t.size > foundSize {
				found, foundSize = off, t.size
			}
		}
		off += t.size
	}
	return found
}

func (w *walkIndex) reset() { w.rover = 0 }

// check proves what there is to law L4: the rover is at a block. Free blocks
// are known by their tags alone, which law L1 covers.
func (w *walkIndex) check(free map[int]int, report reportFunc) {
	if w.rover == 0 {
		return
	}
	for off := w.h.start; off < w.h.end; {
		t, wrong := w.h.readTag(off)
		if off == w.rover || wrong != "" {
			return
		}
		off += t.size
	}
	report("L4: the next search would begin at %#x, where no block starts", w.rover)
}
