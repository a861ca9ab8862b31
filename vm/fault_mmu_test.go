package vm_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

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
