package segregated

// What Compact does in the modes Checked and Guarded: the record and the canary
// are made anew at the new place, and the old one goes the way of freed blocks,
// so that references which were forgotten are found.

// movableChecked is movable for the core block at core.
func (c *compactor) movableChecked(core uint64) bool {
	chk := c.chk
	if chk.guards.covers(core) || chk.quarantine.has(core) || core+recordSize == c.safe.root {
		return false
	}
	r, whole := chk.get(core)
	if !whole || r.freed || chk.overflow("compact", core, r) != nil {
		return false // for Free and Check to report
	}
	chk.ready("compact", target{core: core, record: r})
	return true
}

// shiftChecked is shift for core blocks; that at from is movable.
func (c *compactor) shiftChecked(from, to spot) bool {
	chk := c.chk
	if at, dirty := chk.dirtyByte(to.off, to.off+to.size, false); dirty {
		panic(chk.condemn("compact", to.off, at))
	}
	r, _ := chk.get(from.off)
	old, fresh := target{core: from.off, record: r}, target{core: to.off, record: r}
	chk.seat(to.off, r)
	chk.mallocs++
	chk.requested += int(r.size)
	accepted := false
	defer func() {
		if accepted {
			chk.drop("compact", old)
			return
		}
		chk.frees++
		chk.requested -= int(r.size)
		chk.wipe(to.off, to.off+to.size)
		c.leave(to)
	}()
	c.copy(fresh.user(), old.user(), int(r.size))
	if !c.ask(old.user(), fresh.user(), int(r.size)) {
		return false
	}
	accepted = true
	if c.sink != nil {
		chk.emitRealloc(old.user(), fresh.user(), int(r.size))
	}
	return true
}
