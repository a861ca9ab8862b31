package vm

// Fork makes a copy of the space, as a child process has it. Shared areas show
// the same pages. Private pages are shared as well until one side writes: they
// lose their write permission in both page tables, and the first write copies
// the page (copy-on-write), unless the writer is the last who has it. Pins are not
// inherited.
//
// Faults: those of [Kernel.NewSpace]; then nothing has changed. O(pages).
func (s *Space) Fork() (*Space, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	child, err := s.k.NewSpace()
	if err != nil {
		return nil, err
	}
	child.areas, child.brk = nil, s.brk
	for _, a := range s.areas {
		b := *a
		child.areas = append(child.areas, &b)
		if b.file != nil {
			b.file.areas++
		}
	}
	for _, a := range s.areas {
		if a.shared {
			continue // found through the file when they are touched
		}
		if err := s.forkArea(child, a); err != nil {
			child.Destroy()
			return nil, err
		}
	}
	return child, nil
}

// forkArea shares the pages of a private area with the child.
func (s *Space) forkArea(child *Space, a *area) error {
	for _, n := range s.touched(a.lo, a.hi) {
		e := s.entries[n]
		if e.page.file != nil {
			continue // not copied yet: the child finds it in the file
		}
		child.link(n, e.page)
		if at := s.address(n); e.mapped && s.isHuge(at) {
			if uint64(at)&(s.k.opts.HugePage-1) == 0 { // the first of them stands for all
				if err := s.protectHuge(at, (a.perm|PermU)&^PermW); err != nil {
					return err
				}
			}
			continue
		}
		if e.mapped {
			if err := s.mapPage(n, e, s.rights(a, e.page)); err != nil {
				return err
			}
		}
	}
	return nil
}
