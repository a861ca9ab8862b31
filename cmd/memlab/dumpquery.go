package main

import (
	"github.com/memlab-go/memlab/vm"
)

// accessKinds are the accesses asked of each page. The judge of AArch64 knows no
// instruction fetches.
func (d *dumper) accessKinds() []vm.Access {
	kinds := []vm.Access{vm.Read, vm.Write, vm.Read | vm.User, vm.Write | vm.User}
	if d.f.Arch != vm.ArchARM {
		kinds = append(kinds, vm.Execute, vm.Execute|vm.User)
	}
	return kinds
}

// accesses asks for every page of a space in the ways that there are.
func (d *dumper) accesses(s *dumpSpace) {
	for _, e := range s.pages {
		kinds := d.accessKinds()
		if !d.odd { // only some succeed
			kinds = append(kinds, kinds...)
		}
		for _, acc := range kinds {
			if d.f.Arch == vm.ArchRISCV {
				acc |= vm.Access(d.rng.IntN(4)) * vm.SUM // SUM and MXR, on or off
			}
			if va, ok := d.inside(e); ok {
				d.ask(s, va, acc)
			}
		}
	}
}

// inside draws an address of a page whose physical address is fit for a data
// access: in RAM, away from tables and from what the judge keeps for itself.
func (d *dumper) inside(e vm.Entry) (vm.VirtAddr, bool) {
	lo, hi := d.ram0+dataLo, d.ram0+dataHi
	first, last := max(e.Frame, lo), min(e.Frame+vm.PhysAddr(e.Size()-1), hi-1)
	if first >= last {
		return 0, false
	}
	pa := first + vm.PhysAddr(d.rng.Uint64N(uint64(last-first)))&^7
	return e.Page + vm.VirtAddr(pa-e.Frame), true
}

// ask makes one access after a fence of everything. With an even seed only
// accesses that succeed are listed.
func (d *dumper) ask(s *dumpSpace, va vm.VirtAddr, acc vm.Access) {
	if d.judges(va) {
		return
	}
	if e, f := s.t.Probe(va); f == nil {
		if pa := e.Addr(va); pa < d.ram0+dataLo || pa >= d.ram0+dataHi {
			return
		}
	}
	e, f := s.t.Walk(va, acc)
	if f != nil && (!d.odd || f.HW.Arch == vm.NoArch || f.Kind == vm.BadFrame) {
		return
	}
	q := query(va, acc, s.t.Root(), d.f.Arch == vm.ArchRISCV, false)
	q.ASID = d.tag(s.asid)
	o := outcomeOf(e.Addr(va), f)
	q.Expect = &o
	d.c.Queries = append(d.c.Queries, q)
}

// tag is the ASID to list: 32-bit x86 has none.
func (d *dumper) tag(asid vm.ASID) vm.ASID {
	if d.f.Arch == vm.ArchX86 && d.f.VABits == 32 {
		return 0
	}
	return asid
}

// misses asks for addresses at which nothing is mapped, at every level, and for
// addresses that are not canonical.
func (d *dumper) misses(s *dumpSpace) {
	if !d.odd {
		return
	}
	kinds := d.accessKinds()
	for _, base := range d.regions() {
		for i := range d.f.Levels {
			va := d.f.Extend(base + vm.VirtAddr(d.rng.IntN(200))<<d.f.Levels[i].Shift + vm.VirtAddr(d.rng.IntN(512))*8)
			if _, f := s.t.Probe(va); f == nil || d.reservedSlot(va) {
				continue
			}
			d.ask(s, va, kinds[d.rng.IntN(len(kinds))])
		}
	}
	if d.f.VABits == 32 {
		return
	}
	for range 4 {
		bit := int(d.f.VABits) - 1 + d.rng.IntN(64-int(d.f.VABits))
		va := d.f.Extend(vm.VirtAddr(d.rng.Uint64()&^7)) ^ 1<<bit
		if d.f.Arch == vm.ArchARM {
			va |= 1 << d.f.VABits
		}
		if !d.f.Canonical(va) {
			acc := kinds[d.rng.IntN(len(kinds))]
			if d.f.Arch == vm.ArchX86 {
				acc &^= vm.Execute // a jump there faults at the jump, not at its target
			}
			d.ask(s, va, acc)
		}
	}
}

// judges reports whether va is, as a number, an address at the top of RAM, where
// the judge keeps its own code and data: there the emulator was seen to find no
// fault in an address space whose root entry is zero.
func (d *dumper) judges(va vm.VirtAddr) bool {
	const own = 16 << 20
	end := vm.VirtAddr(d.ram0 + dumpRAM)
	return va >= end-own && va < end
}
