package vm_test

import (
	"encoding/binary"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

const (
	memBase = vm.PhysAddr(0x8000_0000)
	memSize = 4 << 20
	pageVA  = vm.VirtAddr(0x40_1000)
	pagePA  = memBase + 0x20_0000
	all     = vm.PermR | vm.PermW | vm.PermX | vm.PermU
)

// listTLB is the simplest TLB there can be: every entry ever inserted, until it
// is flushed. It never forgets, so it shows every stale translation.
type listTLB struct{ entries []vm.Entry }

func (l *listTLB) Lookup(asid vm.ASID, va vm.VirtAddr, _ vm.Access) (vm.Entry, bool) {
	for _, e := range l.entries {
		if e.Contains(va) && (e.Global || e.ASID == asid) {
			return e, true
		}
	}
	return vm.Entry{}, false
}

func (l *listTLB) LookupAll(asid vm.ASID, vas []vm.VirtAddr, acc vm.Access, ok vm.PermSet, pas []vm.PhysAddr) int {
	for i, va := range vas {
		e, hit := l.Lookup(asid, va, acc)
		if !hit || !ok.Has(e.Perm) {
			return i
		}
		pas[i] = e.Addr(va)
	}
	return len(vas)
}

func (l *listTLB) Insert(e vm.Entry, _ vm.Access) {
	l.Flush(vm.FlushVAASID(e.Page, e.ASID))
	l.entries = append(l.entries, e)
}

func (l *listTLB) Flush(f vm.Flush) int {
	kept := l.entries[:0]
	for _, e := range l.entries {
		if !f.Matches(e) {
			kept = append(kept, e)
		}
	}
	n := len(l.entries) - len(kept)
	l.entries = kept
	return n
}

func (l *listTLB) Entries() iter.Seq[vm.Entry] {
	return func(yield func(vm.Entry) bool) {
		for _, e := range l.entries {
			if !yield(e) {
				return
			}
		}
	}
}

// a rig is an address space with an MMU in front of it.
type rig struct {
	mem  *vm.Memory
	pool *pagetable.Pool
	t    *pagetable.Table
	tlb  *listTLB
	m    *vm.MMU
}

func newRig(t testing.TB, f *pagetable.Format, o pagetable.Options, mo vm.MMUOptions) *rig {
	t.Helper()
	r := &rig{tlb: &listTLB{}}
	var err error
	r.mem, err = vm.NewMemory(make([]byte, memSize), memBase)
	require.NoError(t, err)
	r.pool = pagetable.NewPool(memBase, 128, f.PageSize())
	o.Frames = r.pool
	r.t, err = pagetable.New(r.mem, f, &o)
	require.NoError(t, err)
	mo.TLB = r.tlb
	r.m = vm.NewMMU(r.mem, &mo)
	r.m.Switch(r.t, 1)
	return r
}

// image is all of memory, to show that nothing changed.
func (r *rig) image() string {
	b, _ := r.mem.Bytes(memBase, memSize)
	return string(b)
}

// faults asks for an access that must fail and change nothing.
func (r *rig) faults(t testing.TB, va vm.VirtAddr, acc vm.Access, kind vm.FaultKind) *vm.Fault {
	t.Helper()
	before, entries := r.image(), len(r.tlb.entries)
	_, err := r.m.Translate(va, acc)
	require.ErrorIs(t, err, kind)
	f, ok := errors.AsType[*vm.Fault](err)
	require.True(t, ok)
	require.Equal(t, va, f.VA)
	require.Equal(t, acc, f.Access)
	require.True(t, before == r.image(), "memory changed")
	require.Len(t, r.tlb.entries, entries, "the TLB was filled")
	return f
}

// poke changes bits of the entry for va at a level.
func (r *rig) poke(t testing.TB, va vm.VirtAddr, level int, set, clear uint64) (vm.PhysAddr, uint64) {
	t.Helper()
	addr, pte, ok := r.t.Locate(va, level)
	require.True(t, ok)
	pte = pte&^clear | set
	r.mem.Store(addr, uint64(r.t.Format().PTESize), pte)
	return addr, pte
}

func mapped(t testing.TB, f *pagetable.Format, o pagetable.Options) *rig {
	t.Helper()
	r := newRig(t, f, o, vm.MMUOptions{})
	require.NoError(t, r.t.Map(pageVA, pagePA, 4096, 4096, all))
	return r
}

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

func faultSpanning(t *testing.T) {
	for _, second := range []vm.Perm{0, vm.PermR | vm.PermU} {
		r := mapped(t, &pagetable.Sv39, pagetable.Options{})
		if second != 0 {
			require.NoError(t, r.t.Map(pageVA+4096, pagePA+8192, 4096, 4096, second))
		}
		before := r.image()
		err := r.m.Write(pageVA+4092, []byte("eightbyt"), vm.User)
		f, ok := errors.AsType[*vm.Fault](err)
		require.True(t, ok)
		require.Equal(t, pageVA+4096, f.VA, "the page that fails is named")
		require.True(t, before == r.image(), "half a store is visible")
		require.Empty(t, r.tlb.entries)
		buf := []byte("untouched")
		if second == 0 {
			require.Error(t, r.m.Read(pageVA+4092, buf, vm.User))
			require.Equal(t, "untouched", string(buf))
			require.True(t, before == r.image())
		}
	}
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	require.NoError(t, r.t.Map(pageVA+4096, pagePA+8192, 4096, 4096, all)) // not the next frame
	require.NoError(t, r.m.Write(pageVA+4092, []byte("eightbyt"), vm.User))
	buf := make([]byte, 8)
	require.NoError(t, r.m.Read(pageVA+4092, buf, vm.User))
	require.Equal(t, "eightbyt", string(buf))
	b, _ := r.mem.Bytes(pagePA+8192, 4)
	require.Equal(t, "tbyt", string(b))
}

func faultAccessedDirty(t *testing.T) {
	used := func(r *rig) [2]bool {
		a, d, f := r.t.Used(pageVA)
		require.Nil(t, f)
		return [2]bool{a, d}
	}
	for _, f := range []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64, &pagetable.X86, &pagetable.ARM64_4K} {
		r := mapped(t, f, pagetable.Options{})
		require.Equal(t, [2]bool{false, false}, used(r))
		_, err := r.m.Translate(pageVA, vm.Read|vm.User)
		require.NoError(t, err)
		require.Equal(t, [2]bool{true, false}, used(r), "%s: a read sets A only", f.Name)
		_, err = r.m.Translate(pageVA, vm.Write|vm.User) // a hit, but not yet dirty: walks again
		require.NoError(t, err)
		require.Equal(t, [2]bool{true, true}, used(r), "%s: a write sets both", f.Name)
		require.Nil(t, r.t.SetUsed(pageVA, false, false))
		require.Equal(t, [2]bool{false, false}, used(r))
		require.Error(t, r.m.CheckTLB(), "the TLB believes the page is dirty")
	}
	r := mapped(t, &pagetable.Sv39, pagetable.Options{SoftwareAccessed: true, SoftwareDirty: true}) // Svade
	r.faults(t, pageVA, vm.Read|vm.User, vm.NotAccessed)
	require.Nil(t, r.t.SetUsed(pageVA, true, false))
	_, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	r.faults(t, pageVA, vm.Write|vm.User, vm.NotDirty)
	require.Nil(t, r.t.SetUsed(pageVA, true, true))
	_, err = r.m.Translate(pageVA, vm.Write|vm.User)
	require.NoError(t, err)

	r = mapped(t, &pagetable.ARM64_4K, pagetable.Options{SoftwareAccessed: true, SoftwareDirty: true})
	require.Equal(t, uint64(0x0b), r.faults(t, pageVA, vm.Read|vm.User, vm.NotAccessed).HW.Code, "access flag fault, level 3")
}

