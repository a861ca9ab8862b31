package vm_test

import (
	"math/rand/v2"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
	"github.com/stretchr/testify/require"
)

// mixedTable maps pages of two sizes with all kinds of rights and holes between.
func mixedTable(t testing.TB, f *pagetable.Format) (*vm.Memory, *pagetable.Table) {
	t.Helper()
	mem, err := vm.NewMemory(make([]byte, 4<<20), memBase)
	require.NoError(t, err)
	table, err := pagetable.New(mem, f, &pagetable.Options{Frames: pagetable.NewPool(memBase, 64, 4096), RAMSize: 1 << 40})
	require.NoError(t, err)
	rights := []vm.Perm{vm.PermR, vm.PermR | vm.PermW, vm.PermR | vm.PermU, vm.PermR | vm.PermW | vm.PermU, all}
	for i := range 96 {
		if i%7 != 6 {
			attr := pagetable.Attr{Perm: rights[i%len(rights)], Global: i%11 == 0}
			require.NoError(t, table.MapAttr(vm.VirtAddr(i)<<12, vm.PhysAddr(i*3+1)<<12, 4096, 4096, attr))
		}
	}
	huge := f.Levels[len(f.Levels)-2].Size()
	require.NoError(t, table.Map(vm.VirtAddr(huge), vm.PhysAddr(3*huge), huge, huge, all))
	return mem, table
}

// With any TLB and walk cache in front, every translation is that of a walk: the
// answers of an MMU without a TLB, one by one and in batches, events on and off.
func TestMMUAgreesWithWalks(t *testing.T) {
	for _, f := range []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64, &pagetable.X86, &pagetable.ARM64_4K} {
		for _, spec := range []string{"16x4", "4x4,64x8", "split:8x8/8x4,32x4"} {
			t.Run(f.Name+"/"+spec, func(t *testing.T) {
				conf, err := tlb.ParseSpec(spec)
				require.NoError(t, err)
				for i := range len(f.Levels) - 1 { // one for every level below the root
					conf.WalkCaches = append(conf.WalkCaches, tlb.WalkCache{Level: i, Shift: f.Levels[len(f.Levels)-2-i].Shift, Entries: 4 << i})
				}
				cache, err := tlb.New(conf)
				require.NoError(t, err)
				mem, table := mixedTable(t, f)
				plain := vm.NewMMU(mem, nil)
				plain.Switch(table, 1)
				fast := vm.NewMMU(mem, &vm.MMUOptions{TLB: cache, WalkCache: cache})
				fast.Switch(table, 1)
				agree(t, f, plain, fast)
				require.NoError(t, fast.CheckTLB())
			})
		}
	}
}

func agree(t *testing.T, f *pagetable.Format, plain, fast *vm.MMU) {
	rng := rand.New(rand.NewPCG(3, 3))
	huge := f.Levels[len(f.Levels)-2].Size()
	events := 0
	for round := range 300 {
		if round%50 == 25 {
			fast.SetEvents(func(vm.Event) { events++ })
		} else if round%50 == 30 {
			fast.SetEvents(nil)
		}
		vas := make([]vm.VirtAddr, 1+rng.IntN(40))
		for i := range vas {
			vas[i] = vm.VirtAddr(rng.IntN(100 << 12))
			if rng.IntN(4) == 0 {
				vas[i] = vm.VirtAddr(huge) + vm.VirtAddr(rng.Uint64N(huge))
			}
		}
		acc := vm.Access(rng.IntN(3)) | vm.User*vm.Access(rng.IntN(2))
		want, got := make([]vm.PhysAddr, len(vas)), make([]vm.PhysAddr, len(vas))
		n1, err1 := plain.TranslateAll(vas, acc, want)
		n2, err2 := fast.TranslateAll(vas, acc, got)
		require.Equal(t, n1, n2, "%v", acc)
		require.Equal(t, want[:n1], got[:n1])
		require.Equal(t, err1, err2)
		for i, va := range vas {
			w, err1 := plain.Translate(va, acc)
			g, err2 := fast.Translate(va, acc)
			require.Equal(t, err1, err2)
			if err1 == nil {
				require.Equal(t, w, g, "%d %v %v", i, va, acc)
			}
		}
	}
	require.NotZero(t, events)
}

