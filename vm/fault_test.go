package vm_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

// TestFault has the rows of the fault table for virtual memory, part B, that
// concern walks, page tables and the MMU.
func TestFault(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"B01_non_canonical", faultNonCanonical},
		{"B02_not_present_at_any_level", faultNotPresent},
		{"B03_write_without_read", faultReservedEncoding},
		{"B04_reserved_high_bits", faultReservedBit},
		{"B05_adu_in_pointer", faultPointerFlags},
		{"B06_misaligned_superpage", faultMisaligned},
		{"B07_pointer_at_last_level", faultNotLeaf},
		{"B08_frame_beyond_memory", faultBadFrame},
		{"B09_cycles_and_recursive_mapping", faultCycles},
		{"B10_frame_not_owned", faultNotOwned},
		{"B11_protection", faultProtection},
		{"B13_access_spanning_two_pages", faultSpanning},
		{"B14_accessed_and_dirty", faultAccessedDirty},
		{"B15_stale_after_change", faultStale},
		{"B16_asid_reuse_and_globals", faultASIDReuse},
		{"B18_map_and_unmap_arguments", faultMapArguments},
		{"B19_double_free", faultFrameDoubleFree},
		{"B28_concurrent_translate", faultConcurrent},
		{"B29_snapshot", faultSnapshot},
	} {
		t.Run(row.name, row.run)
	}
}

func faultNonCanonical(t *testing.T) {
	reads := 0
	for _, c := range []struct {
		f    *pagetable.Format
		va   vm.VirtAddr
		arch vm.Arch
		vec  uint16
	}{
		{&pagetable.Sv39, 1 << 38, vm.ArchRISCV, 13}, {&pagetable.Sv39, 1 << 39, vm.ArchRISCV, 13}, {&pagetable.Sv39, 1 << 63, vm.ArchRISCV, 13},
		{&pagetable.Sv48, 1 << 47, vm.ArchRISCV, 13}, {&pagetable.Sv57, 1 << 56, vm.ArchRISCV, 13},
		{&pagetable.X86_64, 1 << 47, vm.ArchX86, 13}, {&pagetable.X86_64, 0x7ffe_0000_0000_0000, vm.ArchX86, 13}, {&pagetable.X86_64_5Level, 1 << 56, vm.ArchX86, 13},
	} {
		r := newRig(t, c.f, pagetable.Options{}, vm.MMUOptions{Events: func(e vm.Event) {
			if e.Kind == vm.EventStep {
				reads++
			}
		}})
		f := r.faults(t, c.va, vm.Read, vm.NonCanonical)
		require.Equal(t, -1, f.Level)
		require.Equal(t, c.arch, f.HW.Arch)
		require.Equal(t, c.vec, f.HW.Vector)
	}
	require.Zero(t, reads, "an entry was read")
}

func faultNotPresent(t *testing.T) {
	for _, f := range []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64, &pagetable.ARM64_4K, &pagetable.X86, &pagetable.X86PAE} {
		for level := range f.Levels {
			r := mapped(t, f, pagetable.Options{})
			addr, pte := r.poke(t, pageVA, level, 0, f.Present)
			fault := r.faults(t, pageVA, vm.Write|vm.User, vm.NotPresent)
			require.Equal(t, level, fault.Level)
			require.Equal(t, addr, fault.PTEAddr)
			require.Equal(t, pte, fault.PTE)
			switch f.Arch {
			case vm.ArchX86:
				require.Equal(t, uint64(6), fault.HW.Code) // W and U, no P
			case vm.ArchARM:
				require.Equal(t, uint64(4+3-level), fault.HW.Code)
			}
		}
	}
}

func faultReservedEncoding(t *testing.T) {
	for level := range 3 {
		for _, wx := range []uint64{1 << 2, 1<<2 | 1<<3} {
			r := mapped(t, &pagetable.Sv39, pagetable.Options{})
			r.poke(t, pageVA, level, wx, 1<<1|1<<3)
			f := r.faults(t, pageVA, vm.Write|vm.User, vm.ReservedEncoding)
			require.Equal(t, level, f.Level)
			require.Equal(t, uint16(15), f.HW.Vector)
		}
	}
}

