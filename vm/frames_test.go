package vm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func newFrames(t testing.TB, n int, base vm.PhysAddr) *vm.Frames {
	t.Helper()
	mem, err := vm.NewMemory(make([]byte, n*4096), base)
	require.NoError(t, err)
	f, err := vm.NewFrames(mem, 0)
	require.NoError(t, err)
	require.NoError(t, f.Check())
	return f
}

func TestFramesBuddies(t *testing.T) {
	f := newFrames(t, 8, 0x8000)
	require.Equal(t, 8, f.Largest())
	a, err := f.AllocFrames(1)
	require.NoError(t, err)
	require.Equal(t, vm.PhysAddr(0x8000), a)
	b, err := f.AllocFrames(2)
	require.NoError(t, err)
	require.Equal(t, vm.PhysAddr(0xa000), b, "the smallest block that is large enough")
	require.Equal(t, 4, f.Largest())
	require.Equal(t, 5, f.Free())
	require.True(t, f.Allocated(0xb123))
	require.False(t, f.Allocated(0x9000))
	_, err = f.AllocFrames(8)
	require.ErrorIs(t, err, vm.OutOfFrames)
	_, err = f.AllocFrames(3)
	require.ErrorIs(t, err, vm.BadLength)
	f.FreeFrames(a, 1)
	f.FreeFrames(b, 2)
	require.Equal(t, 8, f.Largest(), "all joined again")
	require.NoError(t, f.Check())
}

func TestNewFramesRefuses(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 3*4096), 0x1000)
	require.NoError(t, err)
	for _, size := range []uint64{1, 4, 12, 4095, 8192} {
		_, err := vm.NewFrames(mem, size)
		require.Error(t, err, size)
	}
	f, err := vm.NewFrames(mem, 0) // three frames: blocks of 1 and 2
	require.NoError(t, err)
	require.Equal(t, 2, f.Largest())
	require.NoError(t, f.Check())
}

// TestFramesModel allocates, frees, maps and unmaps at random beside a map of
// frames to owners.
func TestFramesModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(rt, "frames")
		base := vm.PhysAddr(rapid.IntRange(0, 9).Draw(rt, "base") * 4096)
		f := newFrames(t, n, base)
		owner := map[vm.PhysAddr]int{} // frame → block
		blocks := map[vm.PhysAddr]int{}
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if size := 1 << rapid.IntRange(0, 4).Draw(rt, "order"); rapid.Bool().Draw(rt, "alloc") {
				pa, err := f.AllocFrames(size)
				if err != nil {
					require.Less(t, f.Largest(), size)
					continue
				}
				require.Zero(t, uint64(pa)%uint64(size*4096), "aligned to its size")
				for k := range size {
					at := pa + vm.PhysAddr(4096*k)
					require.NotContains(t, owner, at)
					require.True(t, f.Memory().Contains(at, 4096))
					owner[at] = step
				}
				blocks[pa] = size
			} else {
				for pa, size := range blocks {
					f.FreeFrames(pa, size)
					delete(blocks, pa)
					for k := range size {
						delete(owner, pa+vm.PhysAddr(4096*k))
					}
					break
				}
			}
			require.Equal(t, n, f.Free()+len(owner))
			require.NoError(t, f.Check())
		}
		for pa, size := range blocks {
			f.FreeFrames(pa, size)
		}
		fresh := newFrames(t, n, base)
		require.Equal(t, fresh.Largest(), f.Largest(), "everything joined again")
		require.NoError(t, f.Check())
	})
}

// panicsWith returns what f panics with.
func panicsWith(t testing.TB, f func()) (err error) {
	t.Helper()
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}

