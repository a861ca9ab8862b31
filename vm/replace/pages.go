package replace

import (
	"errors"
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// A Ref is one reference of a numbered trace: a page and whether it is written.
type Ref uint32

// MaxPages is the largest number of distinct pages of one trace.
const MaxPages = 1 << 31

// ErrTooManyPages says that a trace has more than [MaxPages] distinct pages.
var ErrTooManyPages = errors.New("replace: more than 2^31 distinct pages")

// MakeRef returns the reference to p, which must be below [MaxPages].
func MakeRef(p vm.PageID, write bool) Ref {
	r := Ref(p) << 1
	if write {
		r |= 1
	}
	return r
}

// Page returns the page.
func (r Ref) Page() vm.PageID { return vm.PageID(r >> 1) }

// Write reports whether the reference writes.
func (r Ref) Write() bool { return r&1 != 0 }

// An Access is one reference as a trace has it: the page number above one bit
// that says whether it writes. Page numbers have at most 63 bits.
type Access uint64

// MakeAccess returns the reference to page, which must be below 2^63.
func MakeAccess(page uint64, write bool) Access {
	a := Access(page) << 1
	if write {
		a |= 1
	}
	return a
}

// Pages numbers the pages of a trace 0, 1, 2, … in the order of their first
// reference. It is an open hash table with linear probing, at most three quarters full; pages
// are never taken out, so that those that came early, which are mostly the busy
// ones, are found at once, and a table that fits a cache counts for more than short
// searches. The zero Pages is empty and ready.
//
// One Pages serves any number of simulations of the same trace, which then need
// no hash table of their own.
type Pages struct {
	slots []pageSlot
	shift uint8    // hash bits are the top 64-shift
	pages []uint64 // by number
}

// pageSlot is a place of the table. Key is the page number above a set bit, as in
// an [Access] that writes; 0 if the slot is free.
type pageSlot struct {
	key uint64
	ref Ref // a read of the page
}

// fibonacci is 2^64 divided by the golden ratio: multiplying by it spreads
// consecutive numbers evenly (Knuth, volume 3, section 6.4).
const fibonacci = 0x9e3779b97f4a7c15

// Len returns how many pages were numbered.
func (t *Pages) Len() int { return len(t.pages) }

// Page returns the page that has the number p.
func (t *Pages) Page(p vm.PageID) uint64 { return t.pages[p] }

// Number returns the number of page, a new one if it is new. It panics with
// [ErrTooManyPages] beyond [MaxPages]; page must be below 2^63.
func (t *Pages) Number(page uint64) vm.PageID {
	if len(t.slots) == 0 {
		t.grow()
	}
	key := page<<1 | 1
	for i := key * fibonacci >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.key == key {
			return s.ref.Page()
		}
		if s.key == 0 {
			return t.add(s, key).Page()
		}
	}
}

// add gives the page of key the next number and the free slot s.
func (t *Pages) add(s *pageSlot, key uint64) Ref {
	if uint64(len(t.pages)) >= MaxPages {
		panic(ErrTooManyPages)
	}
	ref := Ref(len(t.pages)) << 1
	t.pages = append(t.pages, key>>1)
	*s = pageSlot{key, ref}
	if 4*len(t.pages) > 3*len(t.slots) {
		t.grow()
	}
	return ref
}

// grow makes the table twice as large.
func (t *Pages) grow() {
	n := max(2*len(t.slots), 1024)
	t.slots = make([]pageSlot, n)
	t.shift = uint8(64 - bits.TrailingZeros(uint(n)))
	for id, page := range t.pages {
		key := page<<1 | 1
		i := key * fibonacci >> t.shift
		for t.slots[i&uint64(n-1)].key != 0 {
			i++
		}
		t.slots[i&uint64(n-1)] = pageSlot{key, Ref(id) << 1}
	}
}

// Refs turns accesses into numbered references: refs[i] is accs[i]. It panics
// like [Pages.Number]. len(refs) must be at least len(accs).
func (t *Pages) Refs(accs []Access, refs []Ref) {
	refs = refs[:len(accs)]
	if len(t.slots) == 0 {
		t.grow()
	}
	slots, shift := t.slots, t.shift
	for i, a := range accs {
		key := uint64(a) | 1
		h := key * fibonacci >> (shift & 63)
		s := &slots[h]
		if s.key != key {
			refs[i] = MakeRef(t.Number(uint64(a>>1)), a&1 != 0)
			slots, shift = t.slots, t.shift
			continue
		}
		refs[i] = s.ref | Ref(a&1)
	}
}
