package pagetable

import "github.com/memlab-go/memlab/vm"

// A walker makes one exact walk: it checks every rule, reports every step, and
// knows at the end what to update. It lives on its caller's stack.
type walker struct {
	t     *Table
	va    vm.VirtAddr
	acc   vm.Access
	mode  walkMode
	quiet bool // report no events

	cache vm.WalkCache // nil: none
	asid  vm.ASID

	level  int // of the entry in hand
	refs   int // memory references so far
	path   [maxLevels]step
	grant  vm.Perm
	deny   vm.Perm
	global bool
	table  vm.PhysAddr // the table in hand

	first                 int // level at which the walk began, and what it began with
	startGrant, startDeny vm.Perm
	startGlobal           bool

	entry vm.Entry
	fault vm.Fault
}

// A step is an entry that was read: where, as the table knows the place and as
// memory does (they differ only under a second stage), and what it was.
type step struct {
	addr, host vm.PhysAddr
	pte        uint64
}

// A walkMode says how much of an access a walk is.
type walkMode uint8

const (
	modeAccess walkMode = iota // check and update
	modeCheck                  // check, change nothing
	modeProbe                  // neither: any right will do
)

// run walks. It returns false with w.fault filled in and nothing changed, or
// true with w.entry filled in and the bits set that hardware sets.
func (w *walker) run() bool {
	p := &w.t.plan
	for {
		w.level, w.refs, w.table = p.top, 0, w.t.root
		w.grant, w.deny, w.global = allRights, 0, false
		if !p.format.Canonical(w.va) {
			w.level = -1
			return w.fail(vm.NonCanonical, 0)
		}
		w.fromCache()
		if !w.descend() || !w.admit() {
			return false
		}
		if w.mode != modeAccess {
			return true
		}
		if w.t.second != nil {
			w.commitSecondStage()
		}
		if w.update() {
			w.fillCache()
			return true
		}
	}
}

// fromCache begins at the deepest step that the page-walk cache knows.
func (w *walker) fromCache() {
	if w.cache != nil {
		if s, ok := w.cache.FindStep(w.asid, w.va); ok && s.Level >= 0 && int(s.Level) < w.level {
			w.table, w.level = s.Table, int(s.Level)
			w.grant, w.deny, w.global = s.Perm&^vm.PermPXN, s.Perm&vm.PermPXN, s.Global
		}
	}
	w.first, w.startGrant, w.startDeny, w.startGlobal = w.level, w.grant, w.deny, w.global
}

// fillCache tells the page-walk cache the tables that the walk went through.
func (w *walker) fillCache() {
	if w.cache == nil {
		return
	}
	p := &w.t.plan
	grant, deny, global := w.startGrant, w.startDeny, w.startGlobal
	for i := w.first; i > w.level; i-- {
		g, d := p.tableRights(i, w.path[i].pte)
		grant, deny = grant&g, deny|d
		global = global || p.global(i, w.path[i].pte, false)
		w.cache.FillStep(w.asid, w.va, vm.WalkStep{Table: p.next(w.path[i].pte), Level: int8(i - 1), Perm: grant | deny, Global: global})
	}
}

// descend reads entries down to a leaf.
func (w *walker) descend() bool {
	p := &w.t.plan
	for {
		if !w.read() {
			return false
		}
		pte := w.path[w.level].pte
		kind, fault, mask := p.classify(w.level, pte)
		if kind == entryBad {
			return w.fail(fault, mask)
		}
		w.global = w.global || p.global(w.level, pte, kind == entryLeaf)
		if kind == entryLeaf {
			return true
		}
		g, d := p.tableRights(w.level, pte)
		w.grant, w.deny = w.grant&g, w.deny|d
		w.table = p.next(pte)
		w.level--
	}
}

// read loads the entry of the table in hand, through the second stage if there
// is one.
func (w *walker) read() bool {
	p := &w.t.plan
	s := &w.path[w.level]
	s.addr = p.entryAddr(w.table, w.level, w.va)
	s.host, s.pte = s.addr, 0
	if w.t.second != nil {
		if _, ok := w.secondStage(s.addr, true, &s.host); !ok {
			return false
		}
	}
	pte, ok := w.t.mem.Load(s.host, uint64(p.format.PTESize))
	if !ok {
		return w.failFrame(w.table, true)
	}
	w.refs++
	s.pte = pte
	if w.t.sink != nil && !w.quiet {
		w.t.sink(vm.Event{Kind: vm.EventStep, VA: w.va, Access: w.acc, Level: int8(w.level), Stage: w.t.stage, PTEAddr: s.addr, PTE: pte})
	}
	return true
}

