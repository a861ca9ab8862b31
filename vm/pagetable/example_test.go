package pagetable_test

import (
	"fmt"
	"os"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

const userData = vm.PermR | vm.PermW | vm.PermU

func ExampleTable() {
	mem, _ := vm.NewMemory(make([]byte, 1<<20), 0x8000_0000)
	t, err := pagetable.New(mem, &pagetable.Sv39, &pagetable.Options{
		Frames:  pagetable.NewPool(0x8000_0000, 16, 4096),
		RAMBase: 0x8000_0000, RAMSize: 1 << 30,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Map(0x20_0000, 0x8020_0000, 2<<20, 2<<20, userData)) // one page of 2 MiB
	fmt.Println(t.Unmap(0x20_5000, 4096))                              // with a hole in it
	_ = t.Dump(os.Stdout)
	e, _ := t.Walk(0x20_6123, vm.Read|vm.User)
	_, fault := t.Walk(0x20_5123, vm.Read|vm.User)
	fmt.Println(e.Addr(0x20_6123), fault)
	// Output:
	// <nil>
	// <nil>
	// RISC-V Sv39 root 0x80000000
	//   0x0 L2 → table 0x80001000  · PBMT=0x0 PPN=0x80001 · · · · · · · V
	//     0x200000 L1 → table 0x80002000  · PBMT=0x0 PPN=0x80002 · · · · · · · V
	//       0x200000 L0 × 5 → 0x80200000, 4 KiB  · PBMT=0x0 PPN=0x80200 · · · U · W R V
	//       0x206000 L0 × 506 → 0x80206000, 4 KiB  · PBMT=0x0 PPN=0x80206 · · · U · W R V
	// 0x80206123 vm: not present at 0x205123 (read user): level 0 entry at 0x80002028 is 0x0 [cause 13]
}

func ExampleFormat() {
	fmt.Print(pagetable.Tiny.Ruler(0x4b))
	fmt.Println(pagetable.X86_64.Fields(0x8000_0000_0020_0087))
	fmt.Println(pagetable.Sv39.Canonical(1<<38), pagetable.Sv39.Extend(1<<38))
	// Output:
	// ┌─6…5─┬─4…3─┬──2…0───┐
	// │ L1  │ L0  │ offset │
	// │ 0x2 │ 0x1 │  0x3   │
	// └────────────────────┘
	// NX frame=0x200 · PS · · · · U W P
	// false 0xffffffc000000000
}

func ExampleTable_Trace() {
	mem, _ := vm.NewMemory(make([]byte, 256), 0)
	t, _ := pagetable.New(mem, &pagetable.Tiny, &pagetable.Options{Frames: pagetable.NewPool(0, 8, 8)})
	_ = t.Map(0x48, 0x50, 8, 8, userData)
	walk := t.Trace(0x4b, vm.Write|vm.User)
	for i := range walk.Steps {
		fmt.Println(walk.Line(i))
	}
	fmt.Println(walk.Sum())
	// Output:
	//  1. L1[0x2] at 0x4 = 0x0101
	//       zero=0x0 frame=0x1 · · · · · · · V
	//       → table 0x8
	//  2. L0[0x1] at 0xa = 0x0a17
	//       zero=0x0 frame=0xa · · · U · W R V
	//       → page 0x50, 8 B, rw-u
	//       hardware sets it to 0xad7
	// frame 0x50 + offset 0x3 = physical address 0x53   (2 memory references)
}

func ExampleNested() {
	mem, _ := vm.NewMemory(make([]byte, 1<<20), 0x8000_0000)
	second, _ := pagetable.New(mem, &pagetable.Sv39x4, &pagetable.Options{Frames: pagetable.NewPool(0x8000_0000, 64, 4096)})
	// The guest's root is a zeroed frame that it sees at guest-physical 0x30000000.
	_ = second.Map(0x3000_0000, 0x8008_0000, 4096, 4096, vm.PermR|vm.PermW|vm.PermU)
	n, err := pagetable.NewNested(&pagetable.Sv39, 0x3000_0000, second, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, fault := n.Walk(0x1000, vm.Read)
	fmt.Println(fault)
	_ = second.Unmap(0x3000_0000, 4096)
	_, fault = n.Walk(0x1000, vm.Read)
	fmt.Println(fault.HW)
	// Output:
	// vm: not present at 0x1000 (read supervisor): level 2 entry at 0x30000000 is 0x0 [cause 13]
	// cause 21 htval 0xc000000
}

func ExampleHashed() {
	mem, _ := vm.NewMemory(make([]byte, 1<<20), 0)
	h, err := pagetable.NewHashed(mem, 0x1000, 16, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Map(0xabc_def0_0000, 0x8_0000, 4096, 0, userData))
	e, _ := h.Walk(0xabc_def0_0010, vm.Read|vm.User)
	fmt.Println(e.Addr(0xabc_def0_0010), e.Refs, "references")
	// Output:
	// <nil>
	// 0x80010 2 references
}

func ExampleInverted() {
	mem, _ := vm.NewMemory(make([]byte, 1<<20), 0)
	t, err := pagetable.NewInverted(mem, 0x1000, 64, 0x8_0000, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	one, two := t.Space(1), t.Space(2)
	fmt.Println(one.Map(0x4000, 0x8_0000, 4096, 0, userData))
	fmt.Println(two.Map(0x4000, 0x8_0000, 4096, 0, userData)) // a frame holds one page
	_, fault := two.Walk(0x4000, vm.Read|vm.User)
	fmt.Println(fault.Kind)
	// Output:
	// <nil>
	// vm: already mapped at 0x4000
	// vm: not present
}

func ExamplePool() {
	p := pagetable.NewPool(0x1000, 2, 4096)
	a, _ := p.AllocFrames(1)
	b, _ := p.AllocFrames(1)
	_, err := p.AllocFrames(1)
	fmt.Println(a, b, err)
	// Output: 0x1000 0x2000 vm: out of frames at 0x0, pool of 2 frames in use
}
