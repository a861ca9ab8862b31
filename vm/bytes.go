package vm

// Read copies len(p) bytes at va into p, as code in the given mode (the bits of
// an [Access] besides the operation, such as [User]) would read them. The bytes
// may span pages. On an error, a *[Fault] for the first page that fails, p is
// untouched, no accessed bit has changed for any page, and the TLB has no new
// translation; a hit in a later level may have brought an entry to the first.
func (m *MMU) Read(va VirtAddr, p []byte, mode Access) error {
	return m.access(va, p, mode&^opMask|Read)
}

// Write copies p to the len(p) bytes at va. It is all or nothing, as [MMU.Read].
func (m *MMU) Write(va VirtAddr, p []byte, mode Access) error {
	return m.access(va, p, mode&^opMask|Write)
}

// access translates every page first and copies when all of them are known.
func (m *MMU) access(va VirtAddr, p []byte, acc Access) error {
	if len(p) == 0 {
		return nil
	}
	if va+VirtAddr(len(p)-1) < va {
		return m.failed(&Fault{Kind: BadLength, VA: va, Access: acc, Level: -1})
	}
	var room [4]span
	spans, err := m.spans(va, uint64(len(p)), acc, room[:0])
	if err != nil {
		return err
	}
	for i := range spans {
		s := &spans[i]
		if s.known {
			continue
		}
		pa, err := m.fill(s.va, acc)
		if err != nil {
			return err // only if the table changed meanwhile
		}
		s.pa = pa
	}
	for _, s := range spans {
		b, ok := m.mem.Bytes(s.pa, s.n)
		if !ok {
			return m.failed(&Fault{Kind: BadFrame, VA: s.va, Access: acc, Level: -1, PA: s.pa})
		}
		if acc.Op() == Write {
			copy(b, p[s.va-va:])
		} else {
			copy(p[s.va-va:], b)
		}
		m.emit(Event{Kind: EventDone, VA: s.va, Access: acc, PA: s.pa})
	}
	return nil
}

// A span is the part of an access that lies in one page.
type span struct {
	va    VirtAddr
	pa    PhysAddr
	n     uint64
	known bool // from the TLB: no walk needed
}

// spans cuts [va, va+n) at page boundaries and checks every part, changing
// nothing but the TLB's counters and the order and levels of its entries.
func (m *MMU) spans(va VirtAddr, n uint64, acc Access, out []span) ([]span, error) {
	for n > 0 {
		e, known := Entry{}, false
		if m.opts.TLB != nil {
			var hit bool
			e, hit = m.opts.TLB.Lookup(m.asid, va, acc)
			m.emit(Event{Kind: EventLookup, VA: va, Access: acc, Hit: hit, Entry: e})
			known = hit && m.ok[acc].Has(e.Perm)
		}
		if !known {
			var f *Fault
			if e, f = m.dryWalk(va, acc); f != nil {
				return nil, m.failed(f)
			}
		}
		left := e.Size() - uint64(va-e.Page)
		if left == 0 || left > n {
			left = n
		}
		s := span{va: va, pa: e.Addr(va), n: left, known: known}
		if m.mem == nil || !m.mem.Contains(s.pa, s.n) {
			return nil, m.failed(&Fault{Kind: BadFrame, VA: va, Access: acc, Level: int(e.Level), PA: e.Frame})
		}
		out = append(out, s)
		va, n = va+VirtAddr(left), n-left
	}
	return out, nil
}

// A DryWalker is a page table that can tell how a walk would end.
type DryWalker interface {
	// WalkDry is Walk without setting accessed and dirty bits.
	WalkDry(va VirtAddr, acc Access) (Entry, *Fault)
}

// dryWalk says how a walk for acc would end, without making it.
func (m *MMU) dryWalk(va VirtAddr, acc Access) (Entry, *Fault) {
	if m.opts.Frames != nil && m.opts.Strict {
		if f := m.dryOwned(va, acc); f != nil {
			return Entry{}, f
		}
	}
	if m.dry != nil {
		return m.dry.WalkDry(va, acc)
	}
	e, f := m.table.Probe(va)
	if f != nil {
		f.Access = acc
		return Entry{}, f
	}
	if !m.ok[acc].Has(e.Perm | PermD) {
		return Entry{}, &Fault{Kind: Protection, VA: va, Access: acc, Level: int(e.Level), Have: e.Perm}
	}
	return e, nil
}
