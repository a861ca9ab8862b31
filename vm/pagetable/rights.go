package pagetable

import "github.com/memlab-go/memlab/vm"

const allRights = vm.PermR | vm.PermW | vm.PermX | vm.PermU | vm.PermD

// leafRights reads the rights of a leaf.
func (p *plan) leafRights(pte uint64) vm.Perm {
	f, r := &p.format, p.always
	if pte&f.Read != 0 {
		r |= vm.PermR
	}
	if f.Write != 0 && pte&f.Write != 0 {
		r |= vm.PermW
	}
	if f.ReadOnly != 0 {
		switch {
		case pte&f.ReadOnly == 0:
			r |= vm.PermW | vm.PermD
		case pte&f.DirtyModifier != 0 && !p.opts.SoftwareDirty:
			r |= vm.PermW // writable and clean
		}
	}
	if pte&f.Exec != 0 || f.NoExec != 0 && pte&f.NoExec == 0 {
		r |= vm.PermX
	}
	if pte&f.User != 0 {
		r |= vm.PermU
	}
	if pte&f.PXN != 0 {
		r |= vm.PermPXN
	}
	if pte&f.Dirty != 0 {
		r |= vm.PermD
	}
	return r
}

// tableRights returns what a table entry at level i lets through: grant is ANDed
// over the levels, deny (only PermPXN) is ORed.
func (p *plan) tableRights(i int, pte uint64) (grant, deny vm.Perm) {
	f := &p.format
	grant = allRights
	if p.levels[i].Plain {
		return grant, 0
	}
	if f.TableWrite != 0 && pte&f.TableWrite == 0 || pte&f.TableNoWrite != 0 {
		grant &^= vm.PermW
	}
	if f.TableUser != 0 && pte&f.TableUser == 0 || pte&f.TableNoUser != 0 {
		grant &^= vm.PermU
	}
	if pte&f.TableNoExec != 0 && p.always&vm.PermX == 0 {
		grant &^= vm.PermX
	}
	if pte&f.TablePXN != 0 {
		deny |= vm.PermPXN
	}
	return grant, deny
}

// permits is the rule of the architecture: may rights r be used for a?
func (p *plan) permits(r vm.Perm, a vm.Access) bool {
	if !a.Valid() {
		return false
	}
	switch p.format.Arch {
	case vm.ArchX86:
		return p.permitsX86(r, a)
	case vm.ArchARM:
		return p.permitsARM(r, a)
	}
	return p.permitsRISCV(r, a)
}

// permitsX86 follows Intel SDM 3A, section 4.6.1.
func (p *plan) permitsX86(r vm.Perm, a vm.Access) bool {
	o := &p.opts
	if a.IsUser() {
		return r&vm.PermU != 0 && (a.Op() != vm.Write || r&vm.PermW != 0) && (a.Op() != vm.Execute || r&vm.PermX != 0)
	}
	userPage := r&vm.PermU != 0
	if a.Op() == vm.Execute {
		return r&vm.PermX != 0 && !(userPage && o.SMEP)
	}
	if userPage && o.SMAP && a&vm.SUM == 0 {
		return false
	}
	return a.Op() == vm.Read || r&vm.PermW != 0 || o.NoWP
}

// permitsRISCV follows the privileged specification, section 10.3.2 steps 6 and
// 7, and for second stages section 18.5.1.
func (p *plan) permitsRISCV(r vm.Perm, a vm.Access) bool {
	if p.format.SecondStage || a.IsUser() {
		if r&vm.PermU == 0 {
			return false
		}
	} else if r&vm.PermU != 0 && (a.Op() == vm.Execute || a&vm.SUM == 0) {
		return false
	}
	switch a.Op() {
	case vm.Write:
		return r&vm.PermW != 0
	case vm.Execute:
		return r&vm.PermX != 0
	}
	mxr := a&vm.HMXR != 0 || a&vm.MXR != 0 && !p.format.SecondStage
	return r&vm.PermR != 0 || mxr && r&vm.PermX != 0
}

// permitsARM follows DDI 0487, section D8.4 (direct permissions, EL1&0).
func (p *plan) permitsARM(r vm.Perm, a vm.Access) bool {
	user, write := r&vm.PermU != 0, r&vm.PermW != 0
	if a.Op() == vm.Execute {
		if p.opts.WXN && write && (user || !a.IsUser()) {
			return false
		}
		if a.IsUser() {
			return r&vm.PermX != 0 // execute-only: AP[1] is not asked
		}
		return r&vm.PermPXN == 0 && !(user && write)
	}
	if a.IsUser() && !user || !a.IsUser() && user && p.opts.PAN && a&vm.SUM == 0 {
		return false
	}
	return a.Op() == vm.Read || write
}

// updated reports whether a needs no change of the dirty bit.
func (p *plan) updated(r vm.Perm, a vm.Access) bool {
	return a.Op() != vm.Write || r&vm.PermD != 0 || p.format.Dirty == 0 && p.format.DirtyModifier == 0
}

// needs says what an access asks for, for the reader of a fault.
func needs(a vm.Access) vm.Perm {
	r := [4]vm.Perm{vm.PermR, vm.PermW, vm.PermX, 0}[a.Op()&3]
	if a.IsUser() {
		r |= vm.PermU
	}
	return r
}