func faultReservedBit(t *testing.T) {
	check := func(f *pagetable.Format, o pagetable.Options, level int, bit uint64) {
		r := mapped(t, f, o)
		r.poke(t, pageVA, level, bit, 0)
		fault := r.faults(t, pageVA, vm.Read|vm.User, vm.ReservedBit)
		require.Equal(t, bit, fault.Mask)
		require.Equal(t, level, fault.Level)
		if f.Arch == vm.ArchX86 {
			require.Equal(t, uint64(0xd), fault.HW.Code, "P, U and RSVD")
		}
	}
	for level := range 3 {
		for bit := uint(54); bit <= 63; bit++ {
			check(&pagetable.Sv39, pagetable.Options{}, level, 1<<bit)
		}
	}
	for level := range 4 {
		check(&pagetable.X86_64, pagetable.Options{PABits: 40}, level, 1<<40)
		check(&pagetable.X86_64, pagetable.Options{PABits: 40}, level, 1<<51)
		check(&pagetable.X86_64, pagetable.Options{NoNXE: true}, level, 1<<63)
	}
	check(&pagetable.X86_64, pagetable.Options{}, 3, 1<<7) // PS in a PML4E

	r := mapped(t, &pagetable.Sv39, pagetable.Options{Svpbmt: true}) // reserved no more
	r.poke(t, pageVA, 0, 1<<61, 0)
	_, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	r.poke(t, pageVA, 0, 3<<61, 0)
	r.m.Flush(vm.Flush{})
	r.faults(t, pageVA, vm.Read|vm.User, vm.ReservedEncoding)
}

func faultPointerFlags(t *testing.T) {
	for level := 1; level < 3; level++ {
		for _, bit := range []uint64{1 << 4, 1 << 6, 1 << 7} {
			r := mapped(t, &pagetable.Sv39, pagetable.Options{})
			r.poke(t, pageVA, level, bit, 0)
			require.Equal(t, bit, r.faults(t, pageVA, vm.Read|vm.User, vm.ReservedBit).Mask)
		}
	}
}

func faultMisaligned(t *testing.T) {
	for level := 1; level < 3; level++ {
		r := mapped(t, &pagetable.Sv39, pagetable.Options{})
		r.poke(t, pageVA, level, 0x1f|1<<10, ^uint64(0)) // V R W X U, PPN 1
		f := r.faults(t, pageVA, vm.Read|vm.User, vm.MisalignedSuperpage)
		require.Equal(t, uint64(1<<10), f.Mask)
		require.Equal(t, level, f.Level)
	}
	r := mapped(t, &pagetable.X86_64, pagetable.Options{}) // there the bits are reserved
	r.poke(t, pageVA, 1, 0x87|1<<13, ^uint64(0))
	require.Equal(t, uint64(1<<13), r.faults(t, pageVA, vm.Read|vm.User, vm.ReservedBit).Mask)
}

func faultNotLeaf(t *testing.T) {
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	r.poke(t, pageVA, 0, 0, 7<<1)
	f := r.faults(t, pageVA, vm.Execute|vm.User, vm.NotLeaf)
	require.Equal(t, uint16(12), f.HW.Vector)
}

func faultBadFrame(t *testing.T) {
	for _, ppn := range []uint64{0, uint64(memBase)>>12 - 1, (uint64(memBase) + memSize) >> 12, 1<<44 - 1} {
		for level := range 3 {
			r := mapped(t, &pagetable.Sv39, pagetable.Options{})
			r.poke(t, pageVA, level, ppn<<10, (1<<44-1)<<10)
			f := r.faults(t, pageVA, vm.Write|vm.User, vm.BadFrame)
			require.Equal(t, vm.PhysAddr(ppn<<12), f.PA)
			require.Equal(t, uint16(7), f.HW.Vector, "an access fault")
		}
	}
}

