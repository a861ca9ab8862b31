package pagetable

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// formats are all single-stage formats.
func formats() []*Format {
	return []*Format{&X86_64, &X86_64_5Level, &X86, &X86PAE, &Sv32, &Sv39, &Sv48, &Sv57, &ARM64_4K, &Tiny}
}

// newTestTable makes an empty table in a small memory: tables in the first half
// (Tiny: the last quarter), pages anywhere from ramBase to ramBase+ramSize.
func newTestTable(t testing.TB, f *Format, o Options) (*Table, *Pool) {
	t.Helper()
	page := f.PageSize()
	base := vm.PhysAddr(0x8000_0000)
	frames := 512
	if f.Name == "tiny" {
		base, frames = 0, 16
	}
	mem, err := vm.NewMemory(make([]byte, 2*uint64(frames)*page), base)
	require.NoError(t, err)
	pool := NewPool(base, frames, page)
	if f.Name == "tiny" {
		pool = NewPool(192, 8, 8)
	}
	o.Frames = pool
	if o.RAMSize == 0 && f.Name != "tiny" {
		o.RAMBase, o.RAMSize = 0, 1<<40
	}
	tab, err := New(mem, f, &o)
	require.NoError(t, err)
	return tab, pool
}

func TestEveryPageSizeTranslates(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.Name, func(t *testing.T) {
			for i := range f.Levels {
				l := f.level(i)
				tab, pool := newTestTable(t, f, Options{})
				if !l.Leaf || l.Size() > tab.plan.opts.RAMSize {
					continue
				}
				va := f.Extend(vm.VirtAddr(l.Size()))
				require.NoError(t, tab.Map(va, vm.PhysAddr(l.Size()), l.Size(), l.Size(), vm.PermR|vm.PermW|vm.PermU))
				off := vm.VirtAddr(l.Size()-1) &^ 7
				for _, acc := range []vm.Access{vm.Write | vm.User, vm.Read | vm.User, vm.Read | vm.User} {
					e, fault := tab.Walk(va+off, acc)
					require.Nil(t, fault, "%v", fault)
					require.Equal(t, vm.PhysAddr(l.Size())+vm.PhysAddr(off), e.Addr(va+off))
					require.Equal(t, l.Shift, e.Shift)
					require.Equal(t, len(f.Levels)-i, int(e.Refs))
				}
				_, ok := tab.walkFast(va, vm.Write|vm.User)
				require.True(t, ok, "the fast walk takes a page of %#x", l.Size())
				require.NoError(t, tab.Unmap(va, l.Size()))
				_, fault := tab.Walk(va, vm.Read)
				require.NotNil(t, fault)
				require.Equal(t, vm.NotPresent, fault.Kind)
				require.Equal(t, 1, pool.Used(), "only the root is left")
			}
		})
	}
}
