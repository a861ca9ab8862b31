package pagetable

import (
	"math/bits"

	"github.com/memlab-go/memlab/vm"
)

// An Attr is what a leaf says besides its frame.
type Attr struct {
	Perm       vm.Perm // PermD: marked dirty (and accessed) from the start
	Global     bool    // valid in every address space
	Accessed   bool    // marked accessed from the start
	MemoryType uint8   // Svpbmt: 0 PMA, 1 NC, 2 IO
	Software   uint64  // further bits of the entry, where the format leaves them to software

	execOnly bool // Arm: EL0 may execute a page it may not read (UXN clear, AP[1] clear)
}

// attr reads the attributes of a leaf.
func (p *plan) attr(i int, pte uint64) Attr {
	f := &p.format
	a := Attr{Perm: p.leafRights(pte), Global: f.Global != 0 && pte&f.Global != 0, Accessed: pte&f.Accessed != 0, Software: pte &^ p.known(i)}
	if f.NotGlobal != 0 {
		a.Global = pte&f.NotGlobal == 0
	}
	if f.ReadOnly != 0 && f.DirtyModifier != 0 && pte&f.ReadOnly == 0 && !p.opts.SoftwareDirty {
		a.Perm |= vm.PermD
	}
	if f.PXN != 0 && a.Perm&vm.PermU == 0 { // Arm: for a privileged page PXN alone is its right to execute
		a.execOnly = pte&f.NoExec == 0
		a.Perm = a.Perm&^(vm.PermX|vm.PermPXN) | vm.PermX
		if pte&f.PXN != 0 {
			a.Perm &^= vm.PermX
		}
	}
	if p.opts.Svpbmt {
		a.MemoryType = uint8(pte & rvPBMT >> 61)
	}
	return a
}

// known returns the bits of a leaf at level i that have a meaning here.
func (p *plan) known(i int) uint64 {
	f, l := &p.format, &p.levels[i]
	k := f.Present | f.Frame | f.Read | f.Write | f.Exec | f.User | f.ReadOnly | f.NoExec | f.PXN | f.Global | f.NotGlobal |
		f.Accessed | f.Dirty | f.DirtyModifier | f.HugeBit | f.PageBits | f.NapotBit | l.reserved | l.lfReserved
	if f.NapotBit != 0 {
		k |= rvPBMT
	}
	if f.HugeBit != 0 && i == 0 {
		k &^= f.HugeBit // PAT at the last level
	}
	if i > 0 && l.HighBits > 0 {
		k |= bitsOf(uint(l.HighFrom), uint(l.HighFrom+l.HighBits-1))
	}
	return k
}

// makeLeaf encodes a leaf at level i for a page of 1<<shift bytes.
func (p *plan) makeLeaf(i int, shift uint8, frame vm.PhysAddr, a Attr) uint64 {
	f, l := &p.format, &p.levels[i]
	pte := f.Present | bits.RotateLeft64(uint64(frame), -int(f.FrameShift))&l.leafFrame | a.Software&^p.known(i)
	if l.HighBits > 0 && i > 0 {
		pte |= uint64(frame) >> 32 & (1<<l.HighBits - 1) << l.HighFrom
	}
	if shift == napotShift && f.NapotBit != 0 {
		pte |= f.NapotBit | napot64K
	}
	if i > 0 {
		pte |= f.HugeBit
	} else {
		pte |= f.PageBits
	}
	if p.opts.Svpbmt {
		pte |= uint64(a.MemoryType&3) << 61
	}
	if a.Global {
		pte |= f.Global
	} else {
		pte |= f.NotGlobal
	}
	if a.Accessed || a.Perm&vm.PermD != 0 {
		pte |= f.Accessed
	}
	pte |= p.rightsBits(a.Perm)
	if a.execOnly {
		pte &^= f.NoExec
	}
	return pte
}

// rightsBits encodes rights and the dirty mark.
func (p *plan) rightsBits(r vm.Perm) uint64 {
	f := &p.format
	var pte uint64
	set := func(on bool, bit uint64) {
		if on {
			pte |= bit
		}
	}
	user, exec := r&vm.PermU != 0, r&vm.PermX != 0
	set(r&vm.PermR != 0, f.Read)
	set(r&vm.PermW != 0, f.Write)
	set(exec, f.Exec)
	set(user, f.User)
	if f.PXN != 0 { // Arm: one bit for each side; privileged pages are not for EL0 to run
		set(!exec || !user, f.NoExec)
		set(!exec || r&vm.PermPXN != 0, f.PXN)
	} else if p.always&vm.PermX == 0 {
		set(!exec, f.NoExec)
	}
	dirty := r&vm.PermD != 0
	set(dirty, f.Dirty)
	if f.ReadOnly != 0 {
		clean := !dirty && f.DirtyModifier != 0 && !p.opts.SoftwareDirty
		set(r&vm.PermW == 0 || clean, f.ReadOnly)
		set(r&vm.PermW != 0 && !p.opts.SoftwareDirty, f.DirtyModifier)
	}
	return pte
}

// setRights replaces the rights of a leaf and keeps everything else.
func (p *plan) setRights(i int, pte uint64, r vm.Perm) uint64 {
	f := &p.format
	old := p.attr(i, pte)
	pte &^= f.Read | f.Write | f.Exec | f.User | f.ReadOnly | f.NoExec | f.PXN | f.DirtyModifier | f.Dirty
	return pte | p.rightsBits(r&^vm.PermD|old.Perm&vm.PermD)
}

// makeTable encodes a table entry at level i.
func (p *plan) makeTable(i int, table vm.PhysAddr) uint64 {
	f := &p.format
	pte := f.Present | bits.RotateLeft64(uint64(table), -int(f.FrameShift))&f.Frame
	if !p.levels[i].Plain {
		pte |= f.TablePresent
	}
	return pte
}

// expressible reports whether a leaf at level i can hold frame.
func (p *plan) expressible(i int, frame vm.PhysAddr) bool {
	pte := p.makeLeaf(i, p.levels[i].Shift, frame, Attr{Perm: vm.PermR})
	got, _ := p.frame(i, pte)
	kind, _, _ := p.classify(i, pte)
	return got == frame && kind == entryLeaf
}

// expressiblePerm reports whether the format has an encoding for these rights. A
// right that it cannot withhold (reading on x86) need not be asked for.
func (p *plan) expressiblePerm(r vm.Perm) bool {
	if r&(vm.PermR|vm.PermW|vm.PermX) == 0 || r >= vm.NumPerms {
		return false
	}
	pte := p.rightsBits(r)
	for _, pat := range p.levels[0].illegal {
		if pat.Mask&^(p.format.Read|p.format.Write) == 0 && pte&pat.Mask == pat.Want {
			return false
		}
	}
	return true
}

// WithFrame returns a leaf of the last level with its frame replaced.
func (t *Table) WithFrame(pte uint64, frame vm.PhysAddr) uint64 {
	f := &t.plan.format
	return pte&^f.Frame | bits.RotateLeft64(uint64(frame), -int(f.FrameShift))&f.Frame
}
