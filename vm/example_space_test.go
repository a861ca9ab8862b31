package vm_test

import (
	"bytes"
	"fmt"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
)

// exampleKernel has so many frames, Sv39 page tables, CLOCK, and swap on disk.
func exampleKernel(frames int, disk vm.Device) *vm.Kernel {
	mem, err := vm.NewMemory(make([]byte, frames*4096), 0x8000_0000)
	if err != nil {
		panic(err)
	}
	swap, err := vm.NewSwap(disk, 100, 4096)
	if err != nil {
		panic(err)
	}
	k, err := vm.NewKernel(mem, 4096, &vm.KernelOptions{
		NewTable: func(src vm.FrameSource) (vm.Mapper, error) {
			return pagetable.New(mem, &pagetable.Sv39, &pagetable.Options{Frames: src})
		},
		Policy: replace.NewClock(), Swap: swap,
	})
	if err != nil {
		panic(err)
	}
	return k
}

func ExampleSpace() {
	k := exampleKernel(64, &memDevice{})
	parent, _ := k.NewSpace()
	va, _ := parent.Mmap(0, 8192, vm.PermR|vm.PermW, nil)
	_, _ = parent.Write(va, []byte("hello"))
	child, _ := parent.Fork()
	_, _ = child.Write(va, []byte("jelly"))

	a, b := make([]byte, 5), make([]byte, 5)
	_, _ = parent.Read(va, a)
	_, _ = child.Read(va, b)
	fmt.Printf("%s %s, pages copied: %d\n", a, b, k.Stats().Copies)
	_, err := child.Write(va+8192, []byte("!"))
	fmt.Println(err)
	parent.Destroy()
	child.Destroy()
	fmt.Println(k.Frames().Free(), k.Check())
	// Output:
	// hello jelly, pages copied: 1
	// vm: protection at 0x3feff000 (write user), needs -w--, has ----, guard page of the stack
	// 64 <nil>
}

func ExampleKernel() {
	k := exampleKernel(16, &memDevice{})
	s, _ := k.NewSpace()
	va, _ := s.Mmap(0, 40*4096, vm.PermR|vm.PermW, nil)
	for round := range 2 {
		for i := range vm.VirtAddr(40) {
			if _, err := s.Write(va+i*4096, []byte{byte(round)}); err != nil {
				fmt.Println(err)
			}
		}
	}
	st := k.Stats()
	fmt.Println("faults", st.Faults, "minor", st.Minor, "major", st.Major)
	fmt.Println("evicted", st.Evictions, "to swap", st.SwapOuts, "from swap", st.SwapIns)
	fmt.Println("pages in memory", k.Resident(), "frames of page tables", k.TableFrames())
	// Output:
	// faults 80 minor 40 major 40
	// evicted 67 to swap 67 from swap 40
	// pages in memory 13 frames of page tables 3
}

func ExampleFile() {
	k := exampleKernel(64, &memDevice{})
	disk := &memDevice{b: []byte("the quick brown fox")}
	f, _ := k.OpenFile(disk, 19)
	s, _ := k.NewSpace()
	va, _ := s.Mmap(0, 19, vm.PermR|vm.PermW, &vm.MapOptions{File: f, Shared: true})
	_, _ = s.Write(va+4, []byte("SLICK"))
	fmt.Println(string(disk.b))
	fmt.Println(f.Sync(), string(disk.b))
	// Output:
	// the quick brown fox
	// <nil> the SLICK brown fox
}

func ExampleFaultyDevice() {
	disk := &vm.FaultyDevice{Device: &memDevice{}}
	k := exampleKernel(16, disk)
	s, _ := k.NewSpace()
	_, _ = s.Write(s.Stack()-8, []byte("precious"))
	_ = s.PageOut(s.Stack() - 8)
	disk.OnRead = func(p []byte, _ int64) error { p[4095] ^= 1; return nil }
	_, err := s.Read(s.Stack()-8, make([]byte, 8))
	fmt.Println(err)
	disk.OnRead = nil
	b := make([]byte, 8)
	_, err = s.Read(s.Stack()-8, b)
	fmt.Println(string(b), err)
	// Output:
	// vm: swap i/o error at 0x3ffffff8, slot 0: checksum mismatch
	// precious <nil>
}

func ExampleSwap() {
	disk := &memDevice{}
	swap, _ := vm.NewSwap(disk, 2, 4096)
	_, err := vm.NewSwap(disk, -1, 4096)
	fmt.Println(swap.Slots(), swap.Used(), err != nil, bytes.Equal(disk.b, nil))
	// Output: 2 0 true true
}
