package pagetable

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// Mappings yields the leaf mappings in order of address, with the rights of all
// levels combined; Refs is 0. Malformed entries are skipped ([Table.Check] names
// them), and a recursive mapping is not entered. The table must not change while
// it runs.
func (t *Table) Mappings() iter.Seq[vm.Entry] {
	return func(yield func(vm.Entry) bool) {
		for s := range t.tree() {
			if s.kind == entryLeaf && !yield(s.leaf) {
				return
			}
		}
	}
}

// A node is one present entry, met on a tour of the tree.
type node struct {
	kind      entryKind
	level     int
	va        vm.VirtAddr // first address covered
	addr      vm.PhysAddr // of the entry
	pte       uint64
	table     vm.PhysAddr // that the entry is in
	recursive bool        // a table entry that points back up
	leaf      vm.Entry    // of a leaf
	fault     vm.FaultKind
	mask      uint64
}

// tree yields every present entry, parents before children, by address.
func (t *Table) tree() iter.Seq[node] {
	return func(yield func(node) bool) {
		w := tour{t: t, yield: yield, budget: t.mem.Size()/t.plan.format.tableSize(0) + 1}
		w.table(t.root, t.plan.top, 0, allRights, 0, false)
	}
}

// A tour walks the tree depth first. Damaged tables may be shared many times
// over, so it stops after as many tables as memory could hold.
type tour struct {
	t      *Table
	yield  func(node) bool
	path   [maxLevels]vm.PhysAddr
	budget uint64
}

func (w *tour) table(table vm.PhysAddr, i int, va vm.VirtAddr, grant, deny vm.Perm, global bool) bool {
	if w.budget == 0 {
		return false
	}
	w.budget--
	t, p := w.t, &w.t.plan
	w.path[i] = table
	size := uint64(p.format.PTESize)
	for k := range uint64(1) << p.levels[i].Bits {
		n := node{level: i, table: table, addr: table + vm.PhysAddr(k*size)}
		n.va = p.format.Extend(va | vm.VirtAddr(k<<p.levels[i].Shift))
		var ok bool
		if n.pte, ok = t.mem.Load(n.addr, size); !ok {
			return true // outside memory: Check says so
		}
		n.kind, n.fault, n.mask = p.classify(i, n.pte)
		if n.kind == entryBad && n.fault == vm.NotPresent {
			continue
		}
		g := global || p.global(i, n.pte, n.kind == entryLeaf)
		switch n.kind {
		case entryLeaf:
			n.leaf = t.leafEntry(n, grant, deny, g)
			if size := n.leaf.Size(); n.leaf.Shift == napotShift && i == 0 {
				if !t.napotWhole(n.addr, n.pte) { // not one page to hardware either: each entry for itself
					n.leaf.Page, n.leaf.Shift = n.va, p.levels[0].Shift
					n.leaf.Frame += vm.PhysAddr(uint64(n.va) & (size - 1))
				} else if uint64(n.va)&(size-1) != 0 {
					continue
				}
			}
		case entryTable:
			n.recursive = w.onPath(p.next(n.pte), i)
		}
		if !w.yield(n) {
			return false
		}
		if n.kind == entryTable && !n.recursive {
			gr, de := p.tableRights(i, n.pte)
			if !w.table(p.next(n.pte), i-1, n.va, grant&gr, deny|de, g) {
				return false
			}
		}
	}
	return true
}

func (w *tour) onPath(table vm.PhysAddr, i int) bool {
	for l := w.t.plan.top; l >= i; l-- {
		if w.path[l] == table {
			return true
		}
	}
	return false
}

// leafEntry makes the mapping of a leaf.
func (t *Table) leafEntry(n node, grant, deny vm.Perm, global bool) vm.Entry {
	frame, shift := t.plan.frame(n.level, n.pte)
	return vm.Entry{
		Page: n.va &^ (1<<shift - 1), Frame: frame, Shift: shift, Level: int8(n.level), Global: global,
		Perm: t.plan.leafRights(n.pte)&(grant|vm.PermPXN|t.plan.always) | deny,
	}
}

