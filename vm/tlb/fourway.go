package tlb

import "github.com/memlab-go/memlab/vm"

// fourWay reports whether the array has the shape that most first-level TLBs
// have, and holds nothing but pages of one size and one address space: sets of
// four ways, LRU, no prefetching. Such a set is searched without a branch on the
// way that hits, which no processor can predict when accesses are random.
func (t *TLB) fourWay(a *array, ctx uint32) bool {
	return a.ways == 4 && a.only == ctx && (a.conf.Policy == LRU || a.conf.Policy == "") && t.conf.Prefetch == NoPrefetch
}

// wayOf returns the way of a set that holds page vpn; if none does, way 0.
func wayOf(set []slot, vpn uint64) int {
	_ = set[3]
	w := 0
	if set[1].vpn == vpn {
		w = 1
	}
	if set[2].vpn == vpn {
		w = 2
	}
	if set[3].vpn == vpn {
		w = 3
	}
	return w
}

// lookupFour is LookupAll on a fourWay array up to the first address that does
// not hit there with rights in ok; that one it has not counted.
func (t *TLB) lookupFour(a *array, ctx uint32, sd int, vas []vm.VirtAddr, ok vm.PermSet, pas []vm.PhysAddr) int {
	shift := uint8(ctx>>shiftShift) & 63
	mask, clock := a.setMask, a.clock
	slots, stamp, hint := a.slots, a.stamp[:len(a.slots)], a.hint
	pas = pas[:len(vas)]
	n := len(vas)
	for i, va := range vas {
		vpn := uint64(va) >> shift
		set := vpn & mask
		at := int(set * 4)
		w := wayOf(slots[at:at+4], vpn)
		at += w
		s := &slots[at]
		if s.vpn != vpn || s.ctx != ctx || ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
			n = i
			break
		}
		clock++
		stamp[at] = clock
		hint[set] = uint16(w)
		pas[i] = vm.PhysAddr(s.frame | uint64(va)&(1<<shift-1))
	}
	a.clock = clock
	t.levels[0].stats.of(sd).Lookups += int64(n)
	return n
}

// allFour is LookupAll while the first array stays fourWay.
func (t *TLB) allFour(a *array, ctx uint32, asid vm.ASID, sd int, vas []vm.VirtAddr, ok vm.PermSet, pas []vm.PhysAddr) (n int, done bool) {
	for t.fourWay(a, ctx) {
		n += t.lookupFour(a, ctx, sd, vas[n:], ok, pas[n:])
		if n == len(vas) {
			return n, true
		}
		s := t.slowLookup(a, asid, uint64(vas[n]), sd)
		if s == nil || !ok.Has(vm.Perm(s.perm)) {
			return n, true
		}
		pas[n] = vm.PhysAddr(s.frame | uint64(vas[n])&(1<<s.shift()-1))
		n++
	}
	return n, n == len(vas)
}

// Translate looks one address up as LookupAll does: it returns the physical
// address if an entry with rights in ok covers va. Without a copy of the entry it
// is faster than Lookup.
func (t *TLB) Translate(asid vm.ASID, va vm.VirtAddr, acc vm.Access, ok vm.PermSet) (vm.PhysAddr, bool) {
	sd := side(acc)
	a := t.levels[0].arrays[sd][0]
	ctx := a.only
	if t.fourWay(a, context(asid, uint8(ctx>>shiftShift))) {
		shift := uint8(ctx>>shiftShift) & 63
		vpn := uint64(va) >> shift
		set := vpn & a.setMask
		at := int(set * 4)
		w := wayOf(a.slots[at:at+4], vpn)
		if s := &a.slots[at+w]; s.vpn == vpn && s.ctx == ctx && ok>>(s.perm&(vm.NumPerms-1))&1 != 0 {
			a.clock++
			a.stamp[at+w] = a.clock
			a.hint[set] = uint16(w)
			t.levels[0].stats.of(sd).Lookups++
			return vm.PhysAddr(s.frame | uint64(va)&(1<<shift-1)), true
		}
	}
	s := t.slowLookup(a, asid, uint64(va), sd)
	if s == nil || !ok.Has(vm.Perm(s.perm)) {
		return 0, false
	}
	return vm.PhysAddr(s.frame | uint64(va)&(1<<s.shift()-1)), true
}
