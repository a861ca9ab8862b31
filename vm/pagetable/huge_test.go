package pagetable

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// Split and Merge keep every translation and the marks of use; the merged page is
// used if one of its parts was.
func TestSplitAndMergeKeepTranslations(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.Name, func(t *testing.T) {
			tab, pool := newTestTable(t, f, Options{})
			huge := f.level(1)
			if !huge.Leaf {
				t.Skip("no huge pages")
			}
			va, pa := vm.VirtAddr(huge.Size()), vm.PhysAddr(huge.Size())
			attr := Attr{Perm: vm.PermR | vm.PermW | vm.PermU, Global: true, Software: 1 << 9}
			require.NoError(t, tab.MapAttr(va, pa, huge.Size(), huge.Size(), attr))
			used := pool.Used()
			require.NoError(t, tab.Split(va+8))
			require.Equal(t, used+1, pool.Used())
			require.NoError(t, tab.Check())
			n := 0
			for e := range tab.Mappings() {
				require.Equal(t, f.PageShift(), e.Shift)
				require.True(t, e.Global)
				require.Equal(t, vm.PhysAddr(e.Page), e.Frame)
				n++
			}
			require.EqualValues(t, huge.Size()/f.PageSize(), n)
			_, fault := tab.Walk(va, vm.Write|vm.User)
			require.Nil(t, fault)
			require.NoError(t, tab.Merge(va, huge.Size()))
			require.Equal(t, used, pool.Used())
			a, d, fault := tab.Used(va + vm.VirtAddr(huge.Size()) - 1)
			require.Nil(t, fault)
			require.True(t, a && d, "the huge page is dirty: a part of it was")
			e, fault := tab.Probe(va)
			require.Nil(t, fault)
			require.Equal(t, huge.Shift, e.Shift)
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	const big = 2 << 20
	setup := func(t *testing.T, change func(tab *Table)) error {
		tab, _ := newTestTable(t, &Sv39, Options{})
		require.NoError(t, tab.Map(big, big, big, big, vm.PermR))
		require.NoError(t, tab.Split(big))
		change(tab)
		return tab.Merge(big+4096, big)
	}
	require.NoError(t, setup(t, func(*Table) {}))
	require.ErrorIs(t, setup(t, func(tab *Table) { require.NoError(t, tab.Unmap(big+8192, 4096)) }), vm.NotMapped)
	require.ErrorIs(t, setup(t, func(tab *Table) { require.NoError(t, tab.Protect(big, 4096, vm.PermX)) }), vm.Misuse)
	require.ErrorIs(t, setup(t, func(tab *Table) {
		require.NoError(t, tab.Unmap(big, 4096))
		require.NoError(t, tab.Map(big, 0x5000, 4096, 0, vm.PermR))
	}), vm.Misuse)
	tab, _ := newTestTable(t, &Sv39, Options{})
	require.ErrorIs(t, tab.Merge(big, 12345), vm.BadPageSize)
	require.ErrorIs(t, tab.Merge(big, big), vm.NotMapped)
	require.NoError(t, tab.Map(big, big+4096, big, 4096, vm.PermR))
	require.ErrorIs(t, tab.Merge(big, big), vm.BadAlign)
}

// An unmap that needs a table to cut a huge page, and gets none, changes nothing.
func TestOutOfFramesChangesNothing(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 64<<10), 0)
	require.NoError(t, err)
	pool := NewPool(0, 2, 4096)
	tab, err := New(mem, &Sv39, &Options{Frames: pool, RAMSize: 1 << 40})
	require.NoError(t, err)
	require.NoError(t, tab.Map(1<<30, 1<<30, 1<<30, 1<<30, vm.PermR))
	before := append([]uint64(nil), mem.Words()...)
	for _, err := range []error{
		tab.Unmap(1<<30+4096, 4096), // needs two
		tab.Protect(1<<30, 4096, vm.PermX),
		tab.Map(0, 0, 4096, 0, vm.PermR),
	} {
		require.ErrorIs(t, err, vm.OutOfFrames)
		require.True(t, equal(before, mem.Words()))
		require.Equal(t, 1, pool.Used(), "what was taken was given back")
	}
	require.NoError(t, tab.Check())
}

func TestPool(t *testing.T) {
	p := NewPool(0x1000, 8, 4096)
	a, err := p.AllocFrames(1)
	require.NoError(t, err)
	b, err := p.AllocFrames(4)
	require.NoError(t, err)
	require.Zero(t, b%0x4000, "aligned to its size")
	c, err := p.AllocFrames(1)
	require.NoError(t, err)
	require.NotEqual(t, a, c)
	p.FreeFrames(a, 1)
	for _, bad := range []func(){func() { p.FreeFrames(a, 1) }, func() { p.FreeFrames(b, 1) }, func() { p.FreeFrames(0x9999, 1) }} {
		require.Panics(t, bad)
	}
	require.Equal(t, 2, p.Used())
	for {
		if _, err = p.AllocFrames(1); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, vm.OutOfFrames)
}

// Each law of Check is broken once and found.
func TestCheckFindsBrokenLaws(t *testing.T) {
	for _, c := range []struct {
		law   string
		spoil func(*Table, *Pool)
	}{
		{"L1", func(tab *Table, _ *Pool) { poke(tab, 0x1000, 0, 1<<60, 0) }},
		{"L1", func(tab *Table, _ *Pool) { poke(tab, 0x1000, 1, rvR|1<<10, 0) }},
		{"L2: table", func(tab *Table, _ *Pool) { poke(tab, 0x1000, 1, 1<<52, 0) }},
		{"L2: page", func(tab *Table, _ *Pool) { poke(tab, 0x1000, 0, 1<<52, 0) }},
		{"L3", func(tab *Table, _ *Pool) {
			_, pte, _ := tab.Locate(0x1000, 1)
			addr, _, _ := tab.Locate(0x20_0000, 1)
			tab.mem.Store(addr, 8, pte)
		}},
		{"L4", func(tab *Table, p *Pool) {
			poke(tab, 0x1000, 0, uint64(tab.root)>>2, bitsOf(10, 53))
		}},
		{"L5", func(tab *Table, _ *Pool) { poke(tab, 0x1000, 1, 0, rvV) }},
		{"L6", func(tab *Table, _ *Pool) { poke(tab, 0x1_3000, 0, rvX, 0) }},
	} {
		tab, pool := newTestTable(t, &Sv39, Options{Svnapot: true})
		require.NoError(t, tab.Map(0x1000, 0x5000, 4096, 0, vm.PermR))
		require.NoError(t, tab.Map(0x1_0000, 0x1_0000, 64<<10, 64<<10, vm.PermR))
		require.NoError(t, tab.Check())
		c.spoil(tab, pool)
		require.ErrorContains(t, tab.Check(), c.law)
	}
}

// poke changes bits of an entry.
func poke(tab *Table, va vm.VirtAddr, level int, set, clear uint64) {
	addr, pte, _ := tab.Locate(va, level)
	tab.mem.Store(addr, uint64(tab.plan.format.PTESize), pte&^clear|set)
}
