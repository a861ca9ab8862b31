package pagetable

import "github.com/memlab-go/memlab/vm"

// Split cuts the huge page that maps va into pages of the next smaller size the
// format has, with the same frames, rights and bits: no translation changes. A
// 64 KiB group of Svnapot becomes sixteen pages. Faults: NotMapped, BadPageSize
// (there is no smaller size, or its entries cannot hold the frame), OutOfFrames.
func (t *Table) Split(va vm.VirtAddr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, pte, i, f := t.leafOf(va)
	if f != nil {
		return &vm.Fault{Kind: vm.NotMapped, VA: va, Level: f.Level, PTEAddr: f.PTEAddr, PTE: f.PTE}
	}
	c := &change{t: t, lo: va, hi: va}
	page := vm.VirtAddr(t.plan.levels[i].Size())
	pc := piece{addr: addr, pte: pte, lo: va &^ (page - 1), hi: va | (page - 1), start: va &^ (page - 1)}
	if i == 0 {
		if pte&t.plan.format.NapotBit == 0 {
			return pc.at(vm.BadPageSize, 0)
		}
		return c.commit(func() { c.cutNapot(pc, va, va) })
	}
	if _, ok := t.plan.divisible(i, pte); !ok {
		return pc.at(vm.BadPageSize, i)
	}
	c.need[i-1]++
	return c.commit(func() { c.split(pc, i) })
}

