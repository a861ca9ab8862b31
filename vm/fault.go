package vm

import (
	"fmt"
	"strings"
)

// A FaultKind says why an access or a mapping operation failed. It is an error
// itself, so that errors.Is(err, vm.NotPresent) works on any wrapped [Fault].
type FaultKind uint8

// The kinds of fault. The first group ends a walk, the second comes from
// changing a page table, the third from managing frames and swap.
const (
	NonCanonical        FaultKind = iota + 1 // address not canonical, found before any memory is read
	NotPresent                               // an entry's valid bit is clear
	ReservedEncoding                         // a combination of bits that the format reserves (W without R)
	ReservedBit                              // a bit that must be zero is set; Mask says which
	MisalignedSuperpage                      // a huge leaf whose frame is not aligned to its size
	NotLeaf                                  // a pointer to a further table at the last level
	BadFrame                                 // table or page frame outside physical memory
	FrameNotOwned                            // frame is free, or belongs to another address space
	Protection                               // the mapping forbids the access; Need and Have say why
	NotAccessed                              // accessed bit clear, and hardware does not set it
	NotDirty                                 // write with the dirty bit clear, and hardware does not set it

	BadLength     // length zero, not a multiple of the page size, or past the end of the address space
	BadAlign      // address not aligned to the page size asked for
	BadPageSize   // the format has no page of that size
	BadPerm       // the format cannot express these permissions
	AlreadyMapped // part of the range is mapped
	NotMapped     // part of the range is not mapped
	Misuse        // an operation that this kind of table does not offer

	OutOfFrames     // no physical frame is free
	FrameDoubleFree // a frame was freed twice, or its count would leave its range
	NoVictim        // nothing can be evicted: all pinned, or no frames
	SwapFull        // no swap slot is free
	SwapIO          // error of the device of a swap area or a file, or checksum mismatch
	BadSnapshot     // a snapshot is damaged, of another version, or does not fit

	numFaultKinds
)

var faultNames = [numFaultKinds]string{
	NonCanonical: "non-canonical address", NotPresent: "not present", ReservedEncoding: "reserved encoding",
	ReservedBit: "reserved bit set", MisalignedSuperpage: "misaligned superpage", NotLeaf: "not a leaf at the last level",
	BadFrame: "frame outside physical memory", FrameNotOwned: "frame not owned", Protection: "protection",
	NotAccessed: "accessed bit clear", NotDirty: "dirty bit clear",
	BadLength: "bad length", BadAlign: "bad alignment", BadPageSize: "no such page size", BadPerm: "permissions not expressible",
	AlreadyMapped: "already mapped", NotMapped: "not mapped", Misuse: "operation not offered",
	OutOfFrames: "out of frames", FrameDoubleFree: "frame freed twice", NoVictim: "no victim", SwapFull: "swap full",
	SwapIO: "swap i/o error", BadSnapshot: "bad snapshot",
}

// Error returns the kind in words, prefixed "vm: ".
func (k FaultKind) Error() string { return "vm: " + k.String() }

// String returns the kind in words.
func (k FaultKind) String() string {
	if int(k) < len(faultNames) && faultNames[k] != "" {
		return faultNames[k]
	}
	return fmt.Sprintf("fault kind %d", uint8(k))
}

// A Fault is a failed translation or mapping operation. Nothing was changed
// when one is returned: no accessed or dirty bit, no TLB entry, no frame.
type Fault struct {
	Kind    FaultKind
	VA      VirtAddr // the address that was used
	Level   int      // level of the entry that ended the walk: 0 is the last; -1 before any read
	PTEAddr PhysAddr // where that entry is
	PTE     uint64   // its value
	Access  Access
	ASID    ASID

	Mask uint64       // ReservedBit, ReservedEncoding, MisalignedSuperpage: the offending bits of PTE
	Need Perm         // Protection: what the access needs
	Have Perm         // Protection: what the levels grant together
	PA   PhysAddr     // BadFrame, FrameNotOwned: the frame
	HW   HardwareCode // what the processor would report
	Err  error        // what lies behind it (SwapIO, OutOfFrames), or nil
	Note string       // one more fact for the reader, or empty
}

// Error says kind, address, access, entry and hardware code.
func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vm: %s at %v", f.Kind.String(), f.VA)
	if f.Kind < BadLength { // the others are no accesses
		fmt.Fprintf(&b, " (%v)", f.Access)
	}
	if f.Level >= 0 && (f.PTEAddr != 0 || f.PTE != 0) {
		fmt.Fprintf(&b, ": level %d entry at %v is %#x", f.Level, f.PTEAddr, f.PTE)
	}
	switch f.Kind {
	case ReservedBit, ReservedEncoding, MisalignedSuperpage:
		fmt.Fprintf(&b, ", offending bits %#x", f.Mask)
	case Protection:
		fmt.Fprintf(&b, ", needs %v, has %v", f.Need, f.Have)
	case BadFrame, FrameNotOwned:
		fmt.Fprintf(&b, ", frame %v", f.PA)
	}
	if f.Note != "" {
		fmt.Fprintf(&b, ", %s", f.Note)
	}
	if s := f.HW.String(); s != "" {
		fmt.Fprintf(&b, " [%s]", s)
	}
	if f.Err != nil {
		fmt.Fprintf(&b, ": %v", f.Err)
	}
	return b.String()
}

// Is reports whether target is the fault's kind, for errors.Is.
func (f *Fault) Is(target error) bool {
	k, ok := target.(FaultKind)
	return ok && k == f.Kind
}

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// An Arch is the family that a [HardwareCode] belongs to.
type Arch uint8

// The families.
const (
	NoArch  Arch = iota // no hardware defines a code
	ArchX86             // Vector and Code: 14 and the page-fault error code, or 13 and 0
	ArchRISCV
	ArchARM
	ArchSVM // a nested page fault: Vector 0x400, Code EXITINFO1, GPA EXITINFO2
)

// A HardwareCode is what a processor reports for a fault.
//
//	arch    Vector                     Code                        GPA
//	x86     14 (#PF) or 13 (#GP)       error code                  –
//	SVM     0x400 (VMEXIT_NPF)         EXITINFO1                   EXITINFO2
//	RISC-V  cause 12 13 15, 20 21 23   –                           htval << 2
//	Arm     –                          fault status code (6 bits)  –
type HardwareCode struct {
	Arch   Arch
	Vector uint16
	Code   uint64
	GPA    PhysAddr // guest-physical address of a second-stage fault
}

// String writes the code as the architecture's manual does; it is empty for
// [NoArch].
func (h HardwareCode) String() string {
	switch h.Arch {
	case ArchX86:
		if h.Vector == 13 {
			return fmt.Sprintf("#GP(%d)", h.Code)
		}
		return fmt.Sprintf("#PF error code %#x", h.Code)
	case ArchSVM:
		return fmt.Sprintf("#NPF exitinfo1 %#x exitinfo2 %v", h.Code, h.GPA)
	case ArchRISCV:
		if h.Vector >= 20 {
			return fmt.Sprintf("cause %d htval %#x", h.Vector, uint64(h.GPA)>>2)
		}
		return fmt.Sprintf("cause %d", h.Vector)
	case ArchARM:
		return fmt.Sprintf("FSC %#04x", h.Code)
	}
	return ""
}
