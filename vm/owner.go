package vm

// walk walks and checks who owns the frame and the tables.
func (m *MMU) walk(va VirtAddr, acc Access) (e Entry, f *Fault) {
	if m.opts.Frames != nil && m.opts.Strict {
		if f := m.dryOwned(va, acc); f != nil {
			return Entry{}, f
		}
	}
	if m.cached != nil {
		e, f = m.cached.WalkCached(va, acc, m.asid, m.opts.WalkCache)
	} else {
		e, f = m.table.Walk(va, acc)
	}
	if f == nil && m.opts.Frames != nil && !m.ownsAll(va, e) {
		m.stats.NotOwned++
	}
	e.ASID = m.asid
	return e, f
}

// ownsAll reports whether the frame of e and all tables on the way are the address
// space's own.
func (m *MMU) ownsAll(va VirtAddr, e Entry) bool {
	return m.opts.Frames.Owns(m.asid, e.Frame, e.Size()) && m.foreignTable(va, Read) == nil
}

// dryOwned finds out who owns the tables and the frame before the walk changes
// anything.
func (m *MMU) dryOwned(va VirtAddr, acc Access) *Fault {
	if f := m.foreignTable(va, acc); f != nil {
		return f
	}
	e, f := m.table.Probe(va)
	if f != nil || m.opts.Frames.Owns(m.asid, e.Frame, e.Size()) {
		return nil // the walk will say what is wrong, if anything
	}
	f = &Fault{Kind: FrameNotOwned, VA: va, Level: int(e.Level), Access: acc, PA: e.Frame}
	if l, ok := m.table.(Locator); ok {
		f.PTEAddr, f.PTE, _ = l.Locate(va, f.Level)
	}
	return f
}

// foreignTable returns the fault of the first table on the way to va that the
// address space does not own, with the entry that leads there (for a root: none),
// or nil.
func (m *MMU) foreignTable(va VirtAddr, acc Access) *Fault {
	owner, knows := m.opts.Frames.(TableOwner)
	l, tells := m.table.(Locator)
	if !knows || !tells {
		return nil
	}
	const deepest = 8 // more levels than any format has
	f := Fault{Kind: FrameNotOwned, VA: va, Level: -1, Access: acc, Note: "a page table"}
	for level := deepest; level >= 0; level-- {
		addr, pte, ok := l.Locate(va, level)
		switch {
		case !ok && f.Level >= 0:
			return nil // no table there
		case !ok:
			continue // above the root, if the address is good at all
		case !owner.OwnsTable(m.asid, addr):
			f.PA = addr
			return &f
		}
		f.Level, f.PTEAddr, f.PTE = level, addr, pte
	}
	return nil
}
