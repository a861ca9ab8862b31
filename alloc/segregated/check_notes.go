package segregated

// notedRuns are the runs of the notes that Check has not met yet, by their first unit.
type notedRuns struct {
	off   map[uintptr]bool // were full, and are on no list
	empty map[uintptr]bool // have become empty, and are on a list if they were before
}

// notes notes what Free has left to do: spans are as if they were to be joined.
func (c *checker) notes() {
	c.noted = notedRuns{map[uintptr]bool{}, map[uintptr]bool{}}
	for i := range c.Heap.notes.n {
		g := c.Heap.noted(i)
		if g >= c.top {
			c.report(5, "%#x is noted as free, above the top", g<<granuleShift)
			return
		}
		if c.Heap.notes.table[i]&isSpan != 0 {
			c.toJoin(g)
			continue
		}
		switch ci, run := c.notedRun(i); {
		case run == c.classes[ci].cur:
		case c.Heap.notes.table[i]&wasFull != 0:
			c.noteRun(c.noted.off, run)
		default:
			c.noteRun(c.noted.empty, run)
		}
	}
}

func (c *checker) noteRun(runs map[uintptr]bool, run uintptr) {
	if runs[run] {
		c.report(5, "the run %#x is noted twice", run<<unitShift)
	}
	runs[run] = true
}

// crossOffRun takes the run, of class cl, off the notes, and reports whether it is on no list
// because of them, and whether they know that it is empty.
func (c *checker) crossOffRun(run uintptr, cl *class) (off, empty bool) {
	off, empty = c.noted.off[run], c.noted.empty[run]
	delete(c.noted.off, run)
	delete(c.noted.empty, run)
	return off, empty
}

// leftNotes reports the notes of what the walk has not met: L5.
func (c *checker) leftNotes() {
	for _, runs := range []map[uintptr]bool{c.noted.off, c.noted.empty} {
		for run := range runs {
			c.report(5, "a slot of %#x is noted as free, where no run has lost its first one or its last", run<<unitShift)
		}
	}
}
