package pagetable

import "github.com/memlab-go/memlab/vm"

// Linear is the table without a tree: one array with an entry for every page of
// a 32-bit address space, 4 MiB of it. Entries are Sv32's.
var Linear = LinearFormat(32, 12)

// LinearFormat returns the format of a linear table for addresses of vaBits bits
// and pages of 1<<pageShift bytes, pageShift < vaBits ≤ pageShift+24. Entries have
// four bytes and Sv32's flags; the frame number fills bits 31 to 10.
func LinearFormat(vaBits, pageShift uint8) Format {
	return Format{
		Name: "linear", Title: "linear table", Arch: vm.NoArch,
		PTESize: 4, VABits: vaBits, PABits: min(pageShift+22, 56),
		Levels:  []Level{{Name: "PTE", Shift: pageShift, Bits: vaBits - pageShift, Leaf: true}},
		Present: rvV, Frame: bitsOf(10, 31), FrameShift: int8(pageShift) - 10,
		Read: rvR, Write: rvW, Exec: rvX, User: rvU, Global: rvG, Accessed: rvA, Dirty: rvD,
		LeafAny: rvR | rvW | rvX, Illegal: rvIllegal(), Flags: rvFlags(Flag{"PPN", 10, 22}),
	}
}
