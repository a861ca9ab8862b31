package tlb

import "github.com/memlab-go/memlab/vm"

// LookupAll implements [vm.TLB]. Addresses that hit the way hit last in their
// set of the first array cost a compare; the others take the way of Lookup.
func (t *TLB) LookupAll(asid vm.ASID, vas []vm.VirtAddr, acc vm.Access, ok vm.PermSet, pas []vm.PhysAddr) int {
	pas = pas[:len(vas)]
	sd := side(acc)
	a := t.levels[0].arrays[sd][0]
	shift, ctx := a.fastKey(asid)
	if n, done := t.allFour(a, ctx, asid, sd, vas, ok, pas); done || n > 0 {
		if done {
			return n
		}
		return n + t.LookupAll(asid, vas[n:], acc, ok, pas[n:])
	}
	slots, hint, ways, mask := a.slots, a.hint, uint64(a.ways), a.setMask
	fast := int64(0)
	n := len(vas)
	for i, va := range vas {
		vpn := uint64(va) >> shift
		set := vpn & mask
		s := &slots[set*ways+uint64(hint[set])]
		if s.vpn != vpn || s.ctx != ctx {
			if s = t.slowLookup(a, asid, uint64(va), sd); s == nil {
				n = i
				break
			}
			shift, ctx = a.fastKey(asid)
		} else {
			fast++
		}
		if ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
			n = i
			break
		}
		pas[i] = vm.PhysAddr(s.frame | uint64(va)&(1<<s.shift()-1))
	}
	t.levels[0].stats.of(sd).Lookups += fast
	return n
}

// fastKey returns shift and context of the pages that the fast path looks for:
// the smallest of the array, in the address space. The context fits no slot if
// the policy must hear of every hit.
func (a *array) fastKey(asid vm.ASID) (uint8, uint32) {
	shift := smallest(a.sizes)
	return shift, context(asid, shift) | a.loud
}

// slowLookup is lookup with a short cut for hits in the first array, when it
// holds pages of one size.
func (t *TLB) slowLookup(a *array, asid vm.ASID, va uint64, sd int) *slot {
	if shift := smallest(a.sizes); a.sizes == 1<<shift {
		if i := a.findPage(va>>shift, context(asid, shift)); i >= 0 && !a.slots[i].ahead {
			a.touch(i)
			t.levels[0].stats.of(sd).Lookups++
			return &a.slots[i]
		}
	}
	return t.lookup(asid, va, sd)
}