func faultCycles(t *testing.T) {
	steps := 0
	sink := func(e vm.Event) {
		if e.Kind == vm.EventStep {
			steps++
		}
	}
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	r.m.SetEvents(sink)
	for level := 1; level < 3; level++ { // each pointer back to the root: ends at the last level
		r.poke(t, pageVA, level, uint64(r.t.Root())>>12<<10, (1<<44-1)<<10)
	}
	_, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.Error(t, err)
	require.LessOrEqual(t, steps, 3)
	require.Error(t, r.t.Check())

	r = mapped(t, &pagetable.X86_64, pagetable.Options{}) // the recursive mapping works
	window, err := r.t.Recursive(510)
	require.NoError(t, err)
	require.NoError(t, r.t.Check())
	pteVA := window + pageVA>>12*8
	pa, err := r.m.Translate(pteVA, vm.Read)
	require.NoError(t, err)
	addr, _, ok := r.t.Locate(pageVA, 0)
	require.True(t, ok)
	require.Equal(t, addr, pa, "the entry appears at its place in the window")
	slot := vm.VirtAddr(510)
	rootVA := window | slot<<30 | slot<<21 | slot<<12
	pa, err = r.m.Translate(rootVA, vm.Read)
	require.NoError(t, err)
	require.Equal(t, r.t.Root(), pa, "four times round is the root")
	_, err = mapped(t, &pagetable.Sv39, pagetable.Options{}).t.Recursive(5)
	require.ErrorIs(t, err, vm.Misuse)
}

// owner owns every frame but one.
type owner struct{ not vm.PhysAddr }

func (o owner) Owns(_ vm.ASID, pa vm.PhysAddr, size uint64) bool {
	return o.not < pa || o.not >= pa+vm.PhysAddr(size)
}

func faultNotOwned(t *testing.T) {
	r := newRig(t, &pagetable.Sv39, pagetable.Options{}, vm.MMUOptions{Frames: owner{pagePA}, Strict: true})
	require.NoError(t, r.t.Map(pageVA, pagePA, 8192, 4096, all))
	f := r.faults(t, pageVA, vm.Write|vm.User, vm.FrameNotOwned)
	require.Equal(t, pagePA, f.PA)
	require.NotZero(t, f.PTE)
	_, err := r.m.Translate(pageVA+4096, vm.Write|vm.User)
	require.NoError(t, err)
	require.ErrorIs(t, r.m.Read(pageVA, make([]byte, 8), vm.User), vm.FrameNotOwned)

	r = newRig(t, &pagetable.Sv39, pagetable.Options{}, vm.MMUOptions{Frames: owner{pagePA}})
	require.NoError(t, r.t.Map(pageVA, pagePA, 4096, 4096, all))
	pa, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	require.Equal(t, pagePA, pa)
	require.Equal(t, uint64(1), r.m.Stats().NotOwned)
}

// tableOwner owns every frame, and every table but one.
type tableOwner struct{ owner }

func (o tableOwner) OwnsTable(_ vm.ASID, pa vm.PhysAddr) bool { return pa&^4095 != o.not }

func TestForeignTables(t *testing.T) {
	r := newRig(t, &pagetable.Sv39, pagetable.Options{}, vm.MMUOptions{})
	require.NoError(t, r.t.Map(pageVA, pagePA, 4096, 4096, all))
	var tables [3]vm.PhysAddr // by level
	for i := range tables {
		addr, _, ok := r.t.Locate(pageVA, i)
		require.True(t, ok)
		tables[i] = addr &^ 4095
	}
	for level, not := range tables {
		strict := vm.NewMMU(r.mem, &vm.MMUOptions{Frames: tableOwner{owner{not}}, Strict: true})
		strict.Switch(r.t, 1)
		_, before, _ := r.t.Locate(pageVA, 0)
		_, err := strict.Translate(pageVA, vm.Write|vm.User)
		var f *vm.Fault
		require.ErrorAs(t, err, &f)
		require.Equal(t, vm.FrameNotOwned, f.Kind)
		require.Equal(t, not, f.PA&^4095)
		if level == 2 {
			require.Equal(t, -1, f.Level, "no entry leads to the root")
		} else {
			require.Equal(t, level+1, f.Level)
			addr, pte, _ := r.t.Locate(pageVA, level+1)
			require.Equal(t, []uint64{uint64(addr), pte}, []uint64{uint64(f.PTEAddr), f.PTE})
		}
		_, after, _ := r.t.Locate(pageVA, 0)
		require.Equal(t, before, after, "a fault marks nothing")

		loose := vm.NewMMU(r.mem, &vm.MMUOptions{Frames: tableOwner{owner{not}}})
		loose.Switch(r.t, 1)
		pa, err := loose.Translate(pageVA, vm.Read|vm.User)
		require.NoError(t, err)
		require.Equal(t, pagePA, pa)
		require.Equal(t, uint64(1), loose.Stats().NotOwned)
	}
	own := vm.NewMMU(r.mem, &vm.MMUOptions{Frames: tableOwner{owner{1}}, Strict: true})
	own.Switch(r.t, 1)
	_, err := own.Translate(pageVA, vm.Write|vm.User)
	require.NoError(t, err)
	for va, kind := range map[vm.VirtAddr]error{1 << 45: vm.NonCanonical, pageVA + 1<<30: vm.NotPresent} {
		_, err = own.Translate(va, vm.Read|vm.User)
		require.ErrorIs(t, err, kind)
	}
}

