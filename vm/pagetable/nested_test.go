package pagetable

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// guest builds a guest over a second stage: one page of guest-virtual 0x400000 at
// guest-physical 0x50000000 at physical 0x80200000, and the guest's tables from
// guest-physical 0x30000000 on, moved to frames of memory.
func guest(t *testing.T, first, second *Format, p1, p2 vm.Perm) (*Nested, *Table) {
	t.Helper()
	mem, err := vm.NewMemory(make([]byte, 4<<20), 0x8000_0000)
	require.NoError(t, err)
	pool := NewPool(0x8000_0000, 256, 4096)
	g, err := New(mem, second, &Options{Frames: pool})
	require.NoError(t, err)
	gmem, err := vm.NewMemory(make([]byte, 64<<10), 0x3000_0000)
	require.NoError(t, err)
	gpool := NewPool(0x3000_0000, 16, 4096)
	v, err := New(gmem, first, &Options{Frames: gpool, RAMSize: 1 << 40})
	require.NoError(t, err)
	require.NoError(t, v.Map(0x40_0000, 0x5000_0000, 4096, 4096, p1))
	require.NoError(t, g.Map(0x5000_0000, 0x8020_0000, 4096, 4096, p2))
	for gpa := vm.PhysAddr(0x3000_0000); gpa < gpool.Next(); gpa += 4096 {
		pa, err := pool.AllocFrames(1)
		require.NoError(t, err)
		from, _ := gmem.Bytes(gpa, 4096)
		to, _ := mem.Bytes(pa, 4096)
		copy(to, from)
		require.NoError(t, g.Map(vm.VirtAddr(gpa), pa, 4096, 4096, vm.PermR|vm.PermW|vm.PermU))
	}
	n, err := NewNested(first, v.Root(), g, nil)
	require.NoError(t, err)
	return n, g
}

const full = vm.PermR | vm.PermW | vm.PermX | vm.PermU

func TestNestedCountsReferences(t *testing.T) {
	for _, c := range []struct {
		first, second *Format
		refs          uint8
	}{
		{&Sv39, &Sv39x4, 15}, {&Sv48, &Sv48x4, 24}, {&Sv57, &Sv57x4, 35}, {&Sv39, &Sv48x4, 19}, {&X86_64, &NPT, 24},
	} {
		n, _ := guest(t, c.first, c.second, full, full)
		steps := 0
		n.SetEvents(func(e vm.Event) {
			if e.Kind == vm.EventStep {
				steps++
			}
		})
		for _, acc := range []vm.Access{vm.Read | vm.User, vm.Write | vm.User, vm.Write | vm.User} {
			steps = 0
			e, f := n.Walk(0x40_0123, acc)
			require.Nil(t, f)
			require.Equal(t, vm.PhysAddr(0x8020_0123), e.Addr(0x40_0123))
			require.Equal(t, c.refs, e.Refs, "%s over %s", c.first.Name, c.second.Name)
			require.EqualValues(t, c.refs, steps)
		}
		require.NotEmpty(t, n.Trace(0x40_0123, vm.Read|vm.User).String())
	}
}

func TestNestedFaults(t *testing.T) {
	cause := func(acc vm.Access) uint16 { return [3]uint16{13, 15, 12}[acc.Op()] }
	for _, acc := range []vm.Access{vm.Read | vm.User, vm.Write | vm.User, vm.Execute | vm.User} {
		n, g := guest(t, &Sv39, &Sv39x4, full, full)
		_, f := n.Walk(0x40_1000, acc) // no page in the first stage
		require.Equal(t, vm.NotPresent, f.Kind)
		require.Equal(t, cause(acc), f.HW.Vector)

		require.NoError(t, g.Unmap(0x5000_0000, 4096))
		before := append([]uint64(nil), g.words...)
		_, f = n.Walk(0x40_0008, acc) // no page in the second
		require.Equal(t, cause(acc)+8, f.HW.Vector)
		require.Equal(t, vm.PhysAddr(0x5000_0008), f.HW.GPA)
		require.Equal(t, vm.VirtAddr(0x40_0008), f.VA)
		require.True(t, equal(before, g.words), "a fault left a mark")
		require.NoError(t, g.Map(0x5000_0000, 0x8020_0000, 4096, 4096, full))

		require.NoError(t, g.Unmap(vm.VirtAddr(n.Root()), 4096))
		_, f = n.Walk(0x40_0000, acc) // the guest's root cannot be read: the cause is that of the access
		require.Equal(t, cause(acc)+8, f.HW.Vector)
		require.Equal(t, n.Root(), f.HW.GPA)
	}
	n, g := guest(t, &Sv39, &Sv39x4, full, full) // reading is enough for a table, until A is to be set
	last := vm.VirtAddr(0x3000_1000)             // the guest's last-level table
	require.NoError(t, g.Protect(last, 4096, vm.PermR|vm.PermU))
	before := append([]uint64(nil), g.words...)
	_, f := n.Walk(0x40_0000, vm.Read|vm.User)
	require.Equal(t, vm.Protection, f.Kind)
	require.Equal(t, uint16(21), f.HW.Vector)
	require.True(t, equal(before, g.words))

	n, g = guest(t, &X86_64, &NPT, full, full)
	require.NoError(t, g.Protect(0x5000_0000, 4096, vm.PermR|vm.PermU))
	_, f = n.Walk(0x40_0010, vm.Write|vm.User)
	require.Equal(t, vm.HardwareCode{Arch: vm.ArchSVM, Vector: 0x400, Code: 1<<32 | 7, GPA: 0x5000_0010}, f.HW)
	require.NoError(t, g.Unmap(vm.VirtAddr(n.Root()), 4096))
	_, f = n.Walk(0x40_0000, vm.Read|vm.User)
	require.Equal(t, vm.HardwareCode{Arch: vm.ArchSVM, Vector: 0x400, Code: 1<<33 | 6, GPA: n.Root()}, f.HW, "a table walk counts as a user write")
}

// The guest's MXR is for the first stage, the hypervisor's for both.
func TestNestedMXR(t *testing.T) {
	n, _ := guest(t, &Sv39, &Sv39x4, vm.PermX|vm.PermU, full)
	_, f := n.Walk(0x40_0000, vm.Read|vm.User)
	require.Equal(t, uint16(13), f.HW.Vector)
	_, f = n.Walk(0x40_0000, vm.Read|vm.User|vm.MXR)
	require.Nil(t, f)
	n, _ = guest(t, &Sv39, &Sv39x4, full, vm.PermX|vm.PermU)
	_, f = n.Walk(0x40_0000, vm.Read|vm.User|vm.MXR)
	require.Equal(t, uint16(21), f.HW.Vector)
	_, f = n.Walk(0x40_0000, vm.Read|vm.User|vm.HMXR)
	require.Nil(t, f)
	require.Zero(t, n.Permits(vm.Read|vm.User|vm.MXR)&(1<<(vm.PermX|vm.PermU)), "left out: the stages differ")
}

func TestNestedRefusesPairs(t *testing.T) {
	_, g := guest(t, &Sv39, &Sv39x4, full, full)
	for _, first := range []*Format{&X86_64, &Sv39x4} {
		_, err := NewNested(first, 0x3000_0000, g, nil)
		require.Error(t, err)
	}
	plain, _ := newTestTable(t, &Sv39, Options{})
	_, err := NewNested(&Sv39, 0x3000_0000, plain, nil)
	require.Error(t, err)
	_, err = NewNested(&Sv39, 0x3000_0800, g, nil)
	require.ErrorContains(t, err, "not aligned")
}
