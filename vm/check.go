package vm

import (
	"errors"
	"fmt"
)

// A StaleError is a TLB entry that no longer says what the page table says:
// software changed the table, or gave the tag to another space, without the
// flush that this needs.
type StaleError struct {
	Held Entry    // what the TLB says
	At   VirtAddr // the first address where they differ
	Now  Entry    // what the table says, if Gone is nil
	Gone *Fault   // why the table says nothing
}

// Error names the page, the tag and the difference.
func (e *StaleError) Error() string {
	s := fmt.Sprintf("vm: stale TLB entry, asid %d, page %v → frame %v %v: ", e.Held.ASID, e.Held.Page, e.Held.Frame, e.Held.Perm)
	if e.Gone != nil {
		return s + "the table says " + e.Gone.Kind.String() + " at " + e.At.String()
	}
	return s + fmt.Sprintf("the table says %v → %v %v", e.At, e.Now.Addr(e.At), e.Now.Perm)
}

// CheckTLB compares every TLB entry with the page table last switched to under
// its tag and returns all differences, each a *[StaleError]. It changes nothing.
// Entries under a tag that was never switched to are left out. An entry that grants
// less than the table, or does not know yet that a page is dirty, is not stale: the
// next access walks again. O(entries), and O(pages) for a huge page that the table
// has split.
func (m *MMU) CheckTLB() error {
	if m.opts.TLB == nil {
		return nil
	}
	var errs []error
	for e := range m.opts.TLB.Entries() {
		if t := m.spaces[e.ASID]; t != nil {
			if err := checkEntry(t, e); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// checkEntry compares e with t over the whole page.
func checkEntry(t PageTable, e Entry) error {
	for at := e.Page; ; {
		now, f := t.Probe(at)
		if f != nil {
			return &StaleError{Held: e, At: at, Gone: f}
		}
		more := e.Perm &^ now.Perm &^ PermPXN
		if more == PermD && markedDirty(t, now) {
			more = 0
		}
		if now.Addr(at) != e.Addr(at) || more != 0 || now.Perm&^e.Perm&PermPXN != 0 || e.Global && !now.Global {
			return &StaleError{Held: e, At: at, Now: now}
		}
		next := now.Page + VirtAddr(now.Size())
		if next == 0 || next-1-e.Page >= VirtAddr(e.Size()-1) {
			return nil
		}
		at = next
	}
}

// markedDirty reports whether an entry of t for any part of the page says that it
// is dirty: a page may be made of several entries (Svnapot), of which hardware
// marks one.
func markedDirty(t PageTable, page Entry) bool {
	const least = 4096
	for off := uint64(0); off < page.Size(); off += least {
		if e, f := t.Probe(page.Page + VirtAddr(off)); f == nil && e.Perm&PermD != 0 {
			return true
		}
	}
	return false
}
