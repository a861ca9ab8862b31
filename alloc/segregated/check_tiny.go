package segregated

// tinyRun checks the tiny run p against its entry, and returns how many slots are live: L4, L7.
func (c *checker) tinyRun(p piece, t *tally) uint64 {
	u := p.g >> granuleBits
	i := c.units[u]
	r := c.tiny.of(u, i)
	switch {
	case i == 0 && c.crossOffDeferred(p):
		return 0
	case r == nil:
		c.report(4, "tiny run %#x has entry %d, which is another's or none", p.g<<granuleShift, i)
		return 0
	}
	t.tiny[r] = true
	if i == uint64(c.tiny.current) {
		c.tinyCurrent(r)
	} else if r.isEmpty() || r.listed == r.isFull() {
		c.report(7, "tiny run %#x with %d live slots: on the list %v", p.g<<granuleShift, r.numLive(), r.listed)
	}
	return uint64(r.numLive())
}

// tinyCurrent checks the current tiny run: L4, L7.
func (c *checker) tinyCurrent(r *tinyRun) {
	cl := &c.classes[c.tiny.class]
	if r.listed {
		c.report(7, "the current tiny run %#x is on the list", uint64(r.run)<<unitShift)
	}
	if cl.avail != 0 && (cl.live != &r.live[0] && cl.live != &r.live[1] || cl.avail&*cl.live != 0) {
		c.report(4, "tiny run %#x: slots %#x are at hand and live, or another's", uint64(r.run)<<unitShift, cl.avail)
	}
}

// tinyEntries compares the table and the list with the tiny runs that were met: L7.
func (c *checker) tinyEntries(t *tally) {
	listed := 0
	for i := range uint64(len(c.tiny.chunks)) * tinyChunk {
		r := c.tiny.at(i + 1)
		if r.run != 0 && !t.tiny[r] {
			c.report(7, "entry %d is of a tiny run %#x, which is none", i+1, uint64(r.run)<<unitShift)
		}
		if r.listed {
			listed++
		}
	}
	prev := uint32(0)
	for i := c.tiny.first; i != 0; listed-- {
		r := c.tiny.at(uint64(i))
		if r == nil || !r.listed || r.prev != prev || listed == 0 {
			c.report(7, "entry %d does not belong on the list of tiny runs after %d", i, prev)
			return
		}
		prev, i = i, r.next
	}
	if listed != 0 || prev != c.tiny.last {
		c.report(7, "the list of tiny runs ends with entry %d, not %d, and lacks %d", prev, c.tiny.last, listed)
	}
}
