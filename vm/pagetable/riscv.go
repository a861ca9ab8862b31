package pagetable

import "github.com/memlab-go/memlab/vm"

// The RISC-V entry, 8 bytes wide (privileged specification, figures 10.22 to
// 10.25); Sv32 has 4 bytes, a 22-bit PPN and nothing above it:
//
//	 63 62  61 60      54 53                              10 9   8 7 6 5 4 3 2 1 0
//	┌──┬──────┬──────────┬──────────────────────────────────┬─────┬─┬─┬─┬─┬─┬─┬─┬─┐
//	│N │ PBMT │ reserved │ PPN (address bits 55 to 12)      │ RSW │D│A│G│U│X│W│R│V│
//	└──┴──────┴──────────┴──────────────────────────────────┴─────┴─┴─┴─┴─┴─┴─┴─┴─┘
//
// R, W and X all zero make a pointer to the next table.
const (
	rvV    = 1 << 0
	rvR    = 1 << 1
	rvW    = 1 << 2
	rvX    = 1 << 3
	rvU    = 1 << 4
	rvG    = 1 << 5
	rvA    = 1 << 6
	rvD    = 1 << 7
	rvPBMT = 3 << 61
	rvN    = bit63
)

// rvIllegal returns the combination that RISC-V reserves.
func rvIllegal() []Pattern {
	return []Pattern{{Mask: rvR | rvW, Want: rvW, Level: -1, Why: "writable but not readable"}}
}

// rvFlags returns the flags of an entry whose upper part is given.
func rvFlags(upper ...Flag) []Flag {
	return append(upper, []Flag{{"D", 7, 1}, {"A", 6, 1}, {"G", 5, 1}, {"U", 4, 1}, {"X", 3, 1}, {"W", 2, 1}, {"R", 1, 1}, {"V", 0, 1}}...)
}

// riscv64 makes a 64-bit RISC-V format of n levels whose root index is wide bits
// wider than nine (2 for a second stage).
func riscv64(name, title string, n, wide int) Format {
	f := Format{
		Name: name, Title: title, Arch: vm.ArchRISCV,
		PTESize: 8, VABits: uint8(12 + 9*n + wide), PABits: 56, Signed: wide == 0, SecondStage: wide > 0,
		Present: rvV, Frame: bitsOf(10, 53), FrameShift: 2, Reserved: bitsOf(54, 60),
		Read: rvR, Write: rvW, Exec: rvX, User: rvU, Global: rvG, Accessed: rvA, Dirty: rvD,
		LeafAny: rvR | rvW | rvX, NapotBit: rvN,
		TableReserved: rvA | rvD | rvU | rvPBMT | rvN, Illegal: rvIllegal(),
		Flags: rvFlags(Flag{"N", 63, 1}, Flag{"PBMT", 61, 2}, Flag{"PPN", 10, 44}),
	}
	for i := n - 1; i >= 0; i-- {
		f.Levels = append(f.Levels, Level{Name: "L" + string(rune('0'+i)), Shift: uint8(12 + 9*i), Bits: 9, Leaf: true})
	}
	f.Levels[0].Bits += uint8(wide)
	return f
}

// The RISC-V formats with 64-bit entries; gigapages, terapages and so on are
// allowed at every level. Svnapot and Svpbmt are options of a table.
var (
	Sv39 = riscv64("sv39", "RISC-V Sv39", 3, 0) // 39-bit addresses, 3 levels
	Sv48 = riscv64("sv48", "RISC-V Sv48", 4, 0) // 48-bit addresses, 4 levels
	Sv57 = riscv64("sv57", "RISC-V Sv57", 5, 0) // 57-bit addresses, 5 levels

	Sv39x4 = riscv64("sv39x4", "RISC-V Sv39x4, second stage", 3, 2) // 41-bit guest-physical addresses, root of 16 KiB
	Sv48x4 = riscv64("sv48x4", "RISC-V Sv48x4, second stage", 4, 2) // 50-bit guest-physical addresses
	Sv57x4 = riscv64("sv57x4", "RISC-V Sv57x4, second stage", 5, 2) // 59-bit guest-physical addresses
)

// Sv32 is the 32-bit RISC-V format: 2 levels, pages of 4 KiB and 4 MiB, 34-bit
// physical addresses.
var Sv32 = Format{
	Name: "sv32", Title: "RISC-V Sv32", Arch: vm.ArchRISCV,
	PTESize: 4, VABits: 32, PABits: 34,
	Levels:  []Level{{Name: "L1", Shift: 22, Bits: 10, Leaf: true}, {Name: "L0", Shift: 12, Bits: 10, Leaf: true}},
	Present: rvV, Frame: bitsOf(10, 31), FrameShift: 2,
	Read: rvR, Write: rvW, Exec: rvX, User: rvU, Global: rvG, Accessed: rvA, Dirty: rvD,
	LeafAny: rvR | rvW | rvX, TableReserved: rvA | rvD | rvU, Illegal: rvIllegal(),
	Flags: rvFlags(Flag{"PPN", 10, 22}),
}

// Tiny is Sv39 shrunk until it fits on paper, flag for flag: 7-bit addresses, 2
// levels of 4 entries, pages of 8 bytes (one table exactly) and of 32 bytes, 8-bit
// physical addresses.
//
//	 15   13 12     8 7 6 5 4 3 2 1 0          6    5 4    3 2      0
//	┌───────┬────────┬─┬─┬─┬─┬─┬─┬─┬─┐        ┌──────┬──────┬────────┐
//	│  zero │ frame  │D│A│G│U│X│W│R│V│   va:  │ L1   │ L0   │ offset │
//	└───────┴────────┴─┴─┴─┴─┴─┴─┴─┴─┘        └──────┴──────┴────────┘
var Tiny = Format{
	Name: "tiny", Title: "Tiny, Sv39 in small", Arch: vm.ArchRISCV,
	PTESize: 2, VABits: 7, PABits: 8,
	Levels:  []Level{{Name: "L1", Shift: 5, Bits: 2, Leaf: true}, {Name: "L0", Shift: 3, Bits: 2, Leaf: true}},
	Present: rvV, Frame: bitsOf(8, 12), FrameShift: -5, Reserved: bitsOf(13, 15),
	Read: rvR, Write: rvW, Exec: rvX, User: rvU, Global: rvG, Accessed: rvA, Dirty: rvD,
	LeafAny: rvR | rvW | rvX, TableReserved: rvA | rvD | rvU, Illegal: rvIllegal(),
	Flags: rvFlags(Flag{"zero", 13, 3}, Flag{"frame", 8, 5}),
}