// Merge makes one huge page of the table of pages around va, if they are all
// mapped, adjacent and aligned in physical memory, and alike in rights; it is
// the inverse of Split. The huge page is accessed or dirty if one of them was.
// With Svnapot, sixteen pages of 4 KiB become a 64 KiB group if size says so.
// Faults: NotMapped, BadPageSize (no page of that size in bytes), BadAlign, Misuse
// (pages that differ).
func (t *Table) Merge(va vm.VirtAddr, size uint64) error {
	i, shift, ok := t.plan.levelOf(size)
	if !ok || size == t.plan.format.PageSize() {
		return badRange(vm.BadPageSize, va)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	va &^= vm.VirtAddr(size - 1)
	if shift == napotShift && i == 0 {
		return t.mergeNapot(va)
	}
	addr, pte, ok := t.locate(va, i)
	if !ok {
		return badRange(vm.NotMapped, va)
	}
	if kind, _, _ := t.plan.classify(i, pte); kind != entryTable {
		return &vm.Fault{Kind: vm.NotMapped, VA: va, Level: i, PTEAddr: addr, PTE: pte}
	}
	table := t.plan.next(pte)
	frame, a, f := t.alike(table, va, i-1, 1<<t.plan.levels[i-1].Bits)
	if f != nil {
		return f
	}
	if uint64(frame)%size != 0 || !t.plan.expressible(i, frame) {
		return badRange(vm.BadAlign, va)
	}
	t.seq.Add(1)
	t.store(addr, t.plan.makeLeaf(i, shift, frame, t.inherit(i, pte, a)))
	t.seq.Add(1)
	t.freeTable(table)
	return nil
}

// inherit takes from a what the table entry above did not let through.
func (t *Table) inherit(i int, pte uint64, a Attr) Attr {
	grant, deny := t.plan.tableRights(i, pte)
	a.Perm = a.Perm&(grant|vm.PermPXN) | deny
	a.Global = a.Global || t.plan.global(i, pte, false)
	return a
}

// mergeNapot makes a 64 KiB group of sixteen pages.
func (t *Table) mergeNapot(va vm.VirtAddr) error {
	addr, _, ok := t.locate(va, 0)
	if !ok {
		return badRange(vm.NotMapped, va)
	}
	frame, a, f := t.alike(addr, va, 0, 16)
	if f != nil {
		return f
	}
	if uint64(frame)%(1<<napotShift) != 0 {
		return badRange(vm.BadAlign, va)
	}
	t.seq.Add(1)
	for k := range vm.PhysAddr(16) {
		t.store(addr+8*k, t.plan.makeLeaf(0, napotShift, frame, a))
	}
	t.seq.Add(1)
	return nil
}

// alike checks that n entries from first on are leaves of adjacent frames that
// agree in everything but the accessed and dirty bits, which it joins.
func (t *Table) alike(first vm.PhysAddr, va vm.VirtAddr, i, n int) (frame vm.PhysAddr, a Attr, f *vm.Fault) {
	p, size := &t.plan, uint64(t.plan.format.PTESize)
	for k := range n {
		addr := first + vm.PhysAddr(uint64(k)*size)
		pte, _ := t.mem.Load(addr, size)
		at := va + vm.VirtAddr(uint64(k)<<p.levels[i].Shift)
		kind, _, _ := p.classify(i, pte)
		if kind == entryBad {
			return 0, a, &vm.Fault{Kind: vm.NotMapped, VA: at, Level: i, PTEAddr: addr, PTE: pte}
		}
		fr, shift := p.frame(i, pte)
		b := p.attr(i, pte)
		if k == 0 {
			frame, a = fr, b
		}
		a.Accessed, a.Perm = a.Accessed || b.Accessed, a.Perm|b.Perm&vm.PermD
		b.Accessed, b.Perm = a.Accessed, b.Perm|a.Perm&vm.PermD
		if kind != entryLeaf || shift != p.levels[i].Shift || b != a || fr != frame+vm.PhysAddr(uint64(k)<<shift) {
			return 0, a, &vm.Fault{Kind: vm.Misuse, VA: at, Level: i, PTEAddr: addr, PTE: pte, Note: "pages differ"}
		}
	}
	return frame, a, nil
}

// Recursive makes the root's entry number slot point to the root itself, so that
// every table appears as a page of the address space: the old trick by which
// 32-bit kernels reached their page tables. It returns the address at which the
// entry for address 0 at the last level appears; the one for va follows at
// (va >> page shift) * entry size. User code is kept out. Recursive mappings are legal: a walk through one
// spends levels going round and ends, as every walk, after the last level.
//
// It works where one bit pattern is both a table entry and a leaf: on x86 (but
// not with PAE) and Arm. Elsewhere the fault is Misuse: a RISC-V pointer has R, W
// and X clear, and so is no leaf at the last level. AlreadyMapped if the entry is
// in use.
func (t *Table) Recursive(slot int) (vm.VirtAddr, error) {
	f, l := &t.plan.format, &t.plan.levels[t.plan.top]
	if f.LeafAny != 0 || l.Plain || slot < 0 || uint64(slot) > l.index {
		return 0, &vm.Fault{Kind: vm.Misuse, Level: t.plan.top, Note: "the format has no recursive mappings there"}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	addr := t.root + vm.PhysAddr(slot)*vm.PhysAddr(f.PTESize)
	if pte, _ := t.mem.Load(addr, uint64(f.PTESize)); pte&f.Present != 0 {
		return 0, &vm.Fault{Kind: vm.AlreadyMapped, Level: t.plan.top, PTEAddr: addr, PTE: pte}
	}
	t.seq.Add(1)
	t.store(addr, t.plan.makeTable(t.plan.top, t.root)&^f.TableUser|f.Accessed|f.NoExec&^t.plan.levels[0].reserved|f.PXN|f.NotGlobal)
	t.seq.Add(1)
	return f.Extend(vm.VirtAddr(slot) << l.Shift), nil
}

// PageSizes returns the sizes in bytes that pages of the table may have, the
// smallest first; a group of Svnapot is one.
func (t *Table) PageSizes() []uint64 {
	var out []uint64
	for i := range t.plan.levels {
		if t.plan.levels[i].leafOK {
			out = append(out, t.plan.levels[i].Size())
		}
		if i == 0 && t.plan.opts.Svnapot {
			out = append(out, 1<<napotShift)
		}
	}
	return out
}
