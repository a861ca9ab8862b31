package vm

// TranslateAll translates vas[i] to pas[i] in order and stops at the first
// fault. It returns how many it translated; the error is a *[Fault] about
// vas[n]. len(pas) must be at least len(vas). The effect on TLB, memory and
// counters is that of [MMU.Translate] in a loop; it is faster, and does not
// allocate unless it fails.
func (m *MMU) TranslateAll(vas []VirtAddr, acc Access, pas []PhysAddr) (n int, err error) {
	pas = pas[:len(vas)]
	switch {
	case m.opts.Events != nil || m.opts.TLB == nil && (m.cached != nil || m.opts.Frames != nil):
		return m.translateEach(vas, acc, pas)
	case m.opts.TLB == nil:
		n, f := m.table.WalkAll(vas, acc, pas)
		m.stats.Walks += uint64(n)
		if f != nil {
			return n, m.failed(f)
		}
		return n, nil
	}
	ok := m.ok[acc]
	for {
		n += m.opts.TLB.LookupAll(m.asid, vas[n:], acc, ok, pas[n:])
		if n == len(vas) {
			return n, nil
		}
		if pas[n], err = m.fill(vas[n], acc); err != nil {
			return n, err
		}
		n++
	}
}

func (m *MMU) translateEach(vas []VirtAddr, acc Access, pas []PhysAddr) (n int, err error) {
	for i, va := range vas {
		if pas[i], err = m.Translate(va, acc); err != nil {
			return i, err
		}
	}
	return len(vas), nil
}