func faultStale(t *testing.T) {
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	old, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	require.NoError(t, r.m.CheckTLB())
	require.NoError(t, r.t.Unmap(pageVA, 4096))
	require.NoError(t, r.t.Map(pageVA, pagePA+4096, 4096, 4096, all))
	pa, err := r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	require.Equal(t, old, pa, "without a flush the old translation is used")
	_, stale := errors.AsType[*vm.StaleError](r.m.CheckTLB())
	require.True(t, stale)
	require.Equal(t, 1, r.m.Flush(vm.FlushVA(pageVA)))
	pa, err = r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	require.Equal(t, pagePA+4096, pa)
	require.NoError(t, r.m.CheckTLB())
}

func faultASIDReuse(t *testing.T) {
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	require.NoError(t, r.t.MapAttr(pageVA+4096, pagePA+4096, 4096, 4096, pagetable.Attr{Perm: all, Global: true}))
	for off := vm.VirtAddr(0); off < 8192; off += 4096 {
		_, err := r.m.Translate(pageVA+off, vm.Read|vm.User)
		require.NoError(t, err)
	}
	other, err := pagetable.New(r.mem, &pagetable.Sv39, &pagetable.Options{Frames: r.pool})
	require.NoError(t, err)
	r.m.Switch(other, 2) // a tag of its own: only the global page is seen
	r.faults(t, pageVA, vm.Read|vm.User, vm.NotPresent)
	pa, err := r.m.Translate(pageVA+4096, vm.Read|vm.User)
	require.NoError(t, err)
	require.Equal(t, pagePA+4096, pa, "a global page survives the switch")
	r.m.Switch(other, 1) // the old tag without a flush: the old space shows through
	pa, err = r.m.Translate(pageVA, vm.Read|vm.User)
	require.NoError(t, err)
	require.Equal(t, pagePA, pa)
	require.Error(t, r.m.CheckTLB())
	r.m.Flush(vm.FlushASID(1))
	r.faults(t, pageVA, vm.Read|vm.User, vm.NotPresent)
}

