package vm_test

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

// exampleSpace is an Sv39 address space with one page at 0x401000.
func exampleSpace() (*vm.Memory, *pagetable.Table) {
	mem, err := vm.NewMemory(make([]byte, 1<<20), 0x8000_0000)
	if err != nil {
		panic(err)
	}
	t, err := pagetable.New(mem, &pagetable.Sv39, &pagetable.Options{Frames: pagetable.NewPool(0x8000_0000, 16, 4096)})
	if err != nil {
		panic(err)
	}
	if err := t.Map(0x40_1000, 0x8002_0000, 4096, 4096, vm.PermR|vm.PermW|vm.PermU); err != nil {
		panic(err)
	}
	return mem, t
}

func ExampleMMU() {
	mem, table := exampleSpace()
	conf, _ := tlb.ParseSpec("64x4")
	cache, _ := tlb.New(conf)
	mmu := vm.NewMMU(mem, &vm.MMUOptions{TLB: cache})
	mmu.Switch(table, 1)

	pa, err := mmu.Translate(0x40_1234, vm.Read|vm.User)
	fmt.Println(pa, err)
	_, err = mmu.Translate(0x40_1234, vm.Execute|vm.User)
	fmt.Println(err)

	if err := table.Unmap(0x40_1000, 4096); err != nil { // and no flush …
		fmt.Println(err)
	}
	pa, err = mmu.Translate(0x40_1234, vm.Read|vm.User)
	fmt.Println(pa, err)
	fmt.Println(mmu.CheckTLB())
	// Output:
	// 0x80020234 <nil>
	// vm: protection at 0x401234 (execute user): level 0 entry at 0x80001008 is 0x20008057, needs --xu, has rw-u [cause 12]
	// 0x80020234 <nil>
	// vm: stale TLB entry, asid 1, page 0x401000 → frame 0x80020000 rw-u: the table says not present at 0x401000
}

func ExampleMMU_Write() {
	mem, table := exampleSpace()
	mmu := vm.NewMMU(mem, nil)
	mmu.Switch(table, 1)
	fmt.Println(mmu.Write(0x40_1000, []byte("hello"), vm.User))
	buf := make([]byte, 5)
	fmt.Println(mmu.Read(0x40_1000, buf, vm.User), string(buf))
	err := mmu.Write(0x40_1ffe, []byte("over"), vm.User) // the next page is not mapped
	fmt.Println(errors.Is(err, vm.NotPresent))
	// Output:
	// <nil>
	// <nil> hello
	// true
}

func ExampleMMU_TranslateAll() {
	mem, table := exampleSpace()
	mmu := vm.NewMMU(mem, nil)
	mmu.Switch(table, 1)
	vas := []vm.VirtAddr{0x40_1000, 0x40_1008, 0x40_2000}
	pas := make([]vm.PhysAddr, len(vas))
	n, err := mmu.TranslateAll(vas, vm.Read|vm.User, pas)
	fmt.Println(pas[:n], err)
	// Output:
	// [0x80020000 0x80020008] vm: not present at 0x402000 (read user): level 0 entry at 0x80001010 is 0x0 [cause 13]
}

func ExampleMMU_SetEvents() {
	mem, table := exampleSpace()
	mmu := vm.NewMMU(mem, nil)
	mmu.Switch(table, 1)
	mmu.SetEvents(func(e vm.Event) {
		switch e.Kind {
		case vm.EventStep:
			fmt.Printf("level %d: entry %#x at %v\n", e.Level, e.PTE, e.PTEAddr)
		case vm.EventUpdate:
			fmt.Printf("set to %#x\n", e.PTE)
		case vm.EventDone:
			fmt.Println("done:", e.PA)
		}
	})
	_, _ = mmu.Translate(0x40_1234, vm.Write|vm.User)
	// Output:
	// level 2: entry 0x20000801 at 0x80000000
	// level 1: entry 0x20000401 at 0x80002010
	// level 0: entry 0x20008017 at 0x80001008
	// set to 0x200080d7
	// done: 0x80020234
}

func ExampleMemory() {
	mem, _ := vm.NewMemory(make([]byte, 4096), 0x8000_0000)
	mem.Store(0x8000_0008, 8, 0x1122_3344_5566_7788)
	b, _ := mem.Bytes(0x8000_0008, 8)
	fmt.Printf("% x\n", b)
	_, ok := mem.Load(0x1000, 8)
	fmt.Println("load outside:", ok)
	// Output:
	// 88 77 66 55 44 33 22 11
	// load outside: false
}

func ExamplePerm() {
	fmt.Println(vm.PermR|vm.PermX|vm.PermU, vm.PermR|vm.PermW|vm.PermD)
	fmt.Println(vm.Write|vm.User, vm.Read|vm.SUM)
	// Output:
	// r-xu rw--d
	// write user read supervisor sum
}

func ExampleFlush() {
	e := vm.Entry{Page: 0x20_0000, Shift: 21, ASID: 3}
	fmt.Println(vm.FlushASID(3).Matches(e), vm.FlushVAASID(0x2f_0000, 4).Matches(e), vm.Invlpg(0x2f_0000, 3).Matches(e))
	// Output: true false true
}

func ExampleFault() {
	_, table := exampleSpace()
	_, fault := table.Walk(0x40_1000, vm.Execute|vm.User)
	fmt.Println(fault.Kind, fault.Level, fault.PTEAddr, fault.HW)
	// Output: vm: protection 0 0x80001008 cause 12
}
