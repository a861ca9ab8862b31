package tlb

import "github.com/memlab-go/memlab/vm"

// Translate implements [vm.DirectTLB]: it looks one address up as LookupAll does.
// Without a copy of the entry it is faster than Lookup.
func (t *TLB) Translate(asid vm.ASID, va vm.VirtAddr, acc vm.Access, ok vm.PermSet) (vm.PhysAddr, bool) {
	f := &t.front[side(acc)&1]
	if a := f.a; a.lru4 {
		vpn := uint64(va) >> (a.small & 63)
		ctx := uint32(asid) + 1 | a.smallCtx
		set := vpn & a.setMask
		way := wayOf((*[4]uint64)(a.tags[set*4:]), vpn^uint64(ctx)<<40)
		at := set*4 + way
		if s := &a.slots[at]; s.vpn == vpn && s.ctx == ctx && ok>>(s.perm&(vm.NumPerms-1))&1 != 0 {
			f.counts.Lookups++
			a.clock++
			a.stamp[at] = a.clock
			a.hint[set] = uint16(way)
			return vm.PhysAddr(s.frame | uint64(va)&(1<<(a.small&63)-1)), true
		}
	}
	return t.translateSlow(asid, va, acc, ok)
}

// translateSlow is Translate by the general way.
func (t *TLB) translateSlow(asid vm.ASID, va vm.VirtAddr, acc vm.Access, ok vm.PermSet) (vm.PhysAddr, bool) {
	s := t.lookup(asid, uint64(va), side(acc))
	if s == nil || ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
		return 0, false
	}
	return vm.PhysAddr(s.frame | uint64(va)&(1<<s.shift()-1)), true
}
