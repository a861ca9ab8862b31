package main

import (
	"fmt"
	"strconv"

	"github.com/memlab-go/memlab/vm"
)

// A dumpCase is case.json.
type dumpCase struct {
	Format    string          `json:"format"`
	RAM       string          `json:"ram"`
	Root      hexa            `json:"root"`
	HRoot     hexa            `json:"hroot,omitempty"`
	Ctl       map[string]bool `json:"ctl"`
	Segments  []dumpSegment   `json:"segments"`
	Queries   []dumpQuery     `json:"queries"`
	Mappings  []dumpMapping   `json:"mappings,omitempty"`
	GMappings []dumpGMapping  `json:"gmappings,omitempty"`
	After     []dumpSegment   `json:"after,omitempty"`

	files map[string][]byte
}

// A hexa is a number written as "0x…".
type hexa uint64

func (h hexa) MarshalText() ([]byte, error) {
	return strconv.AppendUint([]byte("0x"), uint64(h), 16), nil
}

type dumpSegment struct {
	PA   hexa   `json:"pa"`
	File string `json:"file"`
}

type dumpMapping struct {
	VA   hexa   `json:"va"`
	PA   hexa   `json:"pa"`
	Size uint64 `json:"size"`
	Root hexa   `json:"root"`
}

type dumpGMapping struct {
	GPA   hexa   `json:"gpa"`
	PA    hexa   `json:"pa"`
	Size  uint64 `json:"size"`
	HRoot hexa   `json:"hroot"`
}

type dumpQuery struct {
	VA        hexa          `json:"va"`
	Acc       string        `json:"acc"`
	Mode      string        `json:"mode"`
	Root      hexa          `json:"root"`
	HRoot     hexa          `json:"hroot,omitempty"`
	ASID      vm.ASID       `json:"asid,omitempty"`
	VMID      uint16        `json:"vmid,omitempty"`
	Flush     any           `json:"flush,omitempty"` // nil: everything
	SUM       *bool         `json:"sum,omitempty"`
	MXR       *bool         `json:"mxr,omitempty"`
	HMXR      *bool         `json:"hmxr,omitempty"`
	Write     []dumpStore   `json:"write,omitempty"`
	Expect    *dumpOutcome  `json:"expect,omitempty"`
	ExpectAny []dumpOutcome `json:"expect_any,omitempty"`
}

type dumpStore struct {
	PA    hexa   `json:"pa"`
	Value hexa   `json:"value"`
	Size  uint64 `json:"size"`
}

// A dumpOutcome is what an access may give: a physical address, or a fault with
// the codes of its architecture.
type dumpOutcome struct {
	PA     *hexa   `json:"pa,omitempty"`
	Fault  string  `json:"fault,omitempty"`
	Vector *uint16 `json:"vector,omitempty"`
	Code   *hexa   `json:"code,omitempty"`
	Cause  *uint16 `json:"cause,omitempty"`
	HTval  *hexa   `json:"htval,omitempty"`
	FSC    *hexa   `json:"fsc,omitempty"`
	GPA    *hexa   `json:"gpa,omitempty"`
}

func outcomePA(pa vm.PhysAddr) dumpOutcome {
	h := hexa(pa)
	return dumpOutcome{PA: &h}
}

// outcomeOf turns what a walk returned into what case.json says.
func outcomeOf(pa vm.PhysAddr, f *vm.Fault) dumpOutcome {
	if f == nil {
		return outcomePA(pa)
	}
	o := dumpOutcome{Fault: f.Kind.String()}
	code, gpa := hexa(f.HW.Code), hexa(f.HW.GPA)
	switch f.HW.Arch {
	case vm.ArchX86:
		o.Vector, o.Code = &f.HW.Vector, &code
	case vm.ArchSVM:
		o.Fault, o.Vector, o.Code, o.GPA = "npf", &f.HW.Vector, &code, &gpa
	case vm.ArchRISCV:
		o.Cause = &f.HW.Vector
		if f.HW.Vector >= 20 {
			htval := gpa >> 2
			o.HTval = &htval
		}
	case vm.ArchARM:
		o.FSC = &code
	}
	return o
}

// key identifies an outcome among alternatives.
func (o dumpOutcome) key() string {
	if o.PA != nil {
		return fmt.Sprint("pa ", *o.PA)
	}
	return o.Fault
}

// accNames are the case file's words for operations, by vm.Access.Op.
var accNames = [3]string{"r", "w", "x"}

// query makes the query of an access; the outcome is still to be filled in.
func query(va vm.VirtAddr, acc vm.Access, root vm.PhysAddr, riscv, nested bool) dumpQuery {
	q := dumpQuery{VA: hexa(va), Acc: accNames[acc.Op()], Mode: "s", Root: hexa(root)}
	if acc.IsUser() {
		q.Mode = "u"
	}
	flag := func(bit vm.Access) *bool { on := acc&bit != 0; return &on }
	if riscv {
		q.SUM, q.MXR = flag(vm.SUM), flag(vm.MXR)
	}
	if nested && riscv {
		q.HMXR = flag(vm.HMXR)
	}
	return q
}
