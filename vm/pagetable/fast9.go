package pagetable

import (
	"math/bits"
	"sync/atomic"

	"github.com/memlab-go/memlab/vm"
)

// A plan9 is the fast plan of formats with 8-byte entries, 9 index bits at every
// level and pages of 4 KiB: x86-64, Sv39 to Sv57, AArch64. All their table levels
// are recognised by the same masks, so nothing needs to be tested on the way down
// but that a table lies in memory: the AND and the OR of all table entries say at
// the end whether each of them was ordinary and passed the rights on.
//
// It takes only leaves of the last level; others go to the general loop.
type plan9 struct {
	ok       bool
	tables   int    // levels above the last
	bias     uint64 // va is canonical if (va+bias)&high == 0
	high     uint64
	frame    uint64 // frame field
	toWord   uint8  // frame field to word index: shift right by 1 or 3
	ramBase  uint64 // of pages
	ramMax   uint64 // largest offset of a page
	accesses [vm.NumAccesses]test9
}

// A test9 is what the entries of a walk must look like for an access.
type test9 struct {
	ones  uint64 // set in all table entries
	zeros uint64 // clear in all table entries
	mask  uint64 // leaf&mask == want
	want  uint64
}

func newPlan9(p *plan, fp *fastPlan) plan9 {
	f := &p.format
	top, leaf := &fp.levels[0], &fp.levels[max(fp.n-1, 0)]
	if !fp.ok || f.PTESize != 8 || f.PageShift() != 12 || leaf.leafFrame != fp.frame || f.FrameShift != 0 && f.FrameShift != 2 || fp.n < 3 || f.FrameShift == 0 && fp.n < 4 {
		return plan9{}
	}
	for i := range fp.n {
		l := &fp.levels[i]
		same := l.tblMask == top.tblMask && l.tblWant == top.tblWant && l.keep == top.keep
		if l.index != 511 || int(l.shift) != 12+9*(fp.n-1-i) || i < fp.n-1 && !same {
			return plan9{}
		}
	}
	n := plan9{
		ok: true, tables: fp.n - 1, high: ^uint64(0) << f.VABits, frame: fp.frame,
		toWord: uint8(3 - f.FrameShift), ramBase: fp.ramBase, ramMax: leaf.ramMax,
	}
	if f.Signed {
		n.bias = 1 << (f.VABits - 1)
	}
	for a := range n.accesses {
		n.accesses[a] = fp.test9(uint(a), top, leaf)
	}
	return n
}

// test9 works out the test of access a. If the rights that allow it are no plain
// "all of these, none of those" (MXR: readable or executable; SMAP: no user page) the test passes
// nothing.
func (fp *fastPlan) test9(a uint, top, leaf *fastLevel) test9 {
	never := test9{ones: 1, zeros: 1}
	rights, not, ok := fp.cube(a)
	if !ok || not&^top.keep != 0 {
		return never
	}
	set, clear := rights&^fp.flip, rights&fp.flip
	t := test9{
		ones: top.tblWant | set&^top.keep, zeros: top.tblMask&^top.tblWant | clear&^top.keep,
		mask: leaf.leafMask | rights | not, want: leaf.leafWant | set | not&fp.flip,
	}
	if top.tblMask&^top.tblWant&top.tblWant != 0 || leaf.leafWant&(clear|not&^fp.flip) != 0 || leaf.leafMask&^leaf.leafWant&(set|not&fp.flip) != 0 {
		return never
	}
	return t
}

// cube returns the rights, as entry bits, that access a needs all of and none of,
// if no other combinations matter to it.
func (fp *fastPlan) cube(a uint) (rights, not uint64, ok bool) {
	used, all, some, count := fp.m1|fp.m2, ^uint64(0), uint64(0), 0
	for idx := range uint64(256) {
		if idx&^used == 0 && fp.allow[idx]>>a&1 != 0 {
			all, some = all&idx, some|idx
			count++
		}
	}
	if count == 0 {
		return 0, 0, false
	}
	free := bits.OnesCount64(some &^ all)
	return fp.ungather(all & used), fp.ungather(used &^ some), count == 1<<free
}

// walkRun9 is walkRun for a plan9. The number of levels and the shift are constants
// of the loop: lengths of array types, for which the compiler makes a function each.
func (t *Table) walkRun9(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) int {
	n := &t.plan.nine
	switch {
	case n.toWord == 1 && n.tables == 2:
		return run9[[2]byte, [1]byte](t, vas, acc, pas)
	case n.toWord == 1 && n.tables == 3:
		return run9[[3]byte, [1]byte](t, vas, acc, pas)
	case n.toWord == 1:
		return run9[[4]byte, [1]byte](t, vas, acc, pas)
	case n.tables == 3:
		return run9[[3]byte, [3]byte](t, vas, acc, pas)
	}
	return run9[[4]byte, [3]byte](t, vas, acc, pas)
}

// run9 is the loop of walkRun9: len(T) levels above the last, len(S) bits from the
// frame field to a word index.
func run9[T interface{ [2]byte | [3]byte | [4]byte }, S interface{ [1]byte | [3]byte }](t *Table, vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) int {
	var tables T
	var shift S
	n := &t.plan.nine
	words, base := t.words, uint64(t.mem.Base())>>3
	root := uint64(t.root)>>3 - base
	need := &n.accesses[acc&(vm.NumAccesses-1)]
	pas = pas[:len(vas)]
	for k, va := range vas {
		v := uint64(va)
		if (v+n.bias)&n.high != 0 {
			return k
		}
		at, and, or := root, ^uint64(0), uint64(0)
		if len(tables) > 3 {
			if at += v >> 48 & 511; at >= uint64(len(words)) {
				return k
			}
			pte := vm.LittleEndian(atomic.LoadUint64(&words[at]))
			and, or, at = and&pte, or|pte, pte&n.frame>>len(shift)-base
		}
		if len(tables) > 2 {
			if at += v >> 39 & 511; at >= uint64(len(words)) {
				return k
			}
			pte := vm.LittleEndian(atomic.LoadUint64(&words[at]))
			and, or, at = and&pte, or|pte, pte&n.frame>>len(shift)-base
		}
		if at += v >> 30 & 511; at >= uint64(len(words)) {
			return k
		}
		pte := vm.LittleEndian(atomic.LoadUint64(&words[at]))
		and, or, at = and&pte, or|pte, pte&n.frame>>len(shift)-base
		if at += v >> 21 & 511; at >= uint64(len(words)) {
			return k
		}
		pte = vm.LittleEndian(atomic.LoadUint64(&words[at]))
		and, or, at = and&pte, or|pte, pte&n.frame>>len(shift)-base
		if at += v >> 12 & 511; at >= uint64(len(words)) {
			return k
		}
		pte = vm.LittleEndian(atomic.LoadUint64(&words[at]))
		pa := pte & n.frame << (3 - len(shift))
		if need.ones&^and|need.zeros&or|(pte^need.want)&need.mask != 0 || pa-n.ramBase > n.ramMax {
			return k
		}
		pas[k] = vm.PhysAddr(pa | v&4095)
	}
	return len(vas)
}
