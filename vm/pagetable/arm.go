package pagetable

import "github.com/memlab-go/memlab/vm"

// The Arm descriptor (DDI 0487, D8.3, 4 KiB granule, stage 1, 48-bit output):
//
//	63   59 58 55  54  53  52  51 50   48 47              12 11 10 9  8 7   6 5  4   2  1   0
//	┌──────┬─────┬───┬───┬────┬───┬──────┬──────────────────┬──┬──┬────┬─────┬──┬─────┬───┬───┐
//	│table │ sw  │UXN│PXN│cont│DBM│ zero │ output address   │nG│AF│ SH │ AP  │NS│Attr │T/P│ V │
//	└──────┴─────┴───┴───┴────┴───┴──────┴──────────────────┴──┴──┴────┴─────┴──┴─────┴───┴───┘
//
// Bit 1 is 1 for a table, 0 for a block, and 1 again for a page at the last
// level. AP[2] makes a page read-only, AP[1] lets EL0 in. In a table, bits 63 to 59
// are NSTable, APTable (no writes, no EL0), UXNTable and PXNTable: they take
// rights away from everything below.
const (
	armV   = 1 << 0
	armT   = 1 << 1
	armEL0 = 1 << 6
	armRO  = 1 << 7
	armAF  = 1 << 10
	armNG  = 1 << 11
	armDBM = 1 << 51
	armPXN = 1 << 53
	armUXN = 1 << 54
)

// ARM64_4K is AArch64 stage 1 with the 4 KiB granule and 48-bit addresses in
// the lower half (TTBR0): 4 levels, blocks of 1 GiB and 2 MiB.
var ARM64_4K = Format{
	Name: "aarch64-4k", Title: "AArch64, 4 KiB granule", Arch: vm.ArchARM,
	PTESize: 8, VABits: 48, PABits: 48,
	Levels: []Level{
		{Name: "L0 descriptor", Shift: 39, Bits: 9},
		{Name: "L1 descriptor", Shift: 30, Bits: 9, Leaf: true},
		{Name: "L2 descriptor", Shift: 21, Bits: 9, Leaf: true},
		{Name: "L3 descriptor", Shift: 12, Bits: 9, Leaf: true},
	},
	Present: armV, Frame: bitsOf(12, 47),
	User: armEL0, ReadOnly: armRO, NoExec: armUXN, PXN: armPXN, NotGlobal: armNG, Accessed: armAF, DirtyModifier: armDBM,
	PageBits: armT, TablePresent: armT,
	TableNoUser: 1 << 61, TableNoWrite: 1 << 62, TableNoExec: 1 << 60, TablePXN: 1 << 59,
	AlignIgnored: true, RightsAlways: vm.PermR,
	Illegal: []Pattern{
		{Mask: armT, Want: 0, Level: 3, Why: "block at level 0"},
		{Mask: armT, Want: 0, Level: 0, Why: "block at level 3"},
	},
	Flags: []Flag{{"UXN", 54, 1}, {"PXN", 53, 1}, {"DBM", 51, 1}, {"address", 12, 36}, {"nG", 11, 1}, {"AF", 10, 1}, {"SH", 8, 2}, {"RO", 7, 1}, {"EL0", 6, 1}, {"Attr", 2, 3}, {"T", 1, 1}, {"V", 0, 1}},
}
