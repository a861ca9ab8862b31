package segregated

// recount makes the figures of the layer those of the heap that was opened. If
// it was not closed, blocks that were freed but not yet the core's, and one that
// Malloc had not returned yet, are given to the core. The stacks that the records
// name are those of other processes: the numbers of new ones begin after them.
func (c *checked) recount(killed bool) {
	var dead []uint64
	for core, r := range c.live() {
		_, whole := c.get(core)
		if killed && (whole && r.freed || !whole && c.blank(core)) {
			dead = append(dead, core)
			continue
		}
		c.mallocs++
		if !whole {
			r, _ = c.guess(core)
		} else if killed && c.grown(core, r) {
			c.seat(core, r)
		}
		if t := c.h.trace; whole && t != nil {
			t.stacks.base = max(t.stacks.base, r.stack)
		}
		c.requested += int(r.size)
	}
	for _, core := range dead {
		c.wipe(core, core+uint64(c.h.usable(core)))
		if c.h.err == nil {
			c.h.release(core)
		}
	}
}

// blank reports whether the block at core, whose record is broken, is one that
// Malloc has not returned: the seal was not written yet, and nothing was written
// to the block but what Malloc fills it with.
func (c *checked) blank(core uint64) bool {
	b := c.h.mem[core:][:c.h.usable(core)]
	if c.firstDirty(b[8:recordSize], false) >= 0 {
		return false
	}
	b = b[recordSize:]
	n := 0 // bytes that are as they were, or fresh
	for n < len(b) && (b[n] == freshByte || b[n] == c.poison || b[n] == 0) {
		n++
	}
	for from := n; from >= 0 && from > n-8; from-- { // a canary may begin with such bytes
		if c.mayBeCanary(core, b[from:]) {
			return true
		}
	}
	return false
}

// mayBeCanary reports whether b is as much of a canary of the block at core as was written.
func (c *checked) mayBeCanary(core uint64, b []byte) bool {
	w := c.word(core)
	for i, x := range b[:min(len(b), canaryMax)] {
		if x != pattern(w, i) && x != c.poison && x != 0 {
			return false
		}
	}
	return true
}

// grown reports whether the block at core has more behind its canary than it
// had: what the block after it was, whose free was under way.
func (c *checked) grown(core uint64, r record) bool {
	b := c.canary(core, r)
	n, first, _ := c.brokenCanary(core, b)
	return n > 0 && first >= canaryMin && c.firstDirty(b[first:], false) < 0
}

// settle gives all that is held back to the core, for a heap that is about to
// be closed: what was written to it after free has been reported.
func (c *checked) settle() {
	q := &c.quarantine
	for q.blocks() > 0 {
		if f := c.evict("close"); f != nil && c.h.err != nil {
			return
		}
	}
	for _, core := range q.condemned {
		c.wipe(core, core+uint64(c.h.usable(core)))
		if c.h.err != nil {
			return
		}
		c.h.release(core)
	}
	q.condemned, q.kept, q.freeStack = nil, 0, map[uint64]uint32{}
}
