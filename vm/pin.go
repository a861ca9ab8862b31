package vm

import "fmt"

// Pin brings all pages of [va, va+length) into memory and keeps them there until
// [Space.Unpin], as mlock does; private writable pages get a copy of their own.
// Pages may be pinned several times. length is rounded up to pages.
//
// Faults: those of [Space.Munmap] and of touching the pages; then nothing is
// pinned that was not before.
func (s *Space) Pin(va VirtAddr, length uint64) error {
	hi, err := s.checkCovered(va, length)
	if err != nil {
		return err
	}
	for at := va; at < hi; at += s.pageSize() {
		acc := Read
		if a := s.areaAt(at); a.perm&PermW != 0 && !a.shared {
			acc = Write
		}
		if err := s.pinPage(at, acc); err != nil {
			for undo := va; undo < at; undo += s.pageSize() {
				s.unpinPage(undo)
			}
			return err
		}
	}
	return nil
}

func (s *Space) pinPage(va VirtAddr, acc Access) error {
	if _, err := s.Touch(va, acc); err != nil {
		return err
	}
	e := s.entries[s.number(va)]
	if !e.page.resident { // a working-set policy gave it up at once
		if _, err := s.k.pageIn(e.page, false); err != nil {
			return s.failed(err, va, acc)
		}
	}
	e.pins++
	s.k.pin(e.page, 1)
	return nil
}

// Unpin undoes [Space.Pin] once. Faults: those of [Space.Munmap], and Misuse if a
// page of the range is not pinned; then nothing has changed.
func (s *Space) Unpin(va VirtAddr, length uint64) error {
	hi, err := s.checkCovered(va, length)
	if err != nil {
		return err
	}
	for at := va; at < hi; at += s.pageSize() {
		if e := s.entries[s.number(at)]; e == nil || e.pins == 0 {
			return &Fault{Kind: Misuse, VA: at, Level: -1, ASID: s.asid, Note: "the page is not pinned"}
		}
	}
	for at := va; at < hi; at += s.pageSize() {
		s.unpinPage(at)
	}
	return nil
}

func (s *Space) unpinPage(va VirtAddr) {
	e := s.entries[s.number(va)]
	e.pins--
	s.k.unpin(e.page, 1)
}

// PageOut evicts the page at va now, whatever the policy thinks; a page that is
// not in memory stays where it is. Faults: NotMapped (the address was never
// touched), NoVictim (it is pinned), and those of writing it: OutOfFrames without
// swap, SwapFull, SwapIO. Then it stays in memory as it was.
func (s *Space) PageOut(va VirtAddr) error {
	if err := s.alive(); err != nil {
		return err
	}
	e := s.entries[s.number(va)]
	switch {
	case e == nil:
		return &Fault{Kind: NotMapped, VA: va, Level: -1, ASID: s.asid}
	case !e.page.resident, e.page == s.k.zero && e.pins == 0:
		return nil
	case e.page.pins > 0:
		return &Fault{Kind: NoVictim, VA: va, Level: -1, ASID: s.asid, Note: fmt.Sprintf("the page is pinned %d times", e.page.pins)}
	}
	s.k.forget(e.page)
	if err := s.k.pageOut(e.page); err != nil {
		s.k.learn(e.page, e.page.dirty)
		return s.failed(err, va, Write)
	}
	return nil
}