func faultFrameDoubleFree(t *testing.T) {
	f := newFrames(t, 8, 0x8000)
	a, err := f.AllocFrames(2)
	require.NoError(t, err)
	m := vm.Mapping{ASID: 1, VA: 0x1000}
	require.NoError(t, f.AddMapping(a, m))
	for _, bad := range []struct {
		pa vm.PhysAddr
		n  int
	}{{a, 1}, {a, 4}, {a + 4096, 1}, {a + 1, 2}, {a, 2}, {0x10_0000, 1}, {0, 1}} { // {a, 2} is mapped still
		require.ErrorIs(t, panicsWith(t, func() { f.FreeFrames(bad.pa, bad.n) }), vm.FrameDoubleFree, "%+v", bad)
		require.Equal(t, 6, f.Free())
		require.NoError(t, f.Check())
	}
	require.NoError(t, f.RemoveMapping(a, m))
	require.ErrorIs(t, f.RemoveMapping(a, m), vm.FrameDoubleFree, "double unmap")
	f.FreeFrames(a, 2)
	require.ErrorIs(t, panicsWith(t, func() { f.FreeFrames(a, 2) }), vm.FrameDoubleFree)
	require.ErrorIs(t, f.AddMapping(a, m), vm.BadFrame, "a free frame is not mapped")
	require.Equal(t, 8, f.Free())

	a, err = f.AllocFrames(1)
	require.NoError(t, err)
	for i := range 65535 {
		require.NoError(t, f.AddMapping(a, vm.Mapping{ASID: vm.ASID(i), VA: 0x1000}))
	}
	require.ErrorIs(t, f.AddMapping(a, m), vm.FrameDoubleFree, "the count would overflow")
	require.Equal(t, 65535, f.Refs(a))
	require.NoError(t, f.Check())
}

func TestFramesOwns(t *testing.T) {
	f := newFrames(t, 4, 0)
	a, err := f.AllocFrames(2)
	require.NoError(t, err)
	require.NoError(t, f.AddMapping(a, vm.Mapping{ASID: 1, VA: 0x1000}))
	require.NoError(t, f.AddMapping(a, vm.Mapping{ASID: 2, VA: 0x5000}))
	require.True(t, f.Owns(1, a, 4096))
	require.True(t, f.Owns(2, a+8, 8))
	require.False(t, f.Owns(3, a, 4096))
	require.False(t, f.Owns(1, a, 8192), "all of the range")
	require.False(t, f.Owns(1, a+4090, 8))
	require.False(t, f.Owns(1, 4*4096, 1))
	var got []vm.Mapping
	for m := range f.MappingsOf(a) {
		got = append(got, m)
	}
	require.Equal(t, []vm.Mapping{{ASID: 1, VA: 0x1000}, {ASID: 2, VA: 0x5000}}, got)
}

func ExampleFrames() {
	mem, _ := vm.NewMemory(make([]byte, 8*4096), 0x8000_0000)
	frames, _ := vm.NewFrames(mem, 4096)
	a, _ := frames.AllocFrames(1)
	b, _ := frames.AllocFrames(2)
	fmt.Println(a, b, frames.Free(), frames.Largest())
	frames.FreeFrames(a, 1)
	frames.FreeFrames(b, 2)
	fmt.Println(frames.Free(), frames.Largest(), frames.Check())
	// Output:
	// 0x80000000 0x80002000 5 4
	// 8 8 <nil>
}

func BenchmarkAllocFrames(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("frames=%d", n), func(b *testing.B) {
			f := newFrames(b, 4096, 0x8000_0000)
			rng := rand.New(rand.NewPCG(1, 2))
			held := make([]vm.PhysAddr, 256)
			for i := range held {
				held[i], _ = f.AllocFrames(n)
			}
			b.ReportAllocs()
			for b.Loop() {
				i := rng.IntN(len(held))
				f.FreeFrames(held[i], n)
				held[i], _ = f.AllocFrames(n)
			}
		})
	}
}

// TestSplitBlock: the frames of a block that was split are freed one by one, and
// join again; what is no block in use cannot be split.
func TestSplitBlock(t *testing.T) {
	mem, err := vm.NewMemory(make([]byte, 64*page), memBase)
	require.NoError(t, err)
	f, err := vm.NewFrames(mem, page)
	require.NoError(t, err)
	pa, err := f.AllocFrames(16)
	require.NoError(t, err)
	require.ErrorIs(t, f.SplitBlock(pa, 8), vm.FrameDoubleFree)
	require.ErrorIs(t, f.SplitBlock(pa+page, 16), vm.FrameDoubleFree)
	require.ErrorIs(t, f.SplitBlock(pa+1, 16), vm.FrameDoubleFree)
	require.NoError(t, f.SplitBlock(pa, 16))
	require.ErrorIs(t, f.SplitBlock(pa, 16), vm.FrameDoubleFree)
	require.NoError(t, f.Check())
	for i := range vm.PhysAddr(16) {
		require.True(t, f.Allocated(pa+i*page))
		f.FreeFrames(pa+i*page, 1)
		require.NoError(t, f.Check())
	}
	require.Equal(t, 64, f.Largest())
	require.ErrorIs(t, f.SplitBlock(pa, 16), vm.FrameDoubleFree)
}