// napotWhole reports whether the sixteen entries around addr agree in everything
// but the accessed and dirty bits, as Svnapot demands.
func (t *Table) napotWhole(addr vm.PhysAddr, pte uint64) bool {
	differ := ^(t.plan.format.Accessed | t.plan.format.Dirty)
	for k := range vm.PhysAddr(16) {
		v, ok := t.mem.Load(addr&^127+8*k, 8)
		if !ok || (v^pte)&differ != 0 {
			return false
		}
	}
	return true
}

// Locate returns the entry for va at the given level (0 is the last), and where
// it is, if the tables above it lead there.
func (t *Table) Locate(va vm.VirtAddr, level int) (addr vm.PhysAddr, pte uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.locate(va, level)
}

func (t *Table) locate(va vm.VirtAddr, level int) (addr vm.PhysAddr, pte uint64, ok bool) {
	p, table := &t.plan, t.root
	if !p.format.Canonical(va) || level > p.top || level < 0 {
		return 0, 0, false
	}
	for i := p.top; ; i-- {
		addr = p.entryAddr(table, i, va)
		if pte, ok = t.mem.Load(addr, uint64(p.format.PTESize)); !ok || i == level {
			return addr, pte, ok
		}
		if kind, _, _ := p.classify(i, pte); kind != entryTable {
			return 0, 0, false
		}
		table = p.next(pte)
	}
}

// leafOf finds the leaf that maps va.
func (t *Table) leafOf(va vm.VirtAddr) (addr vm.PhysAddr, pte uint64, level int, f *vm.Fault) {
	w := walker{t: t, va: va, mode: modeProbe}
	if !w.run() {
		return 0, 0, 0, w.takeFault()
	}
	s := w.path[w.level]
	return s.host, s.pte, w.level, nil
}

// Used returns the accessed and dirty bits of the page at va; see [vm.Aging].
func (t *Table) Used(va vm.VirtAddr) (accessed, dirty bool, f *vm.Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, pte, i, f := t.leafOf(va)
	if f != nil {
		return false, false, f
	}
	a := t.plan.attr(i, pte)
	return a.Accessed, a.Perm&vm.PermD != 0, nil
}

// SetUsed sets the accessed and dirty bits of the page at va to the given
// values, in every entry of a 64 KiB group. The TLB is not told.
func (t *Table) SetUsed(va vm.VirtAddr, accessed, dirty bool) *vm.Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, pte, i, f := t.leafOf(va)
	if f != nil {
		return f
	}
	n := vm.PhysAddr(1)
	if pte&t.plan.format.NapotBit != 0 {
		addr, n = addr&^127, 16
	}
	for k := range n {
		t.setUsed(addr+k*vm.PhysAddr(t.plan.format.PTESize), i, accessed, dirty)
	}
	return nil
}

func (t *Table) setUsed(addr vm.PhysAddr, i int, accessed, dirty bool) {
	f, size := &t.plan.format, uint64(t.plan.format.PTESize)
	for {
		pte, _ := t.mem.Load(addr, size)
		r := t.plan.leafRights(pte) &^ vm.PermD
		if dirty {
			r |= vm.PermD
		}
		v := pte&^(f.Accessed|f.Dirty|f.ReadOnly|f.DirtyModifier) | t.plan.rightsBits(r)&(f.Dirty|f.ReadOnly|f.DirtyModifier)
		if accessed {
			v |= f.Accessed
		}
		if t.mem.CompareAndSwap(addr, size, pte, v) {
			return
		}
	}
}

// A TableFrame is a table of the tree: where it is, and its level (0 is the last).
type TableFrame struct {
	Addr  vm.PhysAddr
	Level int
}

// Tables yields every table of the tree, the root first, parents before children:
// the frames that an image of the address space must hold. The table must not
// change while it runs.
func (t *Table) Tables() iter.Seq[TableFrame] {
	return func(yield func(TableFrame) bool) {
		if !yield(TableFrame{t.root, t.plan.top}) {
			return
		}
		for n := range t.tree() {
			if n.kind == entryTable && !n.recursive && !yield(TableFrame{t.plan.next(n.pte), n.level - 1}) {
				return
			}
		}
	}
}
