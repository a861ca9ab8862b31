package arena

// memory is the backend of regions whose bytes exist all along: GoHeap and
// FromBytes. Committing and decommitting are bookkeeping and clearing.
type memory struct {
	r    *Region
	zero bool // uncommitted bytes are zero; else commit clears them
}

func (m *memory) commit(lo, hi int64) error {
	if m.zero {
		return nil
	}
	return m.r.committed.runs(lo, hi, false, m.wipe)
}

func (m *memory) decommit(lo, hi int64) error {
	return m.r.committed.runs(lo, hi, true, m.wipe)
}

func (m *memory) wipe(lo, hi int64) error {
	clear(m.r.bytes(lo, hi))
	return nil
}

func (m *memory) populate(lo, hi int64) error        { return nil }
func (m *memory) protect(lo, hi int64, p Prot) error { return ErrUnsupported }
func (m *memory) unprotect(lo, hi int64) error       { return nil }
func (m *memory) move(dst, src, n int64) int64       { return 0 }
func (m *memory) sync(lo, hi int64) error            { return nil }
func (m *memory) shrink(from int64) error            { return ErrUnsupported }
func (m *memory) mappings() int                      { return 0 }
func (m *memory) close() (gone bool, err error)      { return true, nil }

// resident asks the system about the bytes if they start on a page.
func (m *memory) resident(lo, hi int64) (int, error) {
	if address(m.r.Bytes())%uintptr(m.r.page) != 0 {
		return 0, ErrUnsupported
	}
	return systemPager{}.Resident(m.r.bytes(lo, hi))
}
