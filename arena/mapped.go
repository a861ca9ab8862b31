package arena

import "github.com/memlab-go/memlab/internal/invariants"

// mapped is the backend of anonymous mappings: Mmap and Sparse.
//
// An eager mapping was made readable and writable as a whole, so committing is
// bookkeeping: the kernel supplies a page at the first touch. Otherwise the
// mapping is bare address space and commit opens pages. Pages whose access is
// not what the mapping began with are in flip.
//
// The kernel keeps one map entry per stretch of equal pages and grants a
// process some 65 000 of them, which the Go runtime needs as well; so changes
// of access and the cuts that moving leaves are counted, and what can be done
// without (moving instead of copying) stops at mappingBudget.
type mapped struct {
	r      *Region
	pager  Pager
	outer  []byte // the whole mapping, guard pages included
	guards int    // guard pages
	eager  bool
	flip   pageSet // eager: pages that are not read-write; else pages that are
	edges  int     // places where open pages meet others
	cuts   pageSet // pages before which the kernel may have split the mapping for another reason
	lazy   bool    // the system has refused to populate
}

// mappingBudget is the number of map entries up to which a region spends them
// on speed: an eighth of Linux's default limit per process.
const mappingBudget = 8192

// setOpen records that the access of [lo, hi) has changed.
func (m *mapped) setOpen(lo, hi int64, open bool) {
	m.edges -= m.edgesIn(lo, hi)
	if open != m.eager {
		m.flip.add(lo, hi)
	} else {
		m.flip.remove(lo, hi)
	}
	m.edges += m.edgesIn(lo, hi)
}

// edgesIn counts the pages p in [lo, hi] with open(p-1) != open(p).
func (m *mapped) edgesIn(lo, hi int64) int {
	n := 0
	lo, hi = max(lo-1, 0), min(hi+1, m.r.pages())
	for in := m.flip.has(lo); ; in = !in {
		lo = m.flip.find(lo, hi, !in)
		if lo >= hi {
			return n
		}
		n++
	}
}

func (m *mapped) commit(lo, hi int64) error {
	if m.eager && m.flip.count == 0 {
		return nil
	}
	return m.r.committed.runs(lo, hi, false, func(lo, hi int64) error {
		return m.flip.runs(lo, hi, m.eager, m.makeOpen)
	})
}

func (m *mapped) makeOpen(lo, hi int64) error {
	if err := m.pager.Advise(m.r.bytes(lo, hi), AdviseNeed); err != nil {
		return err
	}
	m.setOpen(lo, hi, true)
	return nil
}

func (m *mapped) decommit(lo, hi int64) error {
	if err := m.pager.Advise(m.r.bytes(lo, hi), AdviseDontNeed); err != nil {
		return err
	}
	m.closePages(lo, hi)
	return nil
}

// closePages makes pages that were given back inaccessible where that costs
// nothing (Windows has done so already) or where it is wanted: under the
// invariants tag, so that a late access faults.
func (m *mapped) closePages(lo, hi int64) {
	if !commitByCall {
		if !invariants.Enabled || m.mappings() > mappingBudget {
			return
		}
		if m.pager.Protect(m.r.bytes(lo, hi), ProtNone) != nil {
			return // a missed check, not a fault
		}
	}
	m.setOpen(lo, hi, false)
}

// populate leaves out pages that may not be written to: the system would refuse them.
func (m *mapped) populate(lo, hi int64) error {
	if m.lazy {
		return nil
	}
	return m.flip.runs(lo, hi, !m.eager, func(lo, hi int64) error {
		err := m.pager.Advise(m.r.bytes(lo, hi), AdvisePopulate)
		m.lazy = err != nil
		return err
	})
}

func (m *mapped) protect(lo, hi int64, p Prot) error {
	if err := m.pager.Protect(m.r.bytes(lo, hi), p); err != nil {
		return err
	}
	if p == ProtRead {
		m.cuts.add(lo, lo+1)
		m.cuts.add(hi, hi+1)
	}
	m.setOpen(lo, hi, p == ProtReadWrite)
	return nil
}

func (m *mapped) unprotect(lo, hi int64) error {
	if m.eager && m.flip.count == 0 {
		return nil
	}
	return m.r.committed.runs(lo, hi, true, func(lo, hi int64) error {
		return m.flip.runs(lo, hi, m.eager, func(lo, hi int64) error {
			return m.protect(lo, hi, ProtReadWrite)
		})
	})
}

func (m *mapped) sync(lo, hi int64) error { return nil }

func (m *mapped) resident(lo, hi int64) (int, error) { return m.pager.Resident(m.r.bytes(lo, hi)) }

func (m *mapped) mappings() int { return 1 + m.guards + m.edges + int(m.cuts.count) }

// shrink keeps the page after the last one, inaccessible, if the region has guard pages.
func (m *mapped) shrink(from int64) error {
	if commitByCall {
		return ErrUnsupported // such a system releases a mapping as a whole
	}
	guard := int64(m.guards) / 2
	kept := (guard + from + guard) * m.r.page
	if guard > 0 {
		if err := m.pager.Protect(m.outer[kept-m.r.page:kept], ProtNone); err != nil {
			return err
		}
	}
	if err := m.pager.Unmap(m.outer[kept:]); err != nil {
		if guard > 0 && m.flip.has(from) != m.eager {
			_ = m.pager.Protect(m.outer[kept-m.r.page:kept], ProtReadWrite)
		}
		return err
	}
	m.outer = m.outer[:kept:kept]
	m.flip.remove(from, m.r.pages())
	m.cuts.remove(from, m.r.pages()+1)
	m.edges = m.edgesIn(0, from-1)
	return nil
}

func (m *mapped) close() (gone bool, err error) {
	err = m.pager.Unmap(m.outer)
	return err == nil, err
}

// move moves the n pages from src on to dst, piece by piece between the cuts
// that earlier moves left: the system moves no piece that crosses one.
func (m *mapped) move(dst, src, n int64) int64 {
	done := int64(0)
	for done < n {
		piece := m.cuts.nextIn(src+done+1, src+n) - (src + done)
		if !m.movePiece(dst+done, src+done, piece) {
			break
		}
		done += piece
	}
	return done
}

// movePiece moves n pages by one system call, if the budget allows.
func (m *mapped) movePiece(dst, src, n int64) bool {
	closed := m.flip.find(src, src+n, m.eager) < src+n
	if closed || m.mappings() > mappingBudget {
		return false
	}
	if m.pager.Move(m.r.bytes(dst, dst+n), m.r.bytes(src, src+n)) != nil {
		return false
	}
	m.cuts.remove(dst, dst+n+1)
	m.cuts.add(dst, dst+1)
	m.cuts.add(dst+n, dst+n+1)
	m.setOpen(dst, dst+n, true)
	m.closePages(src, src+n)
	return true
}
