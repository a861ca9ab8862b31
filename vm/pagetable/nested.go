package pagetable

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
)

// A Nested table is two-dimensional paging: a guest's table, whose addresses are
// guest-physical, over a second stage that turns those into physical ones.
//
//	            first stage (guest)                 second stage (hypervisor)
//	va ──► entry at guest-physical address g₃ ──► walk of g₃ ──► read the entry
//	       entry at g₂ ────────────────────────► walk of g₂ ──► read the entry
//	       … page at guest-physical address g ─► walk of g  ──► physical address
//
// With n and m levels a walk makes n·(m+1)+m references: 24 for four over four.
// [vm.Entry].Refs counts them.
//
// A fault of the second stage has the [vm.HardwareCode] of a guest-page fault
// (RISC-V causes 20, 21, 23 with htval) or of a nested page fault (SVM), with
// the guest-physical address in it; its Level, PTEAddr and PTE are those of the
// second-stage entry.
type Nested struct {
	first  Table
	second *Table
}

// NPT is the format of x86's nested page tables (AMD APM 2, section 15.25): that
// of [X86_64], where every access counts as a user access and upper address bits
// must be zero.
var NPT = nptFormat()

func nptFormat() Format {
	f := x86Long("npt", "x86-64, nested page table", 4)
	f.SecondStage, f.Signed = true, false
	return f
}

// NewNested puts a guest's table of the given format, with its root at
// guest-physical address root, over second, whose format must be a second stage
// of the same architecture. Options are those of the guest; PABits, RAM and Frames
// do not apply.
func NewNested(first *Format, root vm.PhysAddr, second *Table, o *Options) (*Nested, error) {
	if !second.plan.format.SecondStage || second.plan.format.Arch != first.Arch || first.SecondStage {
		return nil, fmt.Errorf("pagetable: %s over %s is no pair of stages", first.Name, second.plan.format.Name)
	}
	t, err := open(second.mem, first, root, o)
	if err != nil {
		return nil, err
	}
	n := &Nested{second: second}
	n.first.mem, n.first.words, n.first.root, n.first.plan = t.mem, t.words, root, t.plan
	n.first.second, n.first.stage = second, 1
	second.stage = 2
	return n, nil
}

// Root returns the guest-physical address of the guest's root.
func (n *Nested) Root() vm.PhysAddr { return n.first.root }

// Second returns the second stage.
func (n *Nested) Second() *Table { return n.second }

// SetEvents makes both stages report their steps; see [Table.SetEvents].
func (n *Nested) SetEvents(sink vm.Sink) { n.first.SetEvents(sink) }

// Walk translates a guest-virtual address; see [vm.PageTable].
func (n *Nested) Walk(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return n.first.walkExact(va, acc, modeAccess)
}

// WalkAll translates a stream; see [vm.PageTable].
func (n *Nested) WalkAll(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) (int, *vm.Fault) {
	return n.first.WalkAll(vas, acc, pas)
}

// Probe translates va through both stages whatever the rights are.
func (n *Nested) Probe(va vm.VirtAddr) (vm.Entry, *vm.Fault) {
	return n.first.walkExact(va, vm.Read, modeProbe)
}

// WalkDry says how Walk would end and changes nothing; see [vm.DryWalker].
func (n *Nested) WalkDry(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return n.first.walkExact(va, acc, modeCheck)
}

// Permits returns which combined rights surely allow acc. Where the stages judge
// by different rules (MXR of the guest only, CR0.WP) it leaves rights out, and the
// MMU walks again.
func (n *Nested) Permits(acc vm.Access) vm.PermSet {
	set := n.first.Permits(acc &^ vm.MXR)
	if acc.Op() == vm.Write {
		for p := range vm.Perm(vm.NumPerms) {
			if p&vm.PermW == 0 {
				set &^= 1 << p
			}
		}
	}
	return set
}

// stage2Access is what the second stage is asked for: the access itself, or the
// reading of a first-stage entry, which SVM counts as a write.
func (w *walker) stage2Access(table bool) vm.Access {
	if !table {
		return w.acc.Op() | vm.User | w.acc&vm.HMXR
	}
	if w.t.plan.format.Arch == vm.ArchX86 {
		return vm.Write | vm.User
	}
	return vm.Read | vm.User
}

// secondStage translates a guest-physical address without changing anything and
// counts the references.
func (w *walker) secondStage(gpa vm.PhysAddr, table bool, host *vm.PhysAddr) (vm.Entry, bool) {
	mode := modeCheck
	if w.mode == modeProbe {
		mode = modeProbe
	}
	return w.stage2(gpa, w.stage2Access(table), mode, table, host)
}

