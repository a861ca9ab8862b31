package tlb

import (
	"github.com/memlab-go/memlab/vm"
)

// A Ref is one reference of a trace for [TLB.Run]: an address whose lowest bit
// says whether an instruction is fetched there. Pages are larger than 2 bytes,
// so that the bit is free.
type Ref uint64

// MakeRef returns the reference to va.
func MakeRef(va vm.VirtAddr, instr bool) Ref {
	r := Ref(va) &^ 1
	if instr {
		r |= 1
	}
	return r
}

// VA returns the address, but for its lowest bit.
func (r Ref) VA() vm.VirtAddr { return vm.VirtAddr(r &^ 1) }

// Instr reports whether the reference is an instruction fetch.
func (r Ref) Instr() bool { return r&1 != 0 }

// A view is what [TLB.Run] needs of an array on its fast paths.
type view struct {
	tags  []uint64
	stamp []uint64
	hint  []uint16
	ways  uint64
	mask  uint64
	a     *array
}

// Run looks all references up under asid, as if every page of 2^shift bytes were
// mapped to the frame of the same address by a table of four levels: a miss walks
// it (four memory references) and inserts the page. It counts as Lookup and Insert
// do and does not allocate. Shift is 1 to 62.
func (t *TLB) Run(asid vm.ASID, refs []Ref, shift uint8) {
	shift &= 63
	ctx := context(asid, shift)
	for len(refs) > 0 {
		views, ok := t.views(shift, ctx)
		if !ok {
			t.runOne(asid, refs[0], shift)
			refs = refs[1:]
			continue
		}
		chunk := refs[:min(chunkRefs, len(refs))]
		n, instr := 0, uint64(0)
		if d, i := views[dataSide].a, views[instrSide].a; d.lru4 && i.lru4 && (d.restless || i.restless) {
			n, instr = t.runFour(&views, chunk, shift, ctx)
		} else {
			n, instr = t.runHinted(&views, chunk, shift, ctx)
		}
		t.levels[0].stats.Instr.Lookups += int64(instr)
		t.levels[0].stats.Data.Lookups += int64(n) - int64(instr)
		if n < len(chunk) { // a miss that concerns more than the first level
			t.runOne(asid, refs[n], shift)
			n++
		}
		refs = refs[n:]
	}
}

// runHinted takes references while they hit, the way used last first, and misses
// too if there is only one level and nobody listens. It returns how many it took,
// and how many of them were fetches.
func (t *TLB) runHinted(views *[2]view, refs []Ref, shift uint8, ctx uint32) (n int, instr uint64) {
	moved, mixed, alone := 0, uint64(ctx)<<40, len(t.levels) == 1 && t.sink == nil
	n = len(refs)
	for i, r := range refs {
		v := &views[r&1]
		vpn := uint64(r) >> (shift & 63)
		set := vpn & v.mask
		if base := set * v.ways; v.tags[base+uint64(v.hint[set])] != vpn^mixed {
			at := indexOf(v.tags[base:base+v.ways], vpn^mixed)
			if at < 0 && !alone {
				n = i
				break
			}
			moved++
			if at >= 0 {
				v.a.touch(int(base) + at)
			} else {
				t.runMiss(v.a, vpn, ctx, int(r&1))
			}
		}
		instr += uint64(r & 1)
	}
	views[0].a.settle(moved, n)
	views[1].a.settle(moved, n)
	return n, instr
}

// indexOf returns the index of the first tag, or -1.
func indexOf(tags []uint64, tag uint64) int {
	for i, t := range tags {
		if t == tag {
			return i
		}
	}
	return -1
}

// runFour is runHinted for LRU sets of four ways, without a branch on the way. The
// two sides share a clock: the greater of theirs.
func (t *TLB) runFour(views *[2]view, refs []Ref, shift uint8, ctx uint32) (n int, instr uint64) {
	clock := max(views[0].a.clock, views[1].a.clock)
	moved, mixed, alone := uint64(0), uint64(ctx)<<40, len(t.levels) == 1 && t.sink == nil
	n = len(refs)
	for i, r := range refs {
		v := &views[r&1]
		vpn := uint64(r) >> (shift & 63)
		set := vpn & v.mask
		tags := (*[4]uint64)(v.tags[set*4:])
		way := wayOf(tags, vpn^mixed)
		if tags[way] != vpn^mixed {
			if !alone {
				n = i
				break
			}
			v.a.clock = clock
			t.runMiss(v.a, vpn, ctx, int(r&1))
			clock = v.a.clock
			instr += uint64(r & 1)
			continue
		}
		moved += uint64(v.hint[set]) ^ way
		v.hint[set] = uint16(way)
		clock++
		v.stamp[set*4+way] = clock
		instr += uint64(r & 1)
	}
	views[0].a.clock, views[1].a.clock = clock, clock
	views[0].a.settle(int(moved), n)
	views[1].a.settle(int(moved), n)
	return n, instr
}

// views returns what the fast path needs of the first level: one array on each
// side, whose hits need no more than a tag compare.
func (t *TLB) views(shift uint8, ctx uint32) (v [2]view, ok bool) {
	for side := range v {
		a := t.pick(0, side, shift)
		if a == nil || len(t.levels[0].arrays[side]) > 1 || !a.quiet() || a.valid > 0 && a.only != ctx || t.conf.Prefetch != NoPrefetch {
			return v, false
		}
		v[side] = view{a.tags, a.stamp, a.hint, uint64(a.ways), a.setMask, a}
	}
	return v, true
}

// runMiss walks for a page that the first level, which is the only one, missed.
func (t *TLB) runMiss(a *array, vpn uint64, ctx uint32, side int) {
	l := &t.levels[0].stats
	l.of(side).Misses++
	l.Fills++
	t.stats.Walks++
	t.stats.WalkRefs += runWalk
	if a.valid == len(a.slots) && a.only == ctx && a.stamped() {
		l.Evictions++
		a.replaceOldest(runSlot(vpn, ctx))
		return
	}
	if _, evicted := a.fill(runSlot(vpn, ctx)); evicted {
		l.Evictions++
	}
}

// runSlot returns the slot of a page that Run maps.
func runSlot(vpn uint64, ctx uint32) slot {
	return slot{vpn: vpn, frame: vpn << (ctx >> shiftShift & 63), ctx: ctx, perm: runPerm, refs: runWalk, asid: vm.ASID(ctx - 1)}
}

// runWalk is the number of memory references of Run's walks.
const runWalk = 4

// runPerm is what Run's pages permit.
const runPerm = uint8(vm.PermR | vm.PermW | vm.PermX | vm.PermU | vm.PermD)

// runOne is one reference of Run, the general way.
func (t *TLB) runOne(asid vm.ASID, r Ref, shift uint8) {
	acc := vm.Read
	if r.Instr() {
		acc = vm.Execute
	}
	if t.lookup(asid, uint64(r), side(acc)) != nil {
		return
	}
	page := r.VA() &^ (1<<shift - 1)
	t.Insert(vm.Entry{Page: page, Frame: vm.PhysAddr(page), ASID: asid, Perm: vm.Perm(runPerm), Shift: shift, Refs: runWalk}, acc)
}
