package pagetable_test

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

func TestDestroy(t *testing.T) {
	for _, f := range []*pagetable.Format{&pagetable.Sv39, &pagetable.X86_64_5Level, &pagetable.X86PAE, &pagetable.Sv32} {
		mem, err := vm.NewMemory(make([]byte, 64*4096), 0)
		require.NoError(t, err)
		frames, err := vm.NewFrames(mem, 0)
		require.NoError(t, err)
		table, err := pagetable.New(mem, f, &pagetable.Options{Frames: frames})
		require.NoError(t, err)
		for i := range vm.VirtAddr(3) {
			require.NoError(t, table.Map(0x1000+i<<24, 0x3000, 4096, 4096, vm.PermR|vm.PermU))
		}
		require.Less(t, frames.Free(), 61)
		table.Destroy()
		require.Equal(t, 64, frames.Free(), f.Name)
		require.NoError(t, frames.Check())
	}
}