func (w *walker) stage2(gpa vm.PhysAddr, acc vm.Access, mode walkMode, table bool, host *vm.PhysAddr) (vm.Entry, bool) {
	s := w.t.second
	s.mu.Lock()
	defer s.mu.Unlock()
	g := walker{t: s, va: vm.VirtAddr(gpa), acc: acc, mode: mode, quiet: w.quiet || mode == modeAccess}
	ok := g.run()
	w.refs += g.refs
	if !ok {
		w.guestFault(&g.fault, gpa, table)
		return vm.Entry{}, false
	}
	*host = g.entry.Addr(g.va)
	return g.entry, true
}

// guestFault turns a fault of the second stage into the guest's.
func (w *walker) guestFault(f *vm.Fault, gpa vm.PhysAddr, table bool) {
	w.fault = *f
	w.fault.VA, w.fault.Access = w.va, w.acc
	w.fault.Note = fmt.Sprintf("second stage, guest-physical %v", gpa)
	if table {
		w.fault.Note += " of a first-stage entry"
	}
	if f.Kind == vm.BadFrame {
		w.fault.HW = w.t.plan.hardware(&w.fault, table)
		return
	}
	if w.t.plan.format.Arch == vm.ArchX86 {
		const finalAccess, tableWalk = 1 << 32, 1 << 33
		code := f.HW.Code
		if f.Kind == vm.NonCanonical { // beyond the nested table: as if not present
			g := vm.Fault{Kind: vm.NotPresent, Access: w.stage2Access(table)}
			code = w.t.second.plan.hardware(&g, false).Code
		}
		code |= finalAccess
		if table {
			code = code&^finalAccess | tableWalk
		}
		w.fault.HW = vm.HardwareCode{Arch: vm.ArchSVM, Vector: 0x400, Code: code, GPA: gpa}
		return
	}
	w.fault.HW = vm.HardwareCode{Arch: vm.ArchRISCV, Vector: [4]uint16{21, 23, 20}[w.acc.Op()&3], GPA: gpa}
}

// secondStageLeaf translates the page of a first-stage leaf and joins the two
// entries: the smaller page, the rights that both grant.
func (w *walker) secondStageLeaf() bool {
	var pa vm.PhysAddr
	gpa := w.entry.Addr(w.va)
	e, ok := w.secondStage(gpa, false, &pa)
	if !ok {
		return false
	}
	if w.mode == modeAccess && !w.stage2Writable() {
		return false
	}
	shift := min(e.Shift, w.entry.Shift)
	rights := w.entry.Perm & (e.Perm | vm.PermU | vm.PermPXN)
	w.entry.Page = w.va &^ (1<<shift - 1)
	w.entry.Frame = pa &^ (1<<shift - 1)
	w.entry.Shift, w.entry.Perm, w.entry.Refs = shift, rights, uint8(min(w.refs, 255))
	return true
}

// stage2Writable checks that the entries which hardware must update can be
// written through the second stage, before anything is changed.
func (w *walker) stage2Writable() bool {
	for i := w.first; i >= w.level; i-- {
		if w.updatedPTE(i) == w.path[i].pte {
			continue
		}
		var host vm.PhysAddr
		refs, quiet := w.refs, w.quiet
		w.quiet = true // the write goes where the read went: no further reference
		_, ok := w.stage2(w.path[i].addr, vm.Write|vm.User, modeCheck, true, &host)
		w.refs, w.quiet = refs, quiet
		if !ok {
			return false
		}
	}
	return true
}

// commitSecondStage sets the second stage's accessed and dirty bits for all that
// the walk touched. A translation that has gone since the walk found it has no
// bits to set: the walk came before.
func (w *walker) commitSecondStage() {
	refs := w.refs
	var host vm.PhysAddr
	for i := w.first; i >= w.level; i-- {
		acc := w.stage2Access(true)
		if w.updatedPTE(i) != w.path[i].pte {
			acc = vm.Write | vm.User
		}
		w.stage2(w.path[i].addr, acc, modeAccess, true, &host)
	}
	if e, ok := w.stage2(w.leafGPA(), w.stage2Access(false), modeAccess, false, &host); ok {
		w.entry.Perm |= e.Perm & vm.PermD & w.leafDirty()
	}
	w.refs = refs
}

// leafGPA is the guest-physical address of the access.
func (w *walker) leafGPA() vm.PhysAddr {
	frame, shift := w.t.plan.frame(w.level, w.path[w.level].pte)
	return frame | vm.PhysAddr(w.va)&(1<<shift-1)
}

// leafDirty is PermD if the first-stage leaf is dirty, or is about to be.
func (w *walker) leafDirty() vm.Perm {
	return w.t.plan.leafRights(w.updatedPTE(w.level)) & vm.PermD
}
