package segregated

import "math/bits"

// runWindow has the runs of the window that are neither full nor empty.
type runWindow struct {
	runs    []windowRun
	byClass [maxClasses]runEnds
	sorted  []uint32 // indices of runs, by class, the emptiest first
}

// windowRun is a run as the survey found it.
type windowRun struct {
	unit uint64
	key  uint16 // class and live slots
}

// runEnds are the runs of a class in runWindow.sorted: those from left to right-1
// have not met yet.
type runEnds struct{ left, right int }

// clearRuns forgets all.
func (c *compactor) clearRuns() {
	c.runs = c.runs[:0]
	c.clearHoles()
}

// noteRun takes down the run of class ci at unit u. One that is sparse, of a class
// that has taken up no run since the last call, becomes spans instead: its
// slots go wherever there is room for them. The runs of a heap in a file stay, see
// dissolve.go.
func (c *compactor) noteRun(u, ci uint64) {
	ci %= maxClasses
	cl, live := &c.classes[ci], *c.row(u)
	if live == ^uint64(0) || live == cl.empty() {
		return
	}
	if c.wholeRun(u, c.top>>granuleBits) == 0 {
		c.fail("%#x is not a whole run", u<<unitShift)
		return
	}
	free := bits.OnesCount64(^live)
	idle := c.dissolving.traces[ci].now == c.taken[ci]
	if idle && !c.durable && uintptr(u) != cl.cur && cl.canDissolve() && free*compactIdle >= cl.numSlots() {
		c.dissolve(uintptr(ci), uintptr(u))
		return
	}
	c.runs = append(c.runs, windowRun{u, uint16(ci<<6) | uint16(cl.numSlots()-free)})
}

// dissolveOn makes spans of the runs that are smaller than a page and begin on page p,
// which has little else: it is not enough that they are full.
func (c *compactor) dissolveOn(p uint64) {
	perPage := c.pageGranules / unitGranules
	for u := p * perPage; u < min((p+1)*perPage, c.top>>granuleBits) && !c.durable; u++ {
		k := *c.kind(u)
		cl := &c.classes[k>>8%maxClasses]
		if k < kindRun || k&0xff != 0 || uint64(cl.units) >= perPage || !cl.canDissolve() || uintptr(u) == cl.cur || c.wholeRun(u, c.top>>granuleBits) == 0 {
			continue
		}
		c.count(u<<granuleBits, uint64(cl.units)<<granuleBits, -1)
		for w := *c.row(u) & cl.valid; w != 0; w &= w - 1 {
			s := c.slotSpot(cl, u, uint64(bits.TrailingZeros64(w)))
			c.count(s.off>>granuleShift, s.size>>granuleShift, +1)
		}
		c.dissolve(uintptr(k>>8), uintptr(u))
	}
}

// sortRuns puts the runs in order, by counting.
func (c *compactor) sortRuns() {
	c.byClass = [maxClasses]runEnds{}
	if len(c.runs) == 0 {
		return
	}
	c.starts = zeroed(c.starts, maxClasses<<6)
	for _, r := range c.runs {
		c.starts[r.key]++
	}
	n := uint32(0)
	for i := range c.starts {
		if i&63 == 0 {
			c.byClass[i>>6].left = int(n)
		}
		c.starts[i], n = n, n+c.starts[i]
		c.byClass[i>>6].right = int(n)
	}
	c.sorted = zeroed(c.sorted, len(c.runs))
	for i, r := range c.runs {
		c.sorted[c.starts[r.key]] = uint32(i)
		c.starts[r.key]++
	}
}

// mergeRuns moves blocks out of the runs of which at most so many eighths are
// used, into the fullest of their classes.
func (c *compactor) mergeRuns(level int) {
	for ci := range c.byClass {
		ends := &c.byClass[ci]
		for ends.left < ends.right-1 && !c.done() {
			r := c.runs[c.sorted[ends.left]]
			if int(r.key&63)*compactLevels > c.classes[ci].numSlots()*level {
				break
			}
			c.emptyRun(uint64(ci), r.unit, ends)
			ends.left++
		}
	}
}

// emptyRun moves blocks out of the run src of class ci while fuller ones have room.
func (c *compactor) emptyRun(ci, src uint64, ends *runEnds) {
	cl := &c.classes[ci]
	if uintptr(src) == cl.cur || !c.isRun(uintptr(ci), uintptr(src)) {
		return
	}
	for w := *c.row(src) & cl.valid; w != 0 && !c.done(); w &= w - 1 {
		from := c.slotSpot(cl, src, uint64(bits.TrailingZeros64(w)))
		if !c.movable(from) {
			continue
		}
		for ends.right-1 > ends.left {
			dst := c.runs[c.sorted[ends.right-1]].unit
			if c.isRun(uintptr(ci), uintptr(dst)) && *c.row(dst) != ^uint64(0) {
				if to, ok := c.takeSlotOf(cl, ci, dst, from.off); ok {
					c.shift(from, to)
				}
				break
			}
			ends.right--
		}
	}
}

// slotSpot returns the place of a slot.
func (c *compactor) slotSpot(cl *class, run, slot uint64) spot {
	return spot{off: run<<unitShift + slot*uint64(cl.size), size: uint64(cl.size), run: run, slot: slot}
}

// takeSlotOf marks a slot of the run of class ci as used and returns it, if there is
// one that is aligned as the block at off is.
func (c *compactor) takeSlotOf(cl *class, ci, run, off uint64) (spot, bool) {
	row := c.row(run)
	a := c.alignOf(off)
	for w := ^*row; w != 0; w &= w - 1 {
		s := c.slotSpot(cl, run, uint64(bits.TrailingZeros64(w)))
		if g := s.off >> granuleShift; a.up(g) != g {
			continue
		}
		*row |= w & -w
		c.mallocs++
		if *row == ^uint64(0) && uintptr(run) != cl.cur {
			c.unlinkRun(uintptr(ci), uintptr(run))
		}
		return s, c.err == nil
	}
	return spot{}, false
}

// leaveSlot frees a slot, and the run with it if it was the last one.
func (c *compactor) leaveSlot(s spot) {
	cl, run, _ := c.slotOf(s.off)
	row := c.row(run)
	before := *row
	*row &^= 1 << s.slot
	empty := *row == cl.empty()
	if (before == ^uint64(0) || empty) && uintptr(run) != cl.cur {
		if empty {
			c.count(run<<granuleBits, uint64(cl.units)<<granuleBits, -1)
		}
		c.runEdge(uintptr(run), before)
	}
}
