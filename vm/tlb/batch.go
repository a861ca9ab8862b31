package tlb

import (
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// How batches are taken: in chunks, each by the loop that suits the chunk
// before it. See [array.restless].
const (
	chunkRefs     = 256
	restlessShare = 16 // restless: more than one reference in so many leaves the hinted way
)

// LookupAll implements [vm.TLB]. A hit in the first array costs a few compares:
// of the way used last in the set, or, where references jump between the ways of
// four-way sets, of all four at once without a branch.
func (t *TLB) LookupAll(asid vm.ASID, vas []vm.VirtAddr, acc vm.Access, ok vm.PermSet, pas []vm.PhysAddr) int {
	pas = pas[:len(vas)]
	sd := side(acc)
	f := &t.front[sd&1]
	a := f.a
	n, fast := 0, int64(0)
	for n < len(vas) {
		end := min(n+chunkRefs, len(vas))
		k := 0
		if a.restless && a.lru4 {
			k = a.fourWays(asid, vas[n:end], ok, pas[n:end])
		} else {
			k = a.hinted(asid, vas[n:end], ok, pas[n:end])
		}
		n += k
		fast += int64(k)
		if n == end {
			continue
		}
		s := t.lookup(asid, uint64(vas[n]), sd) // the general way: a miss, another page size, a forbidden access
		if s == nil || ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
			break
		}
		pas[n] = vm.PhysAddr(s.frame | uint64(vas[n])&(1<<s.shift()-1))
		n++
	}
	f.counts.Lookups += fast
	return n
}

// fastKey returns shift and context of the pages that the fast loops look for:
// the smallest of the array, in the address space. The context fits no slot if
// the policy must hear of every hit.
func (a *array) fastKey(asid vm.ASID) (uint8, uint32) {
	return a.small, uint32(asid) + 1 | a.smallCtx
}

// hinted translates addresses while they hit, the way used last first.
func (a *array) hinted(asid vm.ASID, vas []vm.VirtAddr, ok vm.PermSet, pas []vm.PhysAddr) int {
	shift, ctx := a.fastKey(asid)
	slots, hint, ways, mask := a.slots, a.hint, uint64(a.ways), a.setMask
	pas = pas[:len(vas)]
	low := uint64(1)<<shift - 1
	moved := 0
	n := len(vas)
	for i, va := range vas {
		vpn := uint64(va) >> shift
		set := vpn & mask
		s := &slots[set*ways+uint64(hint[set])]
		if s.vpn != vpn || s.ctx != ctx {
			at := a.findPage(vpn, ctx)
			if at < 0 || ok>>(slots[at].perm&(vm.NumPerms-1))&1 == 0 {
				n = i
				break
			}
			a.touch(at)
			moved++
			s = &slots[at]
		}
		if ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
			n = i
			break
		}
		pas[i] = vm.PhysAddr(s.frame | uint64(va)&low)
	}
	a.settle(moved, n)
	return n
}

// fourWays is hinted for LRU sets of four ways. It finds the way without a
// branch to mispredict and stamps every hit.
func (a *array) fourWays(asid vm.ASID, vas []vm.VirtAddr, ok vm.PermSet, pas []vm.PhysAddr) int {
	shift, ctx := a.fastKey(asid)
	mixed := uint64(ctx) << 40
	tags, slots, stamp, hint, mask := a.tags, a.slots, a.stamp, a.hint, a.setMask
	pas = pas[:len(vas)]
	low := uint64(1)<<shift - 1
	moved, clock := uint64(0), a.clock
	n := len(vas)
	for i, va := range vas {
		vpn := uint64(va) >> shift
		set := vpn & mask
		way := wayOf((*[4]uint64)(tags[set*4:]), vpn^mixed)
		at := set*4 + way
		s := &slots[at]
		if s.vpn != vpn || s.ctx != ctx || ok>>(s.perm&(vm.NumPerms-1))&1 == 0 {
			n = i
			break
		}
		moved += uint64(hint[set]) ^ way
		hint[set] = uint16(way)
		clock++
		stamp[at] = clock
		pas[i] = vm.PhysAddr(s.frame | uint64(va)&low)
	}
	a.clock = clock
	a.settle(int(moved), n)
	return n
}

// wayOf returns which of four tags is tag, without a branch; 0 if none is, and
// anything if several are, so that the slot has to be looked at.
func wayOf(tags *[4]uint64, tag uint64) uint64 {
	_, is1 := bits.Sub64(tags[1]^tag, 1, 0) // borrows if equal
	_, is2 := bits.Sub64(tags[2]^tag, 1, 0)
	_, is3 := bits.Sub64(tags[3]^tag, 1, 0)
	return (is1 + 2*is2 + 3*is3) & 3
}

// settle decides which loop takes the next chunk, after one of n references of
// which about moved left the hinted way.
func (a *array) settle(moved, n int) {
	if n >= chunkRefs/4 {
		a.restless = moved > n/restlessShare
	}
}
