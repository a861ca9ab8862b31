package vm

import "errors"

// need returns the right that an access needs.
func need(acc Access) Perm { return [4]Perm{PermR, PermW, PermX, 0}[acc.Op()] }

// permitted says whether the areas allow the access at va, and how far the area
// reaches. Addresses to which the stack may grow count as stack.
func (s *Space) permitted(va VirtAddr, acc Access) (end VirtAddr, f *Fault) {
	a := s.areaAt(va)
	if a == nil {
		stack := s.growable(va)
		switch {
		case stack != nil && need(acc)&^stack.perm == 0:
			return stack.lo, nil
		case stack != nil:
			a = stack
		case va < s.stackLimit && va >= s.stackLimit-s.pageSize():
			return 0, s.denied(&Fault{Kind: Protection, VA: va, Access: acc, Need: need(acc), Note: "guard page of the stack"})
		default:
			return 0, s.denied(&Fault{Kind: NotPresent, VA: va, Access: acc, Note: "no mapping there"})
		}
	}
	if need(acc)&^a.perm != 0 {
		return 0, s.denied(&Fault{Kind: Protection, VA: va, Access: acc, Need: need(acc) | PermU, Have: a.perm | PermU, Note: "in an area of kind " + a.kind.String()})
	}
	return a.hi, nil
}

func (s *Space) denied(f *Fault) *Fault {
	s.k.stats.Denied++
	f.ASID, f.Level = s.asid, -1
	return f
}

// growable returns the stack area that would grow to take va in, or nil.
func (s *Space) growable(va VirtAddr) *area {
	if va < s.stackLimit || va >= s.k.opts.High {
		return nil
	}
	if i := s.after(va); i < len(s.areas) && s.areas[i].kind == AreaStack {
		return s.areas[i]
	}
	return nil
}

// resolve handles a page fault: afterwards the page table maps va with all
// rights that the access needs. On an error the mapping is unchanged.
func (s *Space) resolve(va VirtAddr, acc Access, kind FaultKind) error {
	if _, f := s.permitted(va, acc); f != nil {
		return f
	}
	a := s.areaAt(va)
	grows := a == nil
	if grows {
		a = s.growable(va)
	}
	major, err := s.bring(a, s.number(va), acc.Op() == Write)
	if err != nil {
		return s.failed(err, va, acc)
	}
	if grows {
		a.lo = va &^ (s.pageSize() - 1)
		s.k.stats.StackGrowths++
	}
	s.promote(va)
	if s.k.mmu.opts.Events != nil {
		p := s.entries[s.number(va)].page
		s.k.emit(Event{Kind: EventPageIn, ASID: s.asid, VA: va, Access: acc, PA: p.frame, Count: int(p.id), Hit: !major})
	}
	if (kind == NotAccessed || kind == NotDirty) && s.aging != nil {
		_, dirty, _ := s.aging.Used(va)
		if f := s.aging.SetUsed(va, true, dirty || acc.Op() == Write); f != nil {
			return f
		}
	}
	s.k.stats.Faults++
	if major {
		s.k.stats.Major++
	} else {
		s.k.stats.Minor++
	}
	return nil
}

// failed puts the address into a fault that came from further below.
func (s *Space) failed(err error, va VirtAddr, acc Access) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	g := *f
	g.VA, g.Access, g.ASID = va, acc, s.asid
	return &g
}

// bring makes page n of area a resident and mapped, for a write if that is set;
// major is true if a device was asked.
func (s *Space) bring(a *area, n uint64, write bool) (major bool, err error) {
	k, e := s.k, s.entries[n]
	known := e != nil
	if !known {
		e = s.link(n, s.pageOf(a, n, write))
	}
	if e.page.resident && e.page.pool == k.common && k.isLocal() && e.page != k.zero {
		k.moveCharge(e.page, s.pool)
		k.fresh = e.page
	}
	if !e.page.resident {
		if major, err = k.pageIn(e.page, write); err != nil {
			if !known {
				s.unlink(n)
			}
			return false, err
		}
	}
	if write && !a.shared {
		if e.page.file != nil || e.page.users > 1 || e.page == k.zero {
			if err = s.copyPage(n, e, a); err != nil && !known {
				s.unlink(n)
			}
			return major, err
		}
	}
	if err := s.mapPage(n, e, s.rights(a, e.page)); err != nil {
		if !known {
			s.unlink(n)
		}
		return false, err
	}
	return major, nil
}

