package pagetable

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/vm"
)

// Check walks the whole tree and reports every broken law. It changes nothing and
// ends on any memory: a table that is met again is not entered again.
//
//	L1  every present entry is well formed: reserved bits zero, leaves at levels
//	    that allow them, huge frames aligned, no pointer at the last level
//	L2  every table lies in memory, every page in RAM
//	L3  no frame serves as two tables (a recursive mapping is not a second one)
//	L4  no table is mapped as a page (but through a recursive mapping)
//	L5  the tables taken from the frame source are the tables of the tree
//	L6  the sixteen entries of a 64 KiB group agree
//
// O(entries).
func (t *Table) Check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := checker{t: t, tables: map[vm.PhysAddr]int{}}
	c.table(t.root, t.plan.top, 0)
	for _, l := range c.leaves {
		for pa := l.Frame; pa < l.Frame+vm.PhysAddr(l.Size()) && l.Size() <= c.span(); pa += vm.PhysAddr(t.plan.format.PageSize()) {
			if _, ok := c.tables[pa]; ok {
				c.errorf("L4: table %v is mapped as a page at %v", pa, l.Page)
			}
		}
	}
	for pa := range t.owned {
		if _, ok := c.tables[pa]; !ok {
			c.errorf("L5: table %v was taken from the frame source and is not in the tree", pa)
		}
	}
	return errors.Join(c.errs...)
}

type checker struct {
	t      *Table
	tables map[vm.PhysAddr]int // level
	leaves []vm.Entry
	errs   []error
}

// maxCheckErrors bounds the report on thoroughly damaged memory.
const maxCheckErrors = 1000

func (c *checker) errorf(format string, args ...any) {
	if len(c.errs) < maxCheckErrors {
		c.errs = append(c.errs, fmt.Errorf("pagetable: "+format, args...))
	}
}

// span is the largest page whose frames are compared with the tables one by one:
// larger ones cover all of a small memory anyhow, as a kernel's direct map does.
func (c *checker) span() uint64 { return c.t.mem.Size() }

func (c *checker) table(table vm.PhysAddr, i int, va vm.VirtAddr) {
	t, p := c.t, &c.t.plan
	if !t.mem.Contains(table, p.format.tableSize(i)) {
		c.errorf("L2: table %v of level %d, for %v, is outside memory", table, i, p.format.Extend(va))
		return
	}
	if other, ok := c.tables[table]; ok {
		if table != t.root {
			c.errorf("L3: table %v of level %d, for %v, is a table of level %d already", table, i, p.format.Extend(va), other)
		}
		return
	}
	c.tables[table] = i
	for k := range uint64(1) << p.levels[i].Bits {
		addr := table + vm.PhysAddr(k*uint64(p.format.PTESize))
		pte, _ := t.mem.Load(addr, uint64(p.format.PTESize))
		c.entry(addr, pte, i, va|vm.VirtAddr(k<<p.levels[i].Shift))
	}
}

func (c *checker) entry(addr vm.PhysAddr, pte uint64, i int, va vm.VirtAddr) {
	t, p := c.t, &c.t.plan
	kind, fault, mask := p.classify(i, pte)
	at := p.format.Extend(va)
	switch {
	case kind == entryBad && fault != vm.NotPresent:
		c.errorf("L1: entry %#x at %v, level %d, for %v: %v (bits %#x)", pte, addr, i, at, fault, mask)
	case kind == entryTable:
		c.table(p.next(pte), i-1, va)
	case kind == entryLeaf:
		frame, shift := p.frame(i, pte)
		e := vm.Entry{Page: at &^ (1<<shift - 1), Frame: frame, Shift: shift}
		if !t.inRAM(frame, e.Size()) {
			c.errorf("L2: page %v of %#x bytes, for %v, is outside RAM", frame, e.Size(), at)
		}
		if shift == napotShift && i == 0 && !t.napotWhole(addr, pte) {
			c.errorf("L6: entry %#x at %v, for %v: its 64 KiB group does not agree", pte, addr, at)
		}
		if at == e.Page {
			c.leaves = append(c.leaves, e)
		}
	}
}