// A hit and a walk allocate nothing.
func TestNoAllocations(t *testing.T) {
	mem, table := mixedTable(t, &pagetable.X86_64)
	conf, err := tlb.ParseSpec("64x4")
	require.NoError(t, err)
	cache, err := tlb.New(conf)
	require.NoError(t, err)
	for name, m := range map[string]*vm.MMU{"hit": vm.NewMMU(mem, &vm.MMUOptions{TLB: cache}), "walk": vm.NewMMU(mem, nil), "simple TLB": vm.NewMMU(mem, &vm.MMUOptions{TLB: &listTLB{}})} {
		m.Switch(table, 1)
		vas, pas := []vm.VirtAddr{0x4000, 0x4008, 0x3000, 0x20_0000}, make([]vm.PhysAddr, 4)
		use := func() {
			if n, err := m.TranslateAll(vas, vm.Read|vm.User, pas); n != 2 && err != nil && n != 4 {
				t.Fatal(n, err)
			}
			if _, err := m.Translate(0x4010, vm.Read|vm.User); err != nil {
				t.Fatal(err)
			}
		}
		vas = vas[:2]
		use()
		require.Zero(t, testing.AllocsPerRun(100, use), name)
	}
}

// Before the first Switch everything faults; a fault says under which tag.
func TestMMUWithoutTable(t *testing.T) {
	m := vm.NewMMU(nil, nil)
	_, err := m.Translate(0, vm.Read)
	require.ErrorIs(t, err, vm.NotPresent)
	_, err = m.TranslateAll([]vm.VirtAddr{1}, vm.Read, make([]vm.PhysAddr, 1))
	require.ErrorIs(t, err, vm.NotPresent)
	require.Nil(t, m.Table())
	require.Error(t, m.Read(0, make([]byte, 1), vm.User))
	require.NoError(t, m.Read(0, nil, vm.User))
	require.ErrorIs(t, m.Write(^vm.VirtAddr(0), make([]byte, 2), 0), vm.BadLength)
	require.Equal(t, uint64(4), m.Stats().Faults)
}

// A table that was current while events were on reports nothing once they are off,
// whichever table was current then.
func TestEventsOff(t *testing.T) {
	mem, table := mixedTable(t, &pagetable.Sv39)
	other, err := pagetable.New(mem, &pagetable.Sv39, &pagetable.Options{Frames: pagetable.NewPool(memBase+1<<20, 8, 4096), RAMSize: 1 << 40})
	require.NoError(t, err)
	events := 0
	sink := func(vm.Event) { events++ }
	m := vm.NewMMU(mem, nil)
	m.Switch(table, 1)
	m.SetEvents(sink)
	m.Switch(other, 2)
	m.SetEvents(nil)
	m.Switch(table, 1)
	events = 0
	_, err = m.Translate(0x1000, vm.Read)
	require.NoError(t, err)
	require.Zero(t, events)
	m.SetEvents(sink)
	m.Switch(table, 1) // onto itself
	events = 0
	_, err = m.Translate(0x1000, vm.Read)
	require.NoError(t, err)
	require.Equal(t, 4, events, "three steps, and done")
}

// Read and Write report as Translate does: one EventDone for each page.
func TestBytesReportDone(t *testing.T) {
	for _, cache := range []vm.TLB{nil, &listTLB{}} {
		mem, err := vm.NewMemory(make([]byte, 64<<10), memBase)
		require.NoError(t, err)
		table, err := pagetable.New(mem, &pagetable.Sv39, &pagetable.Options{Frames: pagetable.NewPool(memBase, 4, 4096)})
		require.NoError(t, err)
		require.NoError(t, table.Map(0x1000, memBase+0x8000, 0x2000, 0, vm.PermR|vm.PermW|vm.PermU))
		var done []vm.PhysAddr
		m := vm.NewMMU(mem, &vm.MMUOptions{TLB: cache, Events: func(e vm.Event) {
			if e.Kind == vm.EventDone {
				require.Equal(t, vm.Write|vm.User, e.Access)
				done = append(done, e.PA)
			}
		}})
		m.Switch(table, 1)
		for range 2 { // walks, then hits where there is a TLB
			done = nil
			require.NoError(t, m.Write(0x1ffc, []byte("spanning"), vm.User))
			require.Equal(t, []vm.PhysAddr{memBase + 0x8ffc, memBase + 0x9000}, done)
		}
		done = nil
		require.ErrorIs(t, m.Write(0x2ffc, []byte("spanning"), vm.User), vm.NotPresent)
		require.Empty(t, done)
	}
}
