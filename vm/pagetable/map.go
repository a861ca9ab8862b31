package pagetable

import (
	"github.com/memlab-go/memlab/vm"
)

// A change alters the leaves of a range. It runs in two passes over the tree: the
// first checks everything and counts the tables it needs, which are then taken
// all at once; the second cannot fail. So a failed call changes nothing.
type change struct {
	t       *Table
	lo, hi  vm.VirtAddr    // first and last byte
	target  int            // Map: level of the new leaves
	shift   uint8          // Map: log2 of the page size
	need    [maxLevels]int // tables to take, by level
	spare   [maxLevels][]vm.PhysAddr
	attr    Attr
	pa      vm.PhysAddr // Map: frame of lo
	perm    vm.Perm     // Protect
	protect bool
}

// Map maps length bytes at va to the frames from pa on; see [vm.Mapper]. With
// PermD the pages are marked accessed and dirty from the start.
func (t *Table) Map(va vm.VirtAddr, pa vm.PhysAddr, length, pageSize uint64, perm vm.Perm) error {
	return t.MapAttr(va, pa, length, pageSize, Attr{Perm: perm})
}

// MapAttr is Map with further attributes. Page sizes are the format's, and 64 KiB
// (Svnapot). Faults: NonCanonical, BadLength, BadAlign, BadPageSize, BadPerm,
// BadFrame, AlreadyMapped, OutOfFrames. O(pages).
func (t *Table) MapAttr(va vm.VirtAddr, pa vm.PhysAddr, length, pageSize uint64, a Attr) error {
	if pageSize == 0 {
		pageSize = t.plan.format.PageSize()
	}
	level, shift, ok := t.plan.levelOf(pageSize)
	if !ok {
		return badRange(vm.BadPageSize, va)
	}
	c := &change{t: t, lo: va, hi: va + vm.VirtAddr(length-1), target: level, shift: shift, attr: a, pa: pa}
	if err := t.checkRange(va, length, pageSize); err != nil {
		return err
	}
	switch {
	case uint64(pa)%pageSize != 0:
		return badRange(vm.BadAlign, va)
	case !t.plan.expressiblePerm(a.Perm), a.MemoryType != 0 && !t.plan.opts.Svpbmt, a.MemoryType > 2:
		return badRange(vm.BadPerm, va)
	case !t.inRAM(pa, length), !t.plan.expressible(level, pa+vm.PhysAddr(length-pageSize)):
		return &vm.Fault{Kind: vm.BadFrame, VA: va, Level: -1, PA: pa}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := c.checkFree(t.root, t.plan.top, va, c.hi); f != nil {
		return f
	}
	return c.commit(func() { c.install(t.root, t.plan.top, va, c.hi) })
}

// Unmap removes the mappings of the range; see [vm.Mapper]. Tables that become
// empty go back to the frame source. Faults: NonCanonical, BadLength, BadAlign,
// NotMapped, OutOfFrames (a split needs a table). O(pages).
func (t *Table) Unmap(va vm.VirtAddr, length uint64) error {
	return t.alter(&change{t: t, lo: va, hi: va + vm.VirtAddr(length-1)}, length)
}

// Protect sets the rights of the range; see [vm.Mapper]. Accessed, dirty and
// global bits stay. Faults: those of Unmap, and BadPerm. O(pages).
func (t *Table) Protect(va vm.VirtAddr, length uint64, perm vm.Perm) error {
	if !t.plan.expressiblePerm(perm) {
		return badRange(vm.BadPerm, va)
	}
	return t.alter(&change{t: t, lo: va, hi: va + vm.VirtAddr(length-1), perm: perm, protect: true}, length)
}

func (t *Table) alter(c *change, length uint64) error {
	if err := t.checkRange(c.lo, length, t.plan.format.PageSize()); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := c.checkMapped(t.root, t.plan.top, c.lo, c.hi); f != nil {
		return f
	}
	return c.commit(func() { c.apply(t.root, t.plan.top, c.lo, c.hi) })
}

// levelOf finds the level whose leaves have the given size in bytes.
func (p *plan) levelOf(size uint64) (level int, shift uint8, ok bool) {
	if size == 1<<napotShift && p.opts.Svnapot {
		return 0, napotShift, true
	}
	for i := range p.format.Levels {
		if p.levels[i].leafOK && p.levels[i].Size() == size {
			return i, p.levels[i].Shift, true
		}
	}
	return 0, 0, false
}

// checkRange checks a range of addresses; pages have the given size.
func (t *Table) checkRange(va vm.VirtAddr, length, size uint64) error {
	f := &t.plan.format
	last := va + vm.VirtAddr(length-1)
	switch {
	case length == 0 || length%size != 0:
		return badRange(vm.BadLength, va)
	case !f.Canonical(va):
		return badRange(vm.NonCanonical, va)
	case uint64(va)%size != 0:
		return badRange(vm.BadAlign, va)
	case last < va, !f.Canonical(last), (va^last)>>(f.VABits-1)&1 != 0 && f.Signed:
		return badRange(vm.BadLength, va)
	}
	return nil
}

func badRange(kind vm.FaultKind, va vm.VirtAddr) error {
	return &vm.Fault{Kind: kind, VA: va, Level: -1}
}

// commit takes the tables that the first pass counted, then runs the second.
func (c *change) commit(second func()) error {
	for i, n := range c.need {
		for range n {
			pa, err := c.t.newTable(i)
			if err != nil {
				c.release()
				return err
			}
			c.spare[i] = append(c.spare[i], pa)
		}
	}
	c.t.seq.Add(1)
	second()
	c.t.seq.Add(1)
	c.release()
	return nil
}

// release gives back the tables that were taken and not used.
func (c *change) release() {
	for _, l := range c.spare {
		for _, pa := range l {
			c.t.freeTable(pa)
		}
	}
}

// take returns one of the tables that commit took.
func (c *change) take(i int) vm.PhysAddr {
	l := c.spare[i]
	c.spare[i] = l[:len(l)-1]
	return l[len(l)-1]
}

// piece is the part of a range that one entry covers.
type piece struct {
	addr   vm.PhysAddr // of the entry
	pte    uint64
	lo, hi vm.VirtAddr // first and last byte of the range within it
	start  vm.VirtAddr // first byte that the entry covers
	full   bool        // the range covers all of it
}

// pieces calls fn for each entry of the table at level i that [lo, hi] touches,
// until fn returns a fault.
func (t *Table) pieces(table vm.PhysAddr, i int, lo, hi vm.VirtAddr, fn func(piece) *vm.Fault) *vm.Fault {
	size := t.plan.levels[i].Size()
	for at := lo; ; {
		start := at &^ vm.VirtAddr(size-1)
		end := start + vm.VirtAddr(size-1)
		pc := piece{addr: t.plan.entryAddr(table, i, at), lo: at, hi: min(end, hi), start: start}
		pc.full = pc.lo == start && pc.hi == end
		var ok bool
		if pc.pte, ok = t.mem.Load(pc.addr, uint64(t.plan.format.PTESize)); !ok {
			return &vm.Fault{Kind: vm.BadFrame, VA: at, Level: i, PTEAddr: pc.addr, PA: table}
		}
		if f := fn(pc); f != nil {
			return f
		}
		if pc.hi == hi {
			return nil
		}
		at = end + 1
	}
}

// at makes a fault about an entry.
func (pc piece) at(kind vm.FaultKind, i int) *vm.Fault {
	return &vm.Fault{Kind: kind, VA: pc.lo, Level: i, PTEAddr: pc.addr, PTE: pc.pte}
}

// below returns the table under a table entry, or false if going there would
// go round in a circle (a recursive mapping).
func (t *Table) below(pte uint64, table vm.PhysAddr) (vm.PhysAddr, bool) {
	next := t.plan.next(pte)
	return next, next != table && next != t.root
}

// checkFree is Map's first pass: nothing may be mapped, and the missing tables
// are counted.
func (c *change) checkFree(table vm.PhysAddr, i int, lo, hi vm.VirtAddr) *vm.Fault {
	t := c.t
	return t.pieces(table, i, lo, hi, func(pc piece) *vm.Fault {
		kind, fault, _ := t.plan.classify(i, pc.pte)
		switch {
		case kind == entryBad && fault == vm.NotPresent:
			c.countTables(i, pc.lo, pc.hi)
			return nil
		case kind != entryTable:
			return pc.at(vm.AlreadyMapped, i)
		}
		next, ok := t.below(pc.pte, table)
		if !ok {
			return pc.at(vm.AlreadyMapped, i)
		}
		if i == c.target {
			if !t.empty(next, i-1) {
				return pc.at(vm.AlreadyMapped, i)
			}
			return nil
		}
		return c.checkFree(next, i-1, pc.lo, pc.hi)
	})
}

// countTables counts the tables under a missing entry at level i.
func (c *change) countTables(i int, lo, hi vm.VirtAddr) {
	for l := i - 1; l >= c.target; l-- {
		s := c.t.plan.levels[l+1].Shift
		c.need[l] += int(uint64(hi)>>s - uint64(lo)>>s + 1)
	}
}

// install is Map's second pass.
func (c *change) install(table vm.PhysAddr, i int, lo, hi vm.VirtAddr) {
	t := c.t
	t.pieces(table, i, lo, hi, func(pc piece) *vm.Fault {
		present := pc.pte&t.plan.format.Present == t.plan.format.Present
		if i == c.target {
			if present { // an empty table of an image
				t.freeTable(t.plan.next(pc.pte))
			}
			off := vm.PhysAddr(pc.start-c.lo) &^ (1<<c.shift - 1)
			t.store(pc.addr, t.plan.makeLeaf(i, c.shift, c.pa+off, c.attr))
			return nil
		}
		if present {
			c.install(t.plan.next(pc.pte), i-1, pc.lo, pc.hi)
			return nil
		}
		next := c.take(i - 1)
		c.install(next, i-1, pc.lo, pc.hi)
		t.store(pc.addr, t.plan.makeTable(i, next))
		return nil
	})
}

func (t *Table) store(addr vm.PhysAddr, pte uint64) {
	t.mem.Store(addr, uint64(t.plan.format.PTESize), pte)
}

// empty reports whether a table at level i has no present entry.
func (t *Table) empty(table vm.PhysAddr, i int) bool {
	size := uint64(t.plan.format.PTESize)
	for k := range uint64(1) << t.plan.levels[i].Bits {
		pte, ok := t.mem.Load(table+vm.PhysAddr(k*size), size)
		if ok && pte&t.plan.format.Present == t.plan.format.Present {
			return false
		}
	}
	return true
}

// checkMapped is the first pass of Unmap and Protect: no holes, and the tables
// for splits are counted.
func (c *change) checkMapped(table vm.PhysAddr, i int, lo, hi vm.VirtAddr) *vm.Fault {
	t := c.t
	return t.pieces(table, i, lo, hi, func(pc piece) *vm.Fault {
		kind, _, _ := t.plan.classify(i, pc.pte)
		switch kind {
		case entryBad:
			return pc.at(vm.NotMapped, i)
		case entryTable:
			next, ok := t.below(pc.pte, table)
			if !ok {
				return pc.at(vm.Misuse, i)
			}
			return c.checkMapped(next, i-1, pc.lo, pc.hi)
		}
		if !pc.full {
			return c.countSplit(pc, i)
		}
		return nil
	})
}

// countSplit counts the tables that cutting a huge leaf takes: one a level for
// each end of the range that lies inside it.
func (c *change) countSplit(pc piece, i int) *vm.Fault {
	p, l := &c.t.plan, i-1
	frame, ok := p.divisible(i, pc.pte)
	if !ok {
		return pc.at(vm.BadPageSize, i)
	}
	c.need[l]++
	if l == 0 {
		return nil
	}
	mask := vm.VirtAddr(p.levels[l].Size() - 1)
	loCut, hiCut := pc.lo&mask != 0, (pc.hi+1)&mask != 0
	switch same := pc.lo&^mask == pc.hi&^mask; {
	case same && (loCut || hiCut), !same && loCut:
		sub := piece{lo: pc.lo, hi: min(pc.hi, pc.lo|mask), pte: p.makeLeaf(l, p.levels[l].Shift, frame, p.attr(i, pc.pte))}
		if f := c.countSplit(sub, l); f != nil || same || !hiCut {
			return f
		}
		fallthrough
	case !same && hiCut:
		sub := piece{lo: pc.hi &^ mask, hi: pc.hi, pte: p.makeLeaf(l, p.levels[l].Shift, frame, p.attr(i, pc.pte))}
		return c.countSplit(sub, l)
	}
	return nil
}

// divisible reports whether a huge leaf at level i can be cut into leaves one level
// down, and returns its frame.
func (p *plan) divisible(i int, pte uint64) (frame vm.PhysAddr, ok bool) {
	frame, _ = p.frame(i, pte)
	return frame, p.levels[i-1].leafOK && p.expressible(i-1, frame)
}

// apply is the second pass of Unmap and Protect.
func (c *change) apply(table vm.PhysAddr, i int, lo, hi vm.VirtAddr) {
	t := c.t
	t.pieces(table, i, lo, hi, func(pc piece) *vm.Fault {
		kind, _, _ := t.plan.classify(i, pc.pte)
		if kind == entryLeaf && !pc.full {
			c.split(pc, i)
			pc.pte, _ = t.mem.Load(pc.addr, uint64(t.plan.format.PTESize))
			kind = entryTable
		}
		if kind == entryTable {
			next := t.plan.next(pc.pte)
			c.apply(next, i-1, pc.lo, pc.hi)
			if !c.protect && t.empty(next, i-1) {
				t.store(pc.addr, 0)
				t.freeTable(next)
			}
			return nil
		}
		if pc.pte&t.plan.format.NapotBit != 0 && i == 0 {
			pc.pte = c.cutNapot(pc, lo, hi)
		}
		if c.protect {
			t.store(pc.addr, t.plan.setRights(i, pc.pte, c.perm))
		} else {
			t.store(pc.addr, 0)
		}
		return nil
	})
}

// split replaces a huge leaf by a table of leaves one level down.
func (c *change) split(pc piece, i int) {
	t, p := c.t, &c.t.plan
	next := c.take(i - 1)
	frame, _ := p.frame(i, pc.pte)
	a, l := p.attr(i, pc.pte), &p.levels[i-1]
	for k := range uint64(1) << l.Bits {
		leaf := p.makeLeaf(i-1, l.Shift, frame+vm.PhysAddr(k<<l.Shift), a)
		t.store(next+vm.PhysAddr(k*uint64(p.format.PTESize)), leaf)
	}
	t.store(pc.addr, p.makeTable(i, next))
}

// cutNapot makes plain pages of a 64 KiB group that the range covers only in
// part, and returns the entry in hand as it is then.
func (c *change) cutNapot(pc piece, lo, hi vm.VirtAddr) uint64 {
	t, p := c.t, &c.t.plan
	group := pc.start &^ (1<<napotShift - 1)
	if c.lo <= group && c.hi >= group+1<<napotShift-1 {
		return pc.pte
	}
	frame, _ := p.frame(0, pc.pte)
	first := pc.addr - vm.PhysAddr(uint64(pc.start-group)>>12*8)
	for k := range uint64(16) {
		at := first + vm.PhysAddr(8*k)
		pte, _ := t.mem.Load(at, 8)
		if pte&p.format.NapotBit == 0 || pte&p.format.Present == 0 {
			continue
		}
		t.store(at, p.makeLeaf(0, 12, frame+vm.PhysAddr(k<<12), p.attr(0, pte)))
	}
	pte, _ := t.mem.Load(pc.addr, 8)
	return pte
}
