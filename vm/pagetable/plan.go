package pagetable

import (
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// A plan is a format under certain options, worked out into masks. The exact
// walk uses the rules; the fast walk (fast.go) uses only the four masks of each
// level that recognise an entry which needs nothing but to be followed.
type plan struct {
	format Format
	opts   Options
	levels [maxLevels]levelPlan // by level: 0 is the last
	top    int                  // level of the root
	always vm.Perm              // rights that entries cannot take away
	permit [vm.NumAccesses]vm.PermSet

	fast fastPlan
	nine plan9
}

// A levelPlan holds the rules of one level.
type levelPlan struct {
	*Level
	index       uint64 // mask of the index after the shift
	reserved    uint64 // must be zero in any entry
	tblReserved uint64 // must be zero in a table entry
	lfReserved  uint64 // must be zero in a leaf
	align       uint64 // bits of the frame field that a leaf of this size leaves zero
	leafFrame   uint64 // bits of the frame field that a leaf of this size uses
	leafOK      bool
	illegal     []Pattern
}

// newPlan works f out under o, which are valid.
func newPlan(f *Format, o *Options) plan {
	p := plan{format: f.clone(), opts: *o, top: len(f.Levels) - 1, always: f.RightsAlways}
	f = &p.format
	if f.Arch == vm.ArchX86 && o.NoNXE {
		p.always |= vm.PermX
	}
	tooWide := bits.RotateLeft64(^uint64(0)<<o.PABits, -int(f.FrameShift)) & f.Frame
	if f.Arch == vm.ArchRISCV {
		tooWide = 0 // no reserved bit: an access fault, as for any address without memory
	}
	for i := range f.Levels {
		l := f.level(i)
		lp := levelPlan{Level: l, index: 1<<l.Bits - 1, leafOK: l.Leaf}
		if f.HugeBit != 0 && o.NoPSE && f.PTESize == 4 && i > 0 {
			lp.leafOK = false
		}
		lp.reserved = f.Reserved | l.Reserved | tooWide
		if o.NoNXE && f.NoExec != 0 && f.Arch == vm.ArchX86 {
			lp.reserved |= f.NoExec
		}
		if f.NapotBit != 0 && !o.Svpbmt {
			lp.reserved |= rvPBMT
		}
		if f.NapotBit != 0 && (!o.Svnapot || i > 0) {
			lp.reserved |= f.NapotBit
		}
		lp.tblReserved = f.TableReserved
		if i > 0 {
			lp.lfReserved = l.LeafReserved
			if w := o.PABits - 32; l.HighBits > 0 && w < int(l.HighBits) {
				lp.lfReserved |= bitsOf(uint(int(l.HighFrom)+max(w, 0)), uint(l.HighFrom+l.HighBits-1))
			}
		}
		low := bits.RotateLeft64(l.Size()-1, -int(f.FrameShift)) & f.Frame
		lp.leafFrame = f.Frame &^ low
		if !f.AlignReserved && !f.AlignIgnored {
			lp.align = low
		}
		for _, pat := range f.Illegal {
			if pat.Level < 0 || int(pat.Level) == i {
				lp.illegal = append(lp.illegal, pat)
			}
		}
		if o.Svpbmt {
			lp.illegal = append(lp.illegal, Pattern{Mask: rvPBMT, Want: rvPBMT, Level: -1, Why: "PBMT 3"})
		}
		p.levels[i] = lp
	}
	for a := range p.permit {
		for q := range vm.Perm(vm.NumPerms) {
			if p.permits(q, vm.Access(a)) && p.updated(q, vm.Access(a)) {
				p.permit[a] |= 1 << q
			}
		}
	}
	p.fast = newFastPlan(&p)
	p.nine = newPlan9(&p, &p.fast)
	return p
}

// An entryKind is what classify finds an entry to be.
type entryKind uint8

const (
	entryBad entryKind = iota
	entryTable
	entryLeaf
)

// classify says what an entry at level i is; for a bad one, which kind of fault
// it means and which bits are to blame.
func (p *plan) classify(i int, pte uint64) (k entryKind, fault vm.FaultKind, mask uint64) {
	f, l := &p.format, &p.levels[i]
	if pte&f.Present != f.Present {
		return entryBad, vm.NotPresent, 0
	}
	for _, pat := range l.illegal {
		if pte&pat.Mask == pat.Want {
			return entryBad, vm.ReservedEncoding, pat.Mask
		}
	}
	if !p.isLeaf(i, pte) {
		if i == 0 {
			return entryBad, vm.NotLeaf, 0
		}
		if m := pte & (l.reserved | l.tblReserved); m != 0 {
			return entryBad, vm.ReservedBit, m
		}
		return entryTable, 0, 0
	}
	if m := pte & (l.reserved | l.lfReserved); m != 0 {
		return entryBad, vm.ReservedBit, m
	}
	if !l.leafOK {
		return entryBad, vm.ReservedEncoding, f.HugeBit | f.LeafAny
	}
	if m := pte & l.align; m != 0 {
		return entryBad, vm.MisalignedSuperpage, m
	}
	if pte&f.NapotBit != 0 && pte&napotSize != napot64K {
		return entryBad, vm.ReservedEncoding, f.NapotBit | napotSize
	}
	return entryLeaf, 0, 0
}

// Svnapot: with N set, the low four bits of the PPN must be 1000 and stand for
// 64 KiB; the page number bits they replace come from the address.
const (
	napotSize  = 15 << 10
	napot64K   = 8 << 10
	napotShift = 16
)

// isLeaf reports whether a present entry at level i ends a walk.
func (p *plan) isLeaf(i int, pte uint64) bool {
	f := &p.format
	switch {
	case f.LeafAny != 0:
		return pte&f.LeafAny != 0
	case i == 0:
		return true
	case f.HugeBit != 0:
		return p.levels[i].leafOK && pte&f.HugeBit != 0
	}
	return pte&f.PageBits == 0
}

// frame returns the frame and log2 of the page size of a leaf at level i.
func (p *plan) frame(i int, pte uint64) (vm.PhysAddr, uint8) {
	f, l := &p.format, &p.levels[i]
	if pte&f.NapotBit != 0 {
		return vm.PhysAddr(bits.RotateLeft64(pte&l.leafFrame&^napotSize, int(f.FrameShift))), napotShift
	}
	pa := bits.RotateLeft64(pte&l.leafFrame, int(f.FrameShift))
	if l.HighBits > 0 && i > 0 {
		pa |= pte >> l.HighFrom & (1<<l.HighBits - 1) << 32
	}
	return vm.PhysAddr(pa), l.Shift
}

// next returns the table that a table entry points to.
func (p *plan) next(pte uint64) vm.PhysAddr {
	return vm.PhysAddr(bits.RotateLeft64(pte&p.format.Frame, int(p.format.FrameShift)))
}

// entryAddr returns where the entry for va is in the table at level i.
func (p *plan) entryAddr(table vm.PhysAddr, i int, va vm.VirtAddr) vm.PhysAddr {
	l := &p.levels[i]
	return table + vm.PhysAddr(uint64(va)>>l.Shift&l.index*uint64(p.format.PTESize))
}

// global reports whether an entry marks what is below it as global.
func (p *plan) global(i int, pte uint64, leaf bool) bool {
	f := &p.format
	switch {
	case f.Arch == vm.ArchX86:
		return leaf && !p.opts.NoPGE && pte&f.Global != 0
	case f.NotGlobal != 0:
		return leaf && pte&f.NotGlobal == 0
	}
	return pte&f.Global != 0
}
