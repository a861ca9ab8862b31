package tlb

// Page sizes of the presets, in bytes.
const (
	kib4 = 4 << 10
	mib2 = 2 << 20
	gib1 = 1 << 30
)

// Presets returns configurations of processors that exist, each with the manual
// that its figures come from. What a manual does not say is left at its default:
// replacement is LRU, levels are neither inclusive nor exclusive. The costs are
// [DefaultCost], not the manual's.
func Presets() []Config {
	return []Config{
		{
			Name:   "skylake",
			Source: "Intel 64 and IA-32 Architectures Optimization Reference Manual, 248966-045, table 2-15 (one thread)",
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
			Source: "AMD Software Optimization Guide for Family 17h Processors, 55723 rev. 3.00, section 2.7 (without the 8 entries before the level-1 instruction TLB; the level-2 data TLB is skewed in silicon)",
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
			Source: "AMD Software Optimization Guide for Family 16h Processors, 52128 rev. 1.1, section 2.6",
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
			Source: "Arm Cortex-A53 MPCore Processor Technical Reference Manual, DDI 0500, sections 5.1 and 5.2",
			Levels: []Level{
				{Instr: []Array{{Entries: 10}}, Data: []Array{{Entries: 10}}},
				{Data: []Array{{Entries: 512, Ways: 4}}},
			},
			WalkCaches: []WalkCache{{Level: 0, Shift: 21, Entries: 64, Ways: 4}},
			Cost:       DefaultCost(),
		},
		{
			Name:   "u54",
			Source: "SiFive U54 core as in Microchip's PolarFire SoC MSS Technical Reference Manual, section MMU",
			Levels: []Level{{Instr: []Array{{Entries: 32}}, Data: []Array{{Entries: 32}}}},
			Cost:   DefaultCost(),
		},
	}
}