func faultMapArguments(t *testing.T) {
	r := newRig(t, &pagetable.Sv39, pagetable.Options{}, vm.MMUOptions{})
	const big = 2 << 20
	require.NoError(t, r.t.Map(big, memBase+big, big, big, all))
	before := r.image()
	for _, c := range []struct {
		name string
		err  error
		kind vm.FaultKind
	}{
		{"length 0", r.t.Map(0x1000, pagePA, 0, 0, all), vm.BadLength},
		{"wraps", r.t.Map(^vm.VirtAddr(0)-4095, pagePA, 8192, 0, all), vm.BadLength},
		{"leaves the lower half", r.t.Map(1<<38-4096, pagePA, 8192, 0, all), vm.BadLength},
		{"odd address", r.t.Map(0x1001, pagePA, 4096, 0, all), vm.BadAlign},
		{"odd frame", r.t.Map(0x1000, pagePA+1, 4096, 0, all), vm.BadAlign},
		{"odd length", r.t.Map(0x1000, pagePA, 4097, 0, all), vm.BadLength},
		{"no such size", r.t.Map(0, pagePA, 8192, 8192, all), vm.BadPageSize},
		{"non-canonical", r.t.Map(1<<40, pagePA, 4096, 0, all), vm.NonCanonical},
		{"overlap", r.t.Map(big-4096, pagePA, 8192, 0, all), vm.AlreadyMapped},
		{"huge over small", r.t.Map(0, memBase, 2*big, big, all), vm.AlreadyMapped},
		{"frame outside", r.t.Map(0x1000, 0x1000, 4096, 0, all), vm.BadFrame},
		{"write-only", r.t.Map(0x1000, pagePA, 4096, 0, vm.PermW), vm.BadPerm},
		{"no rights", r.t.Map(0x1000, pagePA, 4096, 0, 0), vm.BadPerm},
		{"unmap of a hole", r.t.Unmap(0x1000, 4096), vm.NotMapped},
		{"unmap into a hole", r.t.Unmap(2*big-4096, 8192), vm.NotMapped},
		{"unmap of length 0", r.t.Unmap(big, 0), vm.BadLength},
		{"protect of a hole", r.t.Protect(0x1000, 4096, all), vm.NotMapped},
	} {
		require.ErrorIs(t, c.err, c.kind, c.name)
	}
	require.True(t, before == r.image(), "a refused call changed memory")

	hole := vm.VirtAddr(big + 0x5000) // a page out of the middle of the huge one
	require.NoError(t, r.t.Unmap(hole, 4096))
	require.NoError(t, r.t.Check())
	for va := vm.VirtAddr(big); va < 2*big; va += 4096 {
		pa, err := r.m.Translate(va, vm.Read|vm.User)
		if va == hole {
			require.ErrorIs(t, err, vm.NotPresent)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, memBase+vm.PhysAddr(va), pa)
	}
}

