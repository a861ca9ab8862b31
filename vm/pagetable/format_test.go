package pagetable_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

// TestFormatIsCopied changes a format after a table was made of it: neither the
// table, nor what it shows of its format, nor another table follows.
func TestFormatIsCopied(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 1<<20), 0)
	require.NoError(t, err)
	f := pagetable.Sv39
	f.Levels = append([]pagetable.Level(nil), f.Levels...)
	f.Illegal = append([]pagetable.Pattern(nil), f.Illegal...)
	tab, err := pagetable.New(mem, &f, &pagetable.Options{Frames: pagetable.NewPool(0, 64, 4096)})
	require.NoError(t, err)
	require.NoError(t, tab.Map(0x1000, 0x5000, 0x1000, 0, vm.PermR))
	f.Levels[2].Shift, f.Present, f.Illegal[0].Mask = 13, 0x80, 0
	tab.Format().Levels[1].Bits = 3
	e, fault := tab.Walk(0x1008, vm.Read)
	require.Nil(t, fault)
	require.Equal(t, vm.PhysAddr(0x5008), e.Addr(0x1008))
	require.Equal(t, pagetable.Sv39, *tab.Format())
}

// TestFormatCheck derives formats that no walker can follow.
func TestFormatCheck(t *testing.T) {
	for _, f := range []pagetable.Format{
		pagetable.X86_64, pagetable.X86_64_5Level, pagetable.X86, pagetable.X86PAE, pagetable.NPT, pagetable.Sv32, pagetable.Sv39,
		pagetable.Sv48, pagetable.Sv57, pagetable.Sv39x4, pagetable.Sv48x4, pagetable.Sv57x4, pagetable.ARM64_4K, pagetable.Tiny, pagetable.Linear,
	} {
		require.NoError(t, f.Check(), f.Name)
	}
	mem, err := vm.NewMemory(make([]byte, 1<<16), 0)
	require.NoError(t, err)
	for _, c := range []struct {
		says   string
		change func(f *pagetable.Format)
	}{
		{"0 levels", func(f *pagetable.Format) { f.Levels = nil }},
		{"6 levels", func(f *pagetable.Format) { f.Levels = make([]pagetable.Level, 6) }},
		{"entries of 3 bytes", func(f *pagetable.Format) { f.PTESize = 3 }},
		{"indexes with bits 30 to 38, want 1 to 24 bits below bit 40", func(f *pagetable.Format) { f.VABits = 40 }},
		{"indexes with bits 21 to 20", func(f *pagetable.Format) { f.Levels[1].Bits = 0 }},
		{"indexes with bits 12 to 19", func(f *pagetable.Format) { f.Levels[2].Bits = 8 }},
		{"indexes with bits 4 to 38", func(f *pagetable.Format) { f.Levels = []pagetable.Level{{Shift: 4, Bits: 35, Leaf: true}} }},
		{"physical addresses of 11 bits", func(f *pagetable.Format) { f.PABits = 11 }},
		{"physical addresses of 65 bits", func(f *pagetable.Format) { f.PABits = 65 }},
		{"frame shift 64", func(f *pagetable.Format) { f.FrameShift = 64 }},
		{"no present bit", func(f *pagetable.Format) { f.Present = 0 }},
		{"no present bit or no frame field", func(f *pagetable.Format) { f.Frame = 0 }},
		{"do not fit entries of 4 bytes", func(f *pagetable.Format) { f.PTESize = 4 }},
		{"no leaves at the last level", func(f *pagetable.Format) { f.Levels[2].Leaf = false }},
		{"pages of 1 bytes", func(f *pagetable.Format) {
			f.VABits, f.Levels = 8, []pagetable.Level{{Shift: 0, Bits: 8, Leaf: true}}
		}},
	} {
		t.Run(c.says, func(t *testing.T) {
			f := pagetable.Sv39
			f.Levels = append([]pagetable.Level(nil), f.Levels...)
			c.change(&f)
			require.ErrorContains(t, f.Check(), c.says)
			_, err := pagetable.Open(mem, &f, 0, nil)
			require.ErrorContains(t, err, c.says)
			_, err = pagetable.New(mem, &f, &pagetable.Options{Frames: pagetable.NewPool(0, 16, 4096)})
			require.ErrorContains(t, err, c.says)
		})
	}
}
