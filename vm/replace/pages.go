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
// reference. It is an open hash table with linear probing, at most half full;
// pages are never taken out. The zero Pages is empty and ready.
//
// One Pages serves any number of simulations of the same trace, which then need
// no hash table of their own.
type Pages struct {
	slots []pageSlot
	shift uint8    // hash bits are the top 64-shift
	pages []uint64 // by number
}

// pageSlot is a place of the table; key is the page number plus 1, 0 if free.
type pageSlot struct {
	key uint64
	id  uint32
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
	mask := uint64(len(t.slots) - 1)
	for i := (page + 1) * fibonacci >> t.shift; ; i++ {
		s := &t.slots[i&mask]
		if s.key == page+1 {
			return vm.PageID(s.id)
		}
		if s.key == 0 {
			return vm.PageID(t.add(s, page))
		}
	}
}

// add gives page the next number and the free slot s.
func (t *Pages) add(s *pageSlot, page uint64) uint32 {
	if uint64(len(t.pages)) >= MaxPages {
		panic(ErrTooManyPages)
	}
	id := uint32(len(t.pages))
	t.pages = append(t.pages, page)
	*s = pageSlot{page + 1, id}
	if 2*len(t.pages) > len(t.slots) {
		t.grow()
	}
	return id
}

// grow doubles the table.
func (t *Pages) grow() {
	n := max(2*len(t.slots), 1024)
	t.slots = make([]pageSlot, n)
	t.shift = uint8(64 - bits.TrailingZeros(uint(n)))
	mask := uint64(n - 1)
	for id, page := range t.pages {
		i := (page + 1) * fibonacci >> t.shift
		for t.slots[i&mask].key != 0 {
			i++
		}
		t.slots[i&mask] = pageSlot{page + 1, uint32(id)}
	}
}

// Refs turns accesses into numbered references: refs[i] is accs[i]. It panics
// like [Pages.Number]. len(refs) must be at least len(accs).
func (t *Pages) Refs(accs []Access, refs []Ref) {
	refs = refs[:len(accs)]
	if len(t.slots) == 0 {
		t.grow()
	}
	slots := t.slots
	mask := uint64(len(slots) - 1)
	shift := t.shift & 63
	for i, a := range accs {
		key := uint64(a>>1) + 1
		h := key * fibonacci >> shift
		for slots[h&mask].key != key {
			if slots[h&mask].key == 0 {
				t.add(&slots[h&mask], key-1)
				slots, shift = t.slots, t.shift&63
				mask = uint64(len(slots) - 1)
				h = key * fibonacci >> shift
				continue
			}
			h++
		}
		refs[i] = Ref(slots[h&mask].id)<<1 | Ref(a&1)
	}
}