// pageOf returns the page that an untouched address shows, for a write or not: the
// file's, the page of zeros, or a new one.
func (s *Space) pageOf(a *area, n uint64, write bool) *page {
	if a.file == nil {
		if !write {
			if p := s.k.zeroPage(); p != nil {
				s.k.stats.ZeroMaps++
				return p
			}
		}
		return s.k.newPage()
	}
	return a.file.page((a.off + uint64(s.address(n)-a.lo)) >> s.shift)
}

// rights returns what a mapping of p in a may grant: private pages that others
// have as well, and pages of a private file mapping, are not writable.
func (s *Space) rights(a *area, p *page) Perm {
	perm := a.perm | PermU
	if !a.shared && (p.file != nil || p.users > 1 || p == s.k.zero) {
		perm &^= PermW
	}
	return perm
}

// copyPage gives entry e a copy of its resident page for itself and maps it
// writable. On an error the entry is unchanged.
func (s *Space) copyPage(n uint64, e *entry, a *area) error {
	k, old, va := s.k, e.page, s.address(n)
	p := k.newPage()
	pa, err := k.takeFrame(p.id, old)
	if err != nil {
		k.freePage(p)
		return err
	}
	s.zap(va, e) // then the tables are there, or what they need is free
	if err := s.mapFrame(va, pa, s.rights(a, p), old); err != nil {
		k.frames.FreeFrames(pa, 1)
		k.freePage(p)
		return err
	}
	if old == k.zero {
		clear(k.frameBytes(pa))
		k.stats.ZeroFills++
	} else {
		copy(k.frameBytes(pa), k.bytes(old))
		k.stats.Copies++
	}
	k.unpin(old, e.pins)
	e.page, p.users = p, 1
	s.leave(old)
	p.pins = e.pins
	if p.pins > 0 {
		k.pinned++
	}
	k.place(p, pa, true)
	p.dirty = true
	e.mapped = true
	s.fill(va, 1)
	k.emit(Event{Kind: EventCopy, ASID: s.asid, VA: va, PA: pa, Count: int(p.id)})
	return nil
}

// mapPage maps a resident page with these rights.
func (s *Space) mapPage(n uint64, e *entry, perm Perm) error {
	va, size := s.address(n), uint64(s.pageSize())
	if e.mapped {
		if now, f := s.table.Probe(va); f == nil && (now.Perm^perm)&PermW == 0 {
			return nil
		}
		s.demote(va)
		e.page.dirty = e.page.dirty || s.wrote(va)
		if err := s.table.Protect(va, size, perm); err != nil {
			return err
		}
		s.k.mmu.Flush(FlushVAASID(va, s.asid))
		if perm&PermW != 0 {
			s.k.stats.Reuses++
		}
		return nil
	}
	if err := s.mapFrame(va, e.page.frame, perm, e.page); err != nil {
		return err
	}
	e.mapped = true
	s.fill(va, 1)
	return nil
}

// mapFrame maps the frame at pa in page table and reverse map, evicting pages, but
// not keep, if the page table needs frames.
func (s *Space) mapFrame(va VirtAddr, pa PhysAddr, perm Perm, keep *page) error {
	k, size := s.k, uint64(s.pageSize())
	err := s.table.Map(va, pa, size, size, perm)
	for isOutOfFrames(err) {
		if err := k.evict(NoPage, keep); err != nil { // a table is no page
			return err
		}
		err = s.table.Map(va, pa, size, size, perm)
	}
	if err != nil || k.zero != nil && pa == k.zero.frame {
		return err
	}
	if err := k.frames.AddMapping(pa, Mapping{s.asid, va}); err != nil {
		must(s.table.Unmap(va, size))
		return err
	}
	return nil
}