// Several cores translate while another goroutine maps, unmaps and protects:
// every answer is the old or the new translation. The memory is Go's, so the race
// detector sees every access.
func faultConcurrent(t *testing.T) {
	r := newRig(t, &pagetable.Sv39, pagetable.Options{}, vm.MMUOptions{})
	const big = 2 << 20
	frames := []vm.PhysAddr{memBase + big, memBase + big + 0x10_0000}
	require.NoError(t, r.t.Map(big, frames[0], 16*4096, 4096, all))
	var stop atomic.Bool
	var wg sync.WaitGroup
	for core := range 3 {
		wg.Go(func() {
			m := vm.NewMMU(r.mem, nil)
			m.Switch(r.t, vm.ASID(core))
			rng := rand.New(rand.NewPCG(uint64(core), 1))
			vas, pas := make([]vm.VirtAddr, 64), make([]vm.PhysAddr, 64)
			for !stop.Load() {
				for i := range vas {
					vas[i] = big + vm.VirtAddr(rng.IntN(16*4096))
				}
				n, err := m.TranslateAll(vas, vm.Access(rng.IntN(2))|vm.User, pas)
				if err != nil && !errors.Is(err, vm.NotPresent) && !errors.Is(err, vm.Protection) {
					t.Errorf("core %d: %v", core, err)
					return
				}
				for i, pa := range pas[:n] {
					off := vm.PhysAddr(vas[i] - big)
					if pa != frames[0]+off && pa != frames[1]+off {
						t.Errorf("core %d: %v → %v is neither old nor new", core, vas[i], pa)
						return
					}
				}
			}
		})
	}
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for i := range rounds {
		require.NoError(t, r.t.Protect(big+0x3000, 4*4096, []vm.Perm{vm.PermR | vm.PermU, all}[i%2]))
		require.NoError(t, r.t.Unmap(big, 16*4096)) // the tables go back, and come again
		require.NoError(t, r.t.Map(big, frames[(i+1)%2], 16*4096, 4096, all))
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, r.t.Check())
}

func faultSnapshot(t *testing.T) {
	r := mapped(t, &pagetable.Sv39, pagetable.Options{})
	require.NoError(t, r.t.Map(pageVA+4096, pagePA+4096, 4096, 4096, all))
	_, err := r.m.Translate(pageVA, vm.Write|vm.User)
	require.NoError(t, err)
	snap, err := r.m.Snapshot()
	require.NoError(t, err)
	held, stats := append([]vm.Entry(nil), r.tlb.entries...), r.m.Stats()

	_, err = r.m.Translate(pageVA+4096, vm.Read|vm.User)
	require.NoError(t, err)
	r.m.Switch(r.t, 7)
	later, laterStats := append([]vm.Entry(nil), r.tlb.entries...), r.m.Stats()
	for i := range snap { // every damage is found, and nothing is loaded
		for _, bad := range [][]byte{flipped(snap, i), snap[:i]} {
			require.ErrorIs(t, r.m.Restore(bad), vm.BadSnapshot, "byte %d", i)
		}
	}
	require.ErrorIs(t, r.m.Restore(append(append([]byte(nil), snap...), 0)), vm.BadSnapshot)
	unknown := append([]byte(nil), snap...)
	binary.LittleEndian.PutUint16(unknown[6:], 999)
	require.ErrorIs(t, r.m.Restore(unknown), vm.BadSnapshot)
	require.Equal(t, later, r.tlb.entries)
	require.Equal(t, laterStats, r.m.Stats())
	require.Equal(t, vm.ASID(7), r.m.ASID())

	require.NoError(t, r.m.Restore(snap))
	require.Equal(t, held, r.tlb.entries)
	require.Equal(t, stats, r.m.Stats())
	require.Equal(t, vm.ASID(1), r.m.ASID())
}

func flipped(b []byte, i int) []byte {
	c := append([]byte(nil), b...)
	c[i] ^= 0x40
	return c
}