// admit checks the leaf in hand against the access and makes the entry.
func (w *walker) admit() bool {
	p := &w.t.plan
	pte := w.path[w.level].pte
	frame, shift := p.frame(w.level, pte)
	rights := p.leafRights(pte)&(w.grant|vm.PermPXN|p.always) | w.deny
	w.entry = vm.Entry{
		Page: w.va &^ (1<<shift - 1), Frame: frame, Perm: rights, Shift: shift,
		Level: int8(w.level), Refs: uint8(min(w.refs, 255)), Global: w.global,
	}
	if w.mode != modeProbe && !w.allowed(rights) {
		return false
	}
	if w.t.second != nil {
		return w.secondStageLeaf()
	}
	return w.t.inRAM(frame, 1<<shift) || w.failFrame(frame, false)
}

// allowed checks rights, and the bits that software keeps, against the access.
func (w *walker) allowed(rights vm.Perm) bool {
	p := &w.t.plan
	if !p.permits(rights, w.acc) {
		w.fault.Need, w.fault.Have = needs(w.acc), rights
		if w.fault.Need&^rights == 0 && !w.acc.IsUser() {
			w.fault.Note = "the page is closed to privileged code"
		}
		return w.fail(vm.Protection, 0)
	}
	if w.path[w.level].pte&p.format.Accessed != p.format.Accessed && p.opts.SoftwareAccessed {
		return w.fail(vm.NotAccessed, p.format.Accessed)
	}
	if p.opts.SoftwareDirty && !p.updated(rights, w.acc) {
		return w.fail(vm.NotDirty, p.format.Dirty)
	}
	return true
}

// updatedPTE returns the entry at level i as hardware leaves it behind.
func (w *walker) updatedPTE(i int) uint64 {
	p := &w.t.plan
	f, pte := &p.format, w.path[i].pte
	if i > w.level {
		if f.TableAccessed && !p.levels[i].Plain {
			pte |= f.Accessed
		}
		return pte
	}
	pte |= f.Accessed
	if w.acc.Op() == vm.Write && p.leafRights(pte)&vm.PermD == 0 {
		pte |= f.Dirty
		if f.DirtyModifier != 0 {
			pte &^= f.ReadOnly
		}
	}
	return pte
}

// update sets the accessed and dirty bits as hardware does. It reports false if
// the leaf changed meanwhile: then the walk is made again.
func (w *walker) update() bool {
	p := &w.t.plan
	f := &p.format
	leaf := &w.path[w.level]
	for pte := w.updatedPTE(w.level); pte != leaf.pte && !w.set(leaf, pte); pte = w.updatedPTE(w.level) {
		v, _ := w.t.mem.Load(leaf.host, uint64(f.PTESize))
		if (v^leaf.pte)&^(f.Accessed|f.Dirty) != 0 {
			return false
		}
		leaf.pte = v // another core marked it meanwhile, or the entry maps itself
	}
	if w.t.second == nil {
		w.entry.Perm |= p.leafRights(leaf.pte) & vm.PermD
	}
	for i := w.first; i > w.level; i-- {
		s := &w.path[i]
		for pte := w.updatedPTE(i); pte != s.pte && !w.set(s, pte); pte = w.updatedPTE(i) {
			v, _ := w.t.mem.Load(s.host, uint64(f.PTESize))
			if v&f.Present == 0 {
				break // taken away meanwhile: nothing left to mark
			}
			s.pte = v
		}
	}
	return true
}

// set replaces an entry that was read, if it is still the same.
func (w *walker) set(s *step, pte uint64) bool {
	if !w.t.mem.CompareAndSwap(s.host, uint64(w.t.plan.format.PTESize), s.pte, pte) {
		return false
	}
	s.pte = pte
	if w.t.sink != nil && !w.quiet {
		w.t.sink(vm.Event{Kind: vm.EventUpdate, VA: w.va, Access: w.acc, Stage: w.t.stage, PTEAddr: s.addr, PTE: pte})
	}
	return true
}

// fail fills in the fault of the entry in hand; it returns false.
func (w *walker) fail(kind vm.FaultKind, mask uint64) bool {
	f := &w.fault
	f.Kind, f.VA, f.Level, f.Access, f.Mask = kind, w.va, w.level, w.acc, mask
	f.PTEAddr, f.PTE = 0, 0
	if w.level >= 0 {
		f.PTEAddr, f.PTE = w.path[w.level].addr, w.path[w.level].pte
	}
	f.HW = w.t.plan.hardware(f, false)
	return false
}

// failFrame reports a table or a page outside memory; it returns false.
func (w *walker) failFrame(frame vm.PhysAddr, table bool) bool {
	w.fail(vm.BadFrame, 0)
	w.fault.PA = frame
	if table {
		w.fault.Note = "a table"
	}
	w.fault.HW = w.t.plan.hardware(&w.fault, table)
	return false
}
