// Package pagetable builds and walks page tables, bit for bit as hardware reads
// them.
//
// The parts:
//
//   - [Format]: a page-table format as data. [X86_64], [X86_64_5Level], [X86PAE],
//     [X86], [Sv32], [Sv39], [Sv48], [Sv57], [ARM64_4K], and [Tiny], which fits
//     on paper; second stages [Sv39x4], [Sv48x4], [Sv57x4] and [NPT].
//   - [Table]: a tree of tables in a [vm.Memory]: Map, Unmap, Protect, Split,
//     Merge, Walk, Mappings, Check, Dump.
//   - [Nested]: a guest's table over a second stage.
//   - [Linear], [Hashed], [Inverted]: the classic alternatives to a tree.
//   - [Options]: what of the processor's state a walk depends on.
//
// # One walk, step by step
//
// Sv39, address 0x40_1234, a read from user mode, root at 0x8000_1000:
//
//  1. The address must be canonical: bits 63 to 39 repeat bit 38.
//  2. Bits 38 to 30 are 0: the entry at 0x8000_1000 is read. It is valid, R, W and
//     X are zero, so it points to the next table; its reserved bits are zero.
//  3. Bits 29 to 21 are 2: the entry at offset 16 of that table, the same again.
//  4. Bits 20 to 12 are 1: the entry at offset 8 of the last table. R is set, so it
//     is a leaf. U is set, as the access needs; A is set or is set now.
//  5. The frame number and bits 11 to 0 of the address make the physical address.
//
// # Memory picture
//
//	root            level 1          level 0           page
//	┌────────┐  ┌─►┌────────┐   ┌─►┌────────┐    ┌─►┌────────┐
//	│ 0: ────┼──┘  │ 0      │   │  │ 0      │    │  │        │
//	│ 1      │     │ 1      │   │  │ 1: ────┼────┘  │ ◄ 0x234│
//	│ …      │     │ 2: ────┼───┘  │ …      │       │        │
//	└────────┘     └────────┘      └────────┘       └────────┘
//
// # Two walkers, one truth
//
// The exact walk (walk.go) knows every rule. The fast walk (fast.go) recognises,
// by four masks a level that are derived from the same data, walks in which
// nothing is left to decide or to update, and leaves all others to the exact one.
// A test compares them on arbitrary memory.
//
// # Limits
//
// A table's options are fixed when it is made; open the same root again for
// another CR0.WP. PAE's four upper entries are read in every walk, where a
// processor reads them once, when CR3 is loaded, and refuses bad ones there: a
// change of one is seen here without a load of CR3. Protection keys, shadow stacks, Arm's contiguous hint and the 16
// and 64 KiB granules are not modelled. BadFrame has no code on x86, where the
// outcome is the bus's.
//
// # Concurrency
//
// Walks may run on many goroutines, with each other and with changes of the same
// [Table]. Entries are read and written atomically, in the heap's memory as well
// as in mapped memory.
//
// # Sources
//
// Intel SDM volume 3A chapter 4; AMD APM volume 2, sections 5 and 15.25; the RISC-V
// privileged specification 20240411, chapters 10 to 12 and 18; Arm ARM DDI 0487,
// chapter D8.
package pagetable
