package main

import (
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

// guestOddities gives a guest a page for each entry of its own tables, in mem,
// made wrong or made in a rare way.
func (n *nestedDumper) guestOddities(g *dumpGuest, v *pagetable.Table, mem *vm.Memory) error {
	list := n.d.oddList()
	for k, o := range list {
		va, size, ok := n.d.place(k, len(list), o.level)
		if !ok || !n.d.odd && !o.good {
			continue
		}
		if err := n.oddPair(g, v, va, vm.PhysAddr(0x7000_0000+k<<12), size); err != nil {
			return err
		}
		addr, pte, _ := v.Locate(va, o.level)
		mem.Store(addr, uint64(n.first.PTESize), pte&^o.clear|o.set)
	}
	return nil
}

// hostOddities does the same with entries of the second stage.
func (n *nestedDumper) hostOddities(g *dumpGuest, v *pagetable.Table) error {
	d := *n.d // as n.d, for the second stage's format
	d.f, d.opts = n.second, n.host
	for k, o := range d.oddList() {
		gpa, ok := n.oddGPA(k, o.level)
		if !ok || !d.odd && !o.good {
			continue
		}
		if err := n.oddPair(g, v, vm.VirtAddr(0x3400_0000+k<<12), gpa, 4096); err != nil {
			return err
		}
		addr, pte, _ := g.g.Locate(vm.VirtAddr(gpa), o.level)
		d.mem.Store(addr, uint64(n.second.PTESize), pte&^o.clear|o.set)
	}
	return nil
}

// oddPair maps a page with all rights at both stages.
func (n *nestedDumper) oddPair(g *dumpGuest, v *pagetable.Table, va vm.VirtAddr, gpa vm.PhysAddr, size uint64) error {
	attr := pagetable.Attr{Perm: vm.PermR | vm.PermW | vm.PermX | vm.PermU}
	if err := v.MapAttr(va, gpa, size, size, attr); err != nil {
		return err
	}
	g.vas = append(g.vas, va+vm.VirtAddr(n.d.rng.IntN(512)*8))
	return g.g.MapAttr(vm.VirtAddr(gpa), n.d.frame(size), size, size, attr)
}

// oddGPA is the guest-physical page of the second stage's oddity k, with entries
// from the given level down that no other page shares. x86's processor has 40 address
// bits, all under one root entry, which is left as it is.
func (n *nestedDumper) oddGPA(k, level int) (vm.PhysAddr, bool) {
	if n.first.Arch == vm.ArchX86 {
		return vm.PhysAddr(k*2+100) << 30, level < len(n.second.Levels)-1
	}
	return vm.PhysAddr(k*2+100) << n.second.Levels[0].Shift, true
}

// gigapages maps pages of 1 GiB: over one of 1 GiB, over one of 2 MiB, and under
// pages of both smaller sizes. Those of the second stage hold all of RAM's data.
func (n *nestedDumper) gigapages(g *dumpGuest, v *pagetable.Table) error {
	const giga, mega = 1 << 30, 2 << 20
	d := n.d
	all := pagetable.Attr{Perm: vm.PermR | vm.PermW | vm.PermX | vm.PermU}
	host := d.frame(giga)
	data := d.ram0 + dataLo - host // where in the page data lies
	for k, size := range []uint64{giga, mega, 4096} {
		va, gpa := vm.VirtAddr(k*2+31)<<30, vm.PhysAddr(k*2+80)<<30
		if err := g.g.MapAttr(vm.VirtAddr(gpa), host, giga, giga, all); err != nil {
			return err
		}
		at, from := va, gpa
		if size < giga {
			at, from = va+vm.VirtAddr(data), gpa+data
		}
		a := d.attr()
		a.Perm |= vm.PermR
		if err := v.MapAttr(at, from, size, size, a); err != nil {
			return err
		}
		for range 3 {
			g.vas = append(g.vas, va+vm.VirtAddr(data)+vm.VirtAddr(d.rng.Uint64N(min(size, mega)))&^7)
		}
	}
	va, gpa := vm.VirtAddr(41)<<30, vm.PhysAddr(90)<<30
	if err := v.MapAttr(va, gpa, giga, giga, all); err != nil {
		return err
	}
	const off = 37 * mega
	g.vas = append(g.vas, va+off, va+off+mega-8)
	return g.g.MapAttr(vm.VirtAddr(gpa)+off, d.frame(mega), mega, mega, all)
}

// strays are addresses that no table is asked about: they are not canonical.
func (n *nestedDumper) strays() []vm.VirtAddr {
	var out []vm.VirtAddr
	for range 3 {
		bit := int(n.first.VABits) - 1 + n.d.rng.IntN(64-int(n.first.VABits))
		va := n.first.Extend(vm.VirtAddr(n.d.rng.Uint64()&^7)) ^ 1<<bit
		if !n.first.Canonical(va) {
			out = append(out, va)
		}
	}
	return out
}
