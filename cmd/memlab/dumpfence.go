package main

import (
	"maps"
	"slices"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// A fencer asks what a processor may answer while software changes tables, with
// and without the fence that the change needs. It keeps, for every tag and page,
// the set of translations that may be cached: whatever was current under the tag
// since the last fence that covers it. An answer must be one of them or the
// current one; after the right fence only the current one is left.
type fencer struct {
	d      *dumper
	a, b   *dumpSpace
	frames [2][fencePages]vm.PhysAddr // by space

	local  map[vm.ASID]*[fencePages]outcomeSet
	global [fencePages]outcomeSet
	active *dumpSpace
	tag    vm.ASID
}

const (
	fencePages  = 8
	fencePage   = vm.VirtAddr(0x2000_0000) // address of page 0
	shared      = 5                        // global in both spaces, the same frame
	globalOne   = 6                        // global in a, absent in b
	onlyInA     = 7
	fenceAccess = vm.Read | vm.User
	fenceRights = vm.PermR | vm.PermW | vm.PermX | vm.PermU | vm.PermD
	fenceTagA   = vm.ASID(41)
	fenceTagB   = vm.ASID(42)
)

// An outcomeSet is a set of answers by their key.
type outcomeSet map[string]dumpOutcome

// fences adds two address spaces with the same virtual pages.
func (d *dumper) fences() (*fencer, error) {
	w := &fencer{d: d, local: map[vm.ASID]*[fencePages]outcomeSet{}}
	for n, s := range []**dumpSpace{&w.a, &w.b} {
		var err error
		if *s, err = d.space([]vm.ASID{fenceTagA, fenceTagB}[n], true); err != nil {
			return nil, err
		}
		for i := range fencePages {
			w.frames[n][i] = d.frame(4096)
			if n == 1 && (i == globalOne || i == onlyInA) {
				continue
			}
			if i == shared {
				w.frames[n][i] = w.frames[0][i]
			}
			attr := pagetable.Attr{Perm: fenceRights, Global: i == shared || i == globalOne}
			if err := (*s).t.MapAttr(w.va(i), w.frames[n][i], 4096, 4096, attr); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

func (w *fencer) va(page int) vm.VirtAddr { return fencePage + vm.VirtAddr(page)<<12 }

// current is what a walk of s answers for a page now, and whether it is global.
func (w *fencer) current(s *dumpSpace, page int, acc vm.Access) (dumpOutcome, bool) {
	va := w.va(page) + vm.VirtAddr(8*page)
	e, f := s.t.Probe(va)
	if f == nil {
		return outcomePA(e.Addr(va)), e.Global
	}
	_, f = s.t.Walk(va, acc)
	return outcomeOf(0, f), false
}

// activate lets the processor look: all that s maps may be cached from now on.
// A missing translation is never cached.
func (w *fencer) activate(s *dumpSpace, tag vm.ASID) {
	w.active, w.tag = s, tag
	if w.local[tag] == nil {
		w.local[tag] = new([fencePages]outcomeSet)
	}
	for i := range fencePages {
		o, global := w.current(s, i, fenceAccess)
		set := &w.local[tag][i]
		if global {
			set = &w.global[i]
		}
		if o.PA != nil {
			if *set == nil {
				*set = outcomeSet{}
			}
			(*set)[o.key()] = o
		}
	}
}

// fence forgets what the fence covers. On x86 a fence by tag is a load of CR3 and
// one by address INVLPG, which takes a global page with it.
func (w *fencer) fence(kind any, page int) {
	x86 := w.d.f.Arch == vm.ArchX86
	dropTag := func(tag vm.ASID) { delete(w.local, tag) }
	switch kind {
	case nil, "all":
		if kind == nil && x86 {
			dropTag(w.tag)
			break
		}
		w.local = map[vm.ASID]*[fencePages]outcomeSet{}
		w.global = [fencePages]outcomeSet{}
	case "asid":
		dropTag(w.tag)
	case "va", "va+asid":
		for tag, pages := range w.local {
			if tag == w.tag || kind == "va" && !x86 {
				pages[page] = nil
			}
		}
		if x86 || kind == "va" {
			w.global[page] = nil
		}
	}
	w.activate(w.active, w.tag)
}

// ask lists one access to a page of s under a tag.
func (w *fencer) ask(s *dumpSpace, tag vm.ASID, page int, op vm.Access, flush any, write ...dumpStore) {
	w.activate(s, tag)
	for _, st := range write {
		w.d.mem.Store(vm.PhysAddr(st.PA), st.Size, uint64(st.Value))
	}
	w.activate(s, tag)
	if flush != false {
		w.fence(flush, page)
	}
	acc := op | vm.User
	if w.d.f.Arch == vm.ArchARM {
		acc &^= vm.Execute
	}
	s.t.Walk(w.va(page), acc) // marks the tables as accessed
	all := outcomeSet{}
	o, _ := w.current(s, page, acc)
	all[o.key()] = o
	for _, set := range []outcomeSet{w.local[tag][page], w.global[page]} {
		for k, v := range set {
			all[k] = v
		}
	}
	w.list(s, tag, page, acc, flush, write, all, o)
}

func (w *fencer) list(s *dumpSpace, tag vm.ASID, page int, acc vm.Access, flush any, write []dumpStore, all outcomeSet, first dumpOutcome) {
	q := query(w.va(page)+vm.VirtAddr(8*page), acc, s.t.Root(), w.d.f.Arch == vm.ArchRISCV, false)
	q.ASID, q.Flush, q.Write = w.d.tag(tag), flush, write
	if len(all) == 1 {
		q.Expect = &first
	} else {
		q.ExpectAny = append(q.ExpectAny, first)
		delete(all, first.key())
		for _, k := range slices.Sorted(maps.Keys(all)) {
			q.ExpectAny = append(q.ExpectAny, all[k])
		}
	}
	w.d.c.Queries = append(w.d.c.Queries, q)
}

// change makes the store that maps a page of s to another frame, or unmaps it.
func (w *fencer) change(s *dumpSpace, page int, frame vm.PhysAddr) dumpStore {
	addr, pte, _ := s.t.Locate(w.va(page), 0)
	st := dumpStore{PA: hexa(addr), Size: uint64(w.d.f.PTESize)}
	if frame != 0 {
		st.Value = hexa(s.t.WithFrame(pte, frame))
	}
	return st
}

// run asks the questions.
func (w *fencer) run() {
	a, b, none := w.a, w.b, false
	free := func() vm.PhysAddr { return w.d.frame(4096) }
	w.ask(a, fenceTagA, 0, vm.Read, nil)
	for i := range 5 {
		w.ask(a, fenceTagA, i, vm.Read, none)
	}
	for i := range 5 { // another tag: nothing of a may be seen
		w.ask(b, fenceTagB, i, vm.Access(i%2), none)
	}
	for i := range 5 {
		w.ask(a, fenceTagA, i, vm.Access((i+1)%2), none)
	}
	w.ask(a, fenceTagA, shared, vm.Read, none)
	w.ask(b, fenceTagB, shared, vm.Write, none)
	w.ask(a, fenceTagA, globalOne, vm.Read, none)
	if w.d.odd {
		w.ask(b, fenceTagB, onlyInA, vm.Read, none)
		w.ask(b, fenceTagB, globalOne, vm.Read, none) // global in a: may be seen in b
		w.ask(b, fenceTagB, globalOne, vm.Read, "all")
	}
	for n, kind := range []any{"va", "asid", "va+asid", nil, "all"} { // changed: old or new; after the fence, new
		w.ask(a, fenceTagA, n, vm.Access(n%2), none, w.change(a, n, free()))
		w.ask(a, fenceTagA, n, vm.Access(n%2), kind)
		w.ask(b, fenceTagB, n, vm.Read, none)
	}
	if w.d.odd {
		w.ask(a, fenceTagA, 1, vm.Write, none, w.change(a, 1, 0))
		w.ask(a, fenceTagA, 1, vm.Write, "va+asid")
		w.ask(a, fenceTagA, 1, vm.Read, none)
	}
	for _, kind := range []any{"asid", "va+asid", "all"} { // a global page: a fence by tag may keep it
		w.ask(a, fenceTagA, shared, vm.Read, none, w.change(a, shared, free()))
		w.ask(a, fenceTagA, shared, vm.Read, kind)
	}
	w.ask(b, fenceTagB, shared, vm.Read, none)
	w.ask(b, fenceTagA, 4, vm.Read, none) // a tag taken over by another space
	w.ask(b, fenceTagA, 4, vm.Read, "asid")
	w.ask(b, fenceTagA, 3, vm.Write, none)
	w.ask(a, fenceTagA, 3, vm.Read, nil)
}
