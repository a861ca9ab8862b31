package tlb

import (
	"errors"
	"fmt"
	"math/bits"
)

// Check reports every broken law, naming level, array and slot.
//
//	L1  a slot's tag, set and context belong to its page
//	L2  no address hits two slots of a level side
//	L3  counters equal what a walk over the slots finds
//	L4  what an inner level holds, an inclusive outer level holds too
//	L5  what an inner level holds, an exclusive outer level does not
//	L6  a page is only in an array that takes its size
//
// Whether an entry agrees with the page table is for vm.MMU's CheckTLB to say.
// O(entries²) for a fully associative array with global entries, else O(entries).
func (t *TLB) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tlb: "+format, args...)) }
	for k := range t.levels {
		l := &t.levels[k]
		for j, a := range l.all {
			a.check(fmt.Sprintf("level %d array %d", k+1, j), bad)
		}
		for side := range l.arrays {
			checkDouble(fmt.Sprintf("level %d side %d", k+1, side), l.arrays[side], bad)
		}
		t.checkInclusion(k, bad)
	}
	return errors.Join(errs...)
}

// check checks L1, L3 and L6 of one array.
func (a *array) check(where string, bad func(string, ...any)) {
	var count [64]int
	valid, globals := 0, 0
	for i := range a.slots {
		s := &a.slots[i]
		if s.ctx == 0 {
			if a.tags[i] != emptyTag {
				bad("%s: L1: empty slot %d has tag %#x", where, i, a.tags[i])
			}
			continue
		}
		valid++
		shift := s.shift()
		count[shift]++
		if s.ctx&globalCtx != 0 {
			globals++
		}
		if a.tags[i] != tagOf(s.vpn, s.ctx) || int(s.vpn&a.setMask) != i/a.ways {
			bad("%s: L1: slot %d: page %#x has tag %#x in set %d", where, i, s.vpn, a.tags[i], i/a.ways)
		}
		if a.takes>>shift&1 == 0 {
			bad("%s: L6: slot %d: a page of 2^%d bytes", where, i, shift)
		}
		if a.only != 0 && a.only != s.ctx {
			bad("%s: L3: slot %d: context %#x, all said to be %#x", where, i, s.ctx, a.only)
		}
	}
	sizes := uint64(0)
	for shift, n := range count {
		if n > 0 {
			sizes |= 1 << shift
		}
	}
	if small := uint8(bits.TrailingZeros64(sizes)) & 63; small != a.small || valid > 0 && a.smallCtx != uint32(small)<<shiftShift|a.loud {
		bad("%s: L3: the smallest page is 2^%d bytes, said to be 2^%d with context %#x", where, small, a.small, a.smallCtx)
	}
	if valid != a.valid || globals != a.globals || count != a.count || sizes != a.sizes {
		bad("%s: L3: found %d entries, %d global, sizes %#x; counted %d, %d, %#x", where, valid, globals, sizes, a.valid, a.globals, a.sizes)
	}
}

// checkDouble checks L2: every entry is looked for under its own address space,
// a global one under all, in every array and size.
func checkDouble(where string, arrays []*array, bad func(string, ...any)) {
	sizes := uint64(0)
	for _, a := range arrays {
		sizes |= a.sizes
	}
	for _, a := range arrays {
		for i := range a.slots {
			s := &a.slots[i]
			if s.ctx == 0 {
				continue
			}
			e := s.entry()
			for m := sizes &^ (1<<e.Shift - 1); m != 0; m &= m - 1 {
				shift := uint8(bits.TrailingZeros64(m))
				for _, b := range arrays {
					if j := b.double(s, uint64(e.Page)>>shift, shift); j >= 0 {
						bad("%s: L2: page %#x hits slots %d and %d", where, uint64(e.Page), i, j)
					}
				}
			}
		}
	}
}

// double returns a slot other than s that holds page vpn of 2^shift bytes and is
// seen where s is seen, or -1.
func (a *array) double(s *slot, vpn uint64, shift uint8) int {
	base := int(vpn&a.setMask) * a.ways
	for i := base; i < base+a.ways; i++ {
		o := &a.slots[i]
		if o == s || o.ctx == 0 || o.shift() != shift || o.vpn != vpn {
			continue
		}
		if o.ctx == s.ctx || o.shift() != s.shift() && o.ctx&(1<<shiftShift-1) == s.ctx&(1<<shiftShift-1) || (o.ctx|s.ctx)&globalCtx != 0 {
			return i
		}
	}
	return -1
}

// checkInclusion checks L4 and L5 of level k towards the level before it.
func (t *TLB) checkInclusion(k int, bad func(string, ...any)) {
	incl := t.levels[k].incl
	if k == 0 || incl == NonInclusive {
		return
	}
	for side := range t.levels[k-1].arrays {
		for _, a := range t.levels[k-1].arrays[side] {
			for i := range a.slots {
				s := &a.slots[i]
				outer := (*array)(nil)
				if s.ctx != 0 {
					outer = t.pick(k, side, s.shift())
				}
				if outer == nil {
					continue
				}
				held := outer.findPage(s.vpn, s.ctx) >= 0
				if incl == Inclusive && !held {
					bad("level %d: L4: page %#x of level %d is missing", k+1, s.vpn<<s.shift(), k)
				}
				if incl == Exclusive && held {
					bad("level %d: L5: page %#x is in level %d too", k+1, s.vpn<<s.shift(), k)
				}
			}
		}
	}
}
