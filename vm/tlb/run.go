package tlb

import "github.com/memlab-go/memlab/vm"

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

// A view is what [TLB.Run] needs of an array on its fast path.
type view struct {
	tags []uint64
	hint []uint16
	ways uint64
	mask uint64
	a    *array
}

// Run looks all references up under asid, as if every page of 2^shift bytes were
// mapped to the frame of the same address by a table of four levels: a miss walks
// it (four memory references) and inserts the page. It counts as Lookup and Insert
// do and does not allocate. Shift is 1 to 62.
func (t *TLB) Run(asid vm.ASID, refs []Ref, shift uint8) {
	shift &= 63
	ctx := context(asid, shift)
	mixed := uint64(ctx) << 40
	for len(refs) > 0 {
		views, ok := t.views(shift, ctx)
		if !ok {
			t.runOne(asid, refs[0], shift)
			refs = refs[1:]
			continue
		}
		n, instr := 0, uint64(0)
		for _, r := range refs {
			v := &views[r&1]
			vpn := uint64(r) >> shift
			set := vpn & v.mask
			if v.tags[set*v.ways+uint64(v.hint[set])] != vpn^mixed && !t.runSlow(v, asid, r, shift, set, vpn^mixed) {
				break
			}
			instr += uint64(r & 1)
			n++
		}
		t.levels[0].stats.Instr.Lookups += int64(instr)
		t.levels[0].stats.Data.Lookups += int64(n) - int64(instr)
		if n < len(refs) { // the reference that stopped it
			t.runOne(asid, refs[n], shift)
			n++
		}
		refs = refs[n:]
	}
}

// views returns what the fast path needs of the first level: one array on each
// side, whose hits need no more than a tag compare.
func (t *TLB) views(shift uint8, ctx uint32) (v [2]view, ok bool) {
	for side := range v {
		a := t.pick(0, side, shift)
		if a == nil || len(t.levels[0].arrays[side]) > 1 || !a.quiet() || a.valid > 0 && a.only != ctx || t.conf.Prefetch != NoPrefetch {
			return v, false
		}
		v[side] = view{a.tags, a.hint, uint64(a.ways), a.setMask, a}
	}
	return v, true
}

// runSlow deals with a reference whose page is not the one hit last in its set:
// a hit elsewhere in the set, or a miss of the first level. It reports false, and
// did nothing, for an access that must take the general way.
func (t *TLB) runSlow(v *view, asid vm.ASID, r Ref, shift uint8, set, tag uint64) bool {
	a := v.a
	base := set * v.ways
	for i, have := range a.tags[base : base+v.ways] {
		if have == tag {
			a.touch(int(base) + i)
			return true
		}
	}
	if len(t.levels) > 1 || t.sink != nil {
		return false
	}
	t.levels[0].stats.of(int(r&1)).Misses++
	l := &t.levels[0].stats
	l.Fills++
	t.stats.Walks++
	t.stats.WalkRefs += runWalk
	vpn := uint64(r) >> shift
	if _, evicted := a.fill(slot{vpn: vpn, frame: vpn << shift, ctx: context(asid, shift), perm: runPerm, refs: runWalk, asid: asid}); evicted {
		l.Evictions++
	}
	return true
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