func faultProtection(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *pagetable.Format
		o    pagetable.Options
		perm vm.Perm
		acc  vm.Access
		ok   bool
	}{
		{"read of an execute-only page", &pagetable.Sv39, pagetable.Options{}, vm.PermX | vm.PermU, vm.Read | vm.User, false},
		{"the same with MXR", &pagetable.Sv39, pagetable.Options{}, vm.PermX | vm.PermU, vm.Read | vm.User | vm.MXR, true},
		{"write", &pagetable.Sv39, pagetable.Options{}, vm.PermR | vm.PermU, vm.Write | vm.User, false},
		{"execute", &pagetable.Sv39, pagetable.Options{}, vm.PermR | vm.PermW | vm.PermU, vm.Execute | vm.User, false},
		{"user on a supervisor page", &pagetable.Sv39, pagetable.Options{}, vm.PermR, vm.Read | vm.User, false},
		{"supervisor on a user page", &pagetable.Sv39, pagetable.Options{}, vm.PermR | vm.PermU, vm.Read, false},
		{"the same with SUM", &pagetable.Sv39, pagetable.Options{}, vm.PermR | vm.PermU, vm.Read | vm.SUM, true},
		{"SUM does not let it execute", &pagetable.Sv39, pagetable.Options{}, vm.PermX | vm.PermU, vm.Execute | vm.SUM, false},
		{"x86 write", &pagetable.X86_64, pagetable.Options{}, vm.PermR, vm.Write, false},
		{"x86 without WP", &pagetable.X86_64, pagetable.Options{NoWP: true}, vm.PermR, vm.Write, true},
		{"x86 without WP, user", &pagetable.X86_64, pagetable.Options{NoWP: true}, vm.PermR | vm.PermU, vm.Write | vm.User, false},
		{"x86 no-execute", &pagetable.X86_64, pagetable.Options{}, vm.PermR | vm.PermU, vm.Execute | vm.User, false},
		{"x86 SMEP", &pagetable.X86_64, pagetable.Options{SMEP: true}, vm.PermX | vm.PermU, vm.Execute, false},
		{"x86 SMAP", &pagetable.X86_64, pagetable.Options{SMAP: true}, vm.PermR | vm.PermU, vm.Read, false},
		{"x86 SMAP with AC", &pagetable.X86_64, pagetable.Options{SMAP: true}, vm.PermR | vm.PermU, vm.Read | vm.SUM, true},
		{"arm read-only", &pagetable.ARM64_4K, pagetable.Options{}, vm.PermR | vm.PermU, vm.Write | vm.User, false},
		{"arm EL0 on an EL1 page", &pagetable.ARM64_4K, pagetable.Options{}, vm.PermR, vm.Read | vm.User, false},
		{"arm PAN", &pagetable.ARM64_4K, pagetable.Options{PAN: true}, vm.PermR | vm.PermU, vm.Read, false},
		{"arm writable by EL0 is not for EL1 to run", &pagetable.ARM64_4K, pagetable.Options{}, all, vm.Execute, false},
		{"arm WXN", &pagetable.ARM64_4K, pagetable.Options{WXN: true}, all, vm.Execute | vm.User, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.f, c.o, vm.MMUOptions{})
			require.NoError(t, r.t.Map(pageVA, pagePA, 4096, 4096, c.perm))
			if c.ok {
				_, err := r.m.Translate(pageVA, c.acc)
				require.NoError(t, err)
				return
			}
			f := r.faults(t, pageVA, c.acc, vm.Protection)
			require.NotZero(t, f.Need)
			require.NotZero(t, f.Have)
			if c.f.Arch == vm.ArchX86 {
				require.Equal(t, uint64(1), f.HW.Code&1, "P is set")
			}
		})
	}
}
