package tlb

import "github.com/memlab-go/memlab/vm"

// Translate implements [vm.DirectTLB]: it looks one address up as LookupAll does.
// Without a copy of the entry it is faster than Lookup.
func (t *TLB) Translate(asid vm.ASID, va vm.VirtAddr, acc vm.Access, ok vm.PermSet) (vm.PhysAddr, bool) {
	sd := side(acc)
	a := t.levels[0].arrays[sd][0]
	if shift, ctx := a.fastKey(asid); a.lru4 {
		vpn := uint64(va) >> (shift & 63)
		set := vpn & a.setMask
		way := wayOf((*[4]uint64)(a.tags[set*4:]), vpn^uint64(ctx)<<40)
		at := set*4 + way
		if s := &a.slots[at]; s.vpn == vpn && s.ctx == ctx && ok>>(s.perm&(vm.NumPerms-1))&1 != 0 {
			a.clock++
			a.stamp[at] = a.clock
			a.hint[set] = uint16(way)
			t.levels[0].stats.of(sd).Lookups++
			return vm.PhysAddr(s.frame | uint64(va)&(1<<(shift&63)-1)), true
		}
	}
	s := t.lookup(asid, uint64(va), sd)
	if s == nil || ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
		return 0, false
	}
	return vm.PhysAddr(s.frame | uint64(va)&(1<<s.shift()-1)), true
}
