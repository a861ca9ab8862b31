package vm

// manyFlushes is from how many pages on one flush of the whole address space is
// cheaper than one for each page, as operating systems assume (Linux on x86: 33).
const manyFlushes = 33

// flushPage makes the TLB forget the page at va, at once or at the end of the
// range that is being changed.
func (s *Space) flushPage(va VirtAddr) {
	if s.k.batching {
		s.pending = append(s.pending, va)
		return
	}
	s.k.mmu.Flush(FlushVAASID(va, s.asid))
}

// changeRange does something to many pages of the space, between which there is no
// access, and then makes the TLB forget them, one by one or all at once.
func (s *Space) changeRange(do func()) {
	s.k.batching = true
	do()
	s.k.batching = false
	if len(s.pending) >= manyFlushes {
		s.k.mmu.Flush(FlushASID(s.asid))
	} else {
		for _, va := range s.pending {
			s.k.mmu.Flush(FlushVAASID(va, s.asid))
		}
	}
	s.pending = s.pending[:0]
}
