package pagetable

import (
	"fmt"
	"strings"

	"github.com/memlab-go/memlab/vm"
)

// A Trace is one walk written down: what was read, in order, what it meant, what
// was set, and how it ended.
type Trace struct {
	VA     vm.VirtAddr
	Access vm.Access
	Format *Format // of the (first) stage
	Steps  []TraceStep
	Entry  vm.Entry // if Fault is nil
	Fault  *vm.Fault
}

// A TraceStep is one entry that was read.
type TraceStep struct {
	Stage   uint8 // 0: the only one; else 1 or 2
	Level   int
	Name    string // of the entry: "PDE"
	Index   uint64 // in its table
	Addr    vm.PhysAddr
	PTE     uint64
	Fields  string // its flags, drawn
	Means   string // "table 0x2000", "page 0x5000, 4 KiB, rwxu", "not present"
	Updated uint64 // its value after the walk
}

// Trace makes the access that [Table.Walk] makes and returns its story. Events
// are off afterwards; like [Table.SetEvents] it must not run beside walks.
func (t *Table) Trace(va vm.VirtAddr, acc vm.Access) *Trace {
	return traceOf(t, &t.plan, nil, va, acc)
}

// Trace makes the access and returns its story, with the steps of both stages in
// the order in which they are made.
func (n *Nested) Trace(va vm.VirtAddr, acc vm.Access) *Trace {
	return traceOf(n, &n.first.plan, &n.second.plan, va, acc)
}

// tracer is what a walk needs to be written down.
type tracer interface {
	vm.PageTable
	vm.Emitter
}

func traceOf(t tracer, first, second *plan, va vm.VirtAddr, acc vm.Access) *Trace {
	tr := &Trace{VA: va, Access: acc, Format: &first.format}
	t.SetEvents(func(e vm.Event) {
		switch e.Kind {
		case vm.EventStep:
			p := first
			if e.Stage == 2 {
				p = second
			}
			tr.Steps = append(tr.Steps, p.step(e))
		case vm.EventUpdate:
			for i := range tr.Steps {
				if tr.Steps[i].Addr == e.PTEAddr {
					tr.Steps[i].Updated = e.PTE
				}
			}
		}
	})
	tr.Entry, tr.Fault = t.Walk(va, acc)
	t.SetEvents(nil)
	return tr
}

// step describes an entry that was read.
func (p *plan) step(e vm.Event) TraceStep {
	l := &p.levels[e.Level]
	s := TraceStep{
		Stage: e.Stage, Level: int(e.Level), Name: l.Name, Index: uint64(e.VA) >> l.Shift & l.index,
		Addr: e.PTEAddr, PTE: e.PTE, Updated: e.PTE, Fields: p.format.Fields(e.PTE),
	}
	switch kind, fault, mask := p.classify(int(e.Level), e.PTE); kind {
	case entryTable:
		s.Means = fmt.Sprintf("table %v", p.next(e.PTE))
		if g, _ := p.tableRights(int(e.Level), e.PTE); g != allRights {
			s.Means += ", takes away " + takenAway(g)
		}
	case entryLeaf:
		frame, shift := p.frame(int(e.Level), e.PTE)
		s.Means = fmt.Sprintf("page %v, %s, %v", frame, byteSize(1<<shift), p.leafRights(e.PTE)&^vm.PermD)
	default:
		s.Means = fault.String()
		if mask != 0 {
			s.Means += fmt.Sprintf(", bits %#x", mask)
		}
	}
	return s
}

// takenAway names the rights that a table entry does not pass on.
func takenAway(grant vm.Perm) string {
	var s []string
	for i, name := range []string{"reading", "writing", "execution", "user access"} {
		if grant>>i&1 == 0 {
			s = append(s, name)
		}
	}
	return strings.Join(s, " and ")
}

// Result says how the walk ended: "physical address 0x5234" or the fault with its
// code.
func (tr *Trace) Result() string {
	if tr.Fault == nil {
		return fmt.Sprintf("physical address %v", tr.Entry.Addr(tr.VA))
	}
	s := "fault: " + tr.Fault.Kind.String()
	if tr.Fault.Kind == vm.Protection {
		s += fmt.Sprintf(" (needs %v, has %v)", tr.Fault.Need, tr.Fault.Have&^vm.PermD)
	}
	if hw := tr.Fault.HW.String(); hw != "" {
		s += ", " + hw
	}
	if tr.Fault.Note != "" {
		s += ", " + tr.Fault.Note
	}
	return s
}

// Line draws step i: where the entry is, its value, its flags, what it means.
func (tr *Trace) Line(i int) string {
	s := tr.Steps[i]
	stage := ""
	if s.Stage > 0 {
		stage = fmt.Sprintf("stage %d ", s.Stage)
	}
	out := fmt.Sprintf("%2d. %s%s[%#x] at %v = %#0*x\n      %s\n      → %s", i+1, stage, s.Name, s.Index, s.Addr, 2*int(tr.Format.PTESize), s.PTE, s.Fields, s.Means)
	if s.Updated != s.PTE {
		out += fmt.Sprintf("\n      hardware sets it to %#x", s.Updated)
	}
	return out
}

// Sum draws the last line: frame and offset make the address, or the fault.
func (tr *Trace) Sum() string {
	if tr.Fault != nil {
		return tr.Result()
	}
	off := uint64(tr.VA) & (tr.Entry.Size() - 1)
	return fmt.Sprintf("frame %v + offset %#x = %s   (%d memory references)", tr.Entry.Frame, off, tr.Result(), tr.Entry.Refs)
}

// String draws the whole walk.
func (tr *Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, %v, %s\n%s", tr.VA, tr.Access, tr.Format.Title, tr.Format.Ruler(tr.VA))
	for i := range tr.Steps {
		fmt.Fprintln(&b, tr.Line(i))
	}
	fmt.Fprintf(&b, "    %s\n", tr.Sum())
	return b.String()
}
