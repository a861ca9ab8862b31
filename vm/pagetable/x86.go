package pagetable

import "github.com/memlab-go/memlab/vm"

// The x86 entry, 8 bytes wide (Intel SDM 3A, tables 4-15 to 4-20):
//
//	 63 62      52 51                         12 11   9  8  7  6  5   4   3   2   1  0
//	┌──┬──────────┬─────────────────────────────┬──────┬──┬──┬──┬──┬────┬───┬───┬───┬─┐
//	│NX│ ignored  │ frame (bits 51 to 12)       │ avl  │G │PS│D │A │PCD │PWT│U/S│R/W│P│
//	└──┴──────────┴─────────────────────────────┴──────┴──┴──┴──┴──┴────┴───┴───┴───┴─┘
//
// Bit 7 is PS above the last level and PAT in it. Without PAE entries have four
// bytes, end at bit 31 and have no NX.
const (
	x86P  = 1 << 0
	x86RW = 1 << 1
	x86US = 1 << 2
	x86A  = 1 << 5
	x86D  = 1 << 6
	x86PS = 1 << 7
	x86G  = 1 << 8
	x86NX = bit63
)

// x86Flags returns the flags of 8-byte entries.
func x86Flags() []Flag {
	return []Flag{{"NX", 63, 1}, {"frame", 12, 40}, {"G", 8, 1}, {"PS", 7, 1}, {"D", 6, 1}, {"A", 5, 1}, {"PCD", 4, 1}, {"PWT", 3, 1}, {"U", 2, 1}, {"W", 1, 1}, {"P", 0, 1}}
}

// x86Levels returns the n levels of 64-bit paging, root first.
func x86Levels(n int) []Level {
	all := []Level{
		{Name: "PML5E", Shift: 48, Bits: 9, Reserved: x86PS},
		{Name: "PML4E", Shift: 39, Bits: 9, Reserved: x86PS},
		{Name: "PDPTE", Shift: 30, Bits: 9, Leaf: true, LeafReserved: bitsOf(13, 29)},
		{Name: "PDE", Shift: 21, Bits: 9, Leaf: true, LeafReserved: bitsOf(13, 20)},
		{Name: "PTE", Shift: 12, Bits: 9, Leaf: true},
	}
	return all[len(all)-n:]
}

// x86Long makes the format of 64-bit paging with n levels.
func x86Long(name, title string, n int) Format {
	return Format{
		Name: name, Title: title, Arch: vm.ArchX86,
		PTESize: 8, VABits: uint8(12 + 9*n), PABits: 52, Signed: true,
		Levels:  x86Levels(n),
		Present: x86P, Frame: bitsOf(12, 51),
		Write: x86RW, User: x86US, NoExec: x86NX, Global: x86G, Accessed: x86A, Dirty: x86D, HugeBit: x86PS,
		TablePresent: x86RW | x86US, TableWrite: x86RW, TableUser: x86US, TableNoExec: x86NX, TableAccessed: true,
		AlignReserved: true, Flags: x86Flags(), RightsAlways: vm.PermR,
	}
}

// X86_64 is 4-level paging: 48-bit addresses, pages of 4 KiB, 2 MiB and 1 GiB.
var X86_64 = x86Long("x86-64-4level", "x86-64, 4-level paging", 4)

// X86_64_5Level is 5-level paging (LA57): 57-bit addresses.
var X86_64_5Level = x86Long("x86-64-5level", "x86-64, 5-level paging", 5)

// X86PAE is 32-bit paging with physical address extension: 4 entries of the
// page-directory-pointer table, which carry no rights, then two levels; pages of
// 4 KiB and 2 MiB. The processor reads the four entries when CR3 is loaded; here
// they are read in each walk.
var X86PAE = Format{
	Name: "x86-pae", Title: "x86, PAE paging", Arch: vm.ArchX86,
	PTESize: 8, VABits: 32, PABits: 52,
	Levels: []Level{
		{Name: "PDPTE", Shift: 30, Bits: 2, Plain: true, Reserved: bitsOf(1, 2) | bitsOf(5, 8) | bit63},
		{Name: "PDE", Shift: 21, Bits: 9, Leaf: true, LeafReserved: bitsOf(13, 20)},
		{Name: "PTE", Shift: 12, Bits: 9, Leaf: true},
	},
	Present: x86P, Frame: bitsOf(12, 51), Reserved: bitsOf(52, 62),
	Write: x86RW, User: x86US, NoExec: x86NX, Global: x86G, Accessed: x86A, Dirty: x86D, HugeBit: x86PS,
	TablePresent: x86RW | x86US, TableWrite: x86RW, TableUser: x86US, TableNoExec: x86NX, TableAccessed: true,
	AlignReserved: true, Flags: x86Flags(), RightsAlways: vm.PermR,
}

// X86 is classic 32-bit paging, with 4 MiB pages (PSE) whose frames may lie
// above 4 GiB (PSE-36: bits 20 to 13 of the entry are bits 39 to 32 of the frame).
var X86 = Format{
	Name: "x86-32", Title: "x86, 32-bit paging", Arch: vm.ArchX86,
	PTESize: 4, VABits: 32, PABits: 40,
	Levels: []Level{
		{Name: "PDE", Shift: 22, Bits: 10, Leaf: true, LeafReserved: 1 << 21, HighFrom: 13, HighBits: 8},
		{Name: "PTE", Shift: 12, Bits: 10, Leaf: true},
	},
	Present: x86P, Frame: bitsOf(12, 31),
	Write: x86RW, User: x86US, Global: x86G, Accessed: x86A, Dirty: x86D, HugeBit: x86PS,
	TablePresent: x86RW | x86US, TableWrite: x86RW, TableUser: x86US, TableAccessed: true,
	AlignReserved: true, RightsAlways: vm.PermR | vm.PermX,
	Flags: []Flag{{"frame", 12, 20}, {"G", 8, 1}, {"PS", 7, 1}, {"D", 6, 1}, {"A", 5, 1}, {"PCD", 4, 1}, {"PWT", 3, 1}, {"U", 2, 1}, {"W", 1, 1}, {"P", 0, 1}},
}
