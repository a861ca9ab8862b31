package tlb

// Page sizes of the presets, in bytes.
const (
	kib4 = 4 << 10
	mib2 = 2 << 20
	gib1 = 1 << 30
)

// Presets returns configurations of processors that exist. Every figure stands in the
// document that Source names; what the documents do not say is left at its default:
// replacement is LRU, levels are neither inclusive nor exclusive. The costs are
// [DefaultCost], not the processor's.
//
//   - skylake: one thread. 4 KiB and 2 MiB pages share the second level; 1 GiB pages
//     have 16 entries of their own there, and none in the instruction side's first.
//   - zen: without the 8 entries before the level-1 instruction TLB. The level-2 data
//     TLB hashes its ways by page size in silicon, and 1 GiB pages are broken down to
//     2 MiB for both level-2 TLBs; here they are not kept there.
//   - jaguar: 1 GiB pages are broken down to 2 MiB in silicon; here none are kept. The
//     page directory cache is taken to be fully associative.
//   - cortex-a53: the main TLB keeps a 1 GiB block as 512 MiB in silicon, here as 1 GiB.
//     The walk cache leads to tables of the last level; the 64 entries for
//     intermediate addresses of two-stage translation are left out.
//   - u54: one level; the walker has no cache.
func Presets() []Config {
	return []Config{
		{
			Name:   "skylake",
			Source: "WikiChip, Skylake (server), section Memory Hierarchy, TLBs; the instruction TLB also in Intel 248966-045, table 2-15, as quoted on community.intel.com, topic 1371605",
			Levels: []Level{
				{
					Instr: []Array{{Entries: 128, Ways: 8, Pages: []uint64{kib4}}, {Entries: 8, Pages: []uint64{mib2}}},
					Data: []Array{
						{Entries: 64, Ways: 4, Pages: []uint64{kib4}},
						{Entries: 32, Ways: 4, Pages: []uint64{mib2}},
						{Entries: 4, Ways: 4, Pages: []uint64{gib1}},
					},
				},
				{Data: []Array{
					{Entries: 1536, Ways: 12, Pages: []uint64{kib4, mib2}},
					{Entries: 16, Ways: 4, Pages: []uint64{gib1}},
				}},
			},
			Cost: DefaultCost(),
		},
		{
			Name:   "zen",
			Source: "level 1: CPUID 80000005h and 80000019h of a Ryzen 7 1700X, InstLatX64 file AuthenticAMD0800F11_K17_Zen2_CPUID.txt; level 2: AMD 55723 rev. 3.00, section 2.7.2, page 26, as quoted on Stack Overflow, answer to question 69814823",
			Levels: []Level{
				{
					Instr: []Array{{Entries: 64, Pages: []uint64{kib4, mib2, gib1}}},
					Data:  []Array{{Entries: 64, Pages: []uint64{kib4, mib2, gib1}}},
				},
				{
					Instr: []Array{{Entries: 512, Ways: 8, Pages: []uint64{kib4, mib2}}},
					Data:  []Array{{Entries: 1536, Ways: 12, Pages: []uint64{kib4, mib2}}},
				},
			},
			Cost: DefaultCost(),
		},
		{
			Name:   "jaguar",
			Source: "AMD Software Optimization Guide for Family 16h Processors, 52128 rev. 1.1, sections 2.6.1 to 2.6.3, page 13",
			Levels: []Level{
				{
					Instr: []Array{{Entries: 32, Pages: []uint64{kib4}}, {Entries: 8, Pages: []uint64{mib2}}},
					Data:  []Array{{Entries: 40, Pages: []uint64{kib4}}, {Entries: 8, Pages: []uint64{mib2}}},
				},
				{
					Instr: []Array{{Entries: 512, Ways: 4, Pages: []uint64{kib4}}},
					Data:  []Array{{Entries: 512, Ways: 4, Pages: []uint64{kib4}}, {Entries: 256, Ways: 2, Pages: []uint64{mib2}}},
				},
			},
			WalkCaches: []WalkCache{{Level: 0, Shift: 21, Entries: 16}},
			Cost:       DefaultCost(),
		},
		{
			Name:   "cortex-a53",
			Source: "Arm Cortex-A53 MPCore Processor Technical Reference Manual, DDI 0500D, sections 5.1 and 5.2",
			Levels: []Level{
				{Instr: []Array{{Entries: 10}}, Data: []Array{{Entries: 10}}},
				{Data: []Array{{Entries: 512, Ways: 4}}},
			},
			WalkCaches: []WalkCache{{Level: 0, Shift: 21, Entries: 64, Ways: 4}},
			Cost:       DefaultCost(),
		},
		{
			Name:   "u54",
			Source: "Microchip PolarFire SoC MSS Technical Reference Manual, CPU core complex, U54, section MMU",
			Levels: []Level{{Instr: []Array{{Entries: 32}}, Data: []Array{{Entries: 32}}}},
			Cost:   DefaultCost(),
		},
	}
}
