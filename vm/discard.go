package vm

import "fmt"

// Discard forgets what is in the pages of [va, va+length), length rounded up to
// pages, and gives their frames and swap slots back; the range stays mapped.
// Private anonymous memory reads as zero afterwards, private file mappings as the
// file; shared pages only lose their mapping. It is madvise(MADV_DONTNEED), with
// which allocators give pages back.
//
// Faults: those of [Space.Munmap], and Misuse if a page is pinned; then nothing
// has changed. O(pages).
func (s *Space) Discard(va VirtAddr, length uint64) error {
	hi, err := s.checkCovered(va, length)
	if err != nil {
		return err
	}
	pages := s.touched(va, hi)
	for _, n := range pages {
		if s.entries[n].pins > 0 {
			return s.pinnedFault(n)
		}
	}
	s.changeRange(func() {
		for _, n := range pages {
			s.unlink(n)
		}
	})
	return nil
}

func (s *Space) pinnedFault(n uint64) *Fault {
	return &Fault{Kind: Misuse, VA: s.address(n), Level: -1, ASID: s.asid, Note: "the page is pinned"}
}

// MovePages moves the pages of [from, from+length), length rounded up to pages, to
// the addresses from to on, without copying, as mremap does: what was there is
// lost, and what was at from reads as zero afterwards. Both ranges must be private
// anonymous memory with the same rights, and may not overlap.
//
// Faults: those of [Space.Munmap] for both ranges, and Misuse for ranges that
// overlap or are of other kinds, and for pinned pages; then nothing has changed.
// O(pages).
func (s *Space) MovePages(to, from VirtAddr, length uint64) error {
	end, err := s.checkCovered(from, length)
	if err != nil {
		return err
	}
	toEnd, err := s.checkCovered(to, length)
	if err != nil {
		return err
	}
	if to < end && from < toEnd {
		return &Fault{Kind: Misuse, VA: to, Level: -1, ASID: s.asid, Note: fmt.Sprintf("it overlaps [%v, %v)", from, end)}
	}
	perm := s.areaAt(from).perm
	for _, lo := range [2]VirtAddr{from, to} {
		for i := s.after(lo); i < len(s.areas) && s.areas[i].lo < lo+(end-from); i++ {
			if a := s.areas[i]; a.file != nil || a.shared || a.perm != perm {
				return &Fault{Kind: Misuse, VA: a.lo, Level: -1, ASID: s.asid, Note: "pages move between private anonymous areas of the same rights only"}
			}
		}
		for _, n := range s.touched(lo, lo+(end-from)) {
			if s.entries[n].pins > 0 {
				return s.pinnedFault(n)
			}
		}
	}
	if err := s.Discard(to, length); err != nil {
		return err
	}
	for _, n := range s.touched(from, end) {
		s.moveEntry(n, s.number(to)+n-s.number(from))
	}
	return nil
}

// moveEntry moves an entry to another page number, mapped there if it was here and
// the page table has room.
func (s *Space) moveEntry(from, to uint64) {
	e := s.entries[from]
	mapped := e.mapped
	s.zap(s.address(from), e)
	delete(s.entries, from)
	s.entries[to] = e
	if mapped {
		s.switchAndMap(to, e)
	}
}

// switchAndMap maps the page of e again; if no frame can be had for the page
// table, the next access will.
func (s *Space) switchAndMap(n uint64, e *entry) {
	s.k.switchTo(s)
	if s.mapPage(n, e, s.rights(s.areaAt(s.address(n)), e.page)) != nil {
		return
	}
	s.promote(s.address(n))
}
