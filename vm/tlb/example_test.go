package tlb_test

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/tlb"
)

func ExampleTLB_Run() {
	conf, err := tlb.ParseSpec("split:4x2/8x2,64x4")
	if err != nil {
		fmt.Println(err)
		return
	}
	t, _ := tlb.New(conf)
	var refs []tlb.Ref
	for i := range vm.VirtAddr(1000) {
		refs = append(refs, tlb.MakeRef(0x400000+4*i, true), tlb.MakeRef(0x10000000+i%20*4096, false))
	}
	t.Run(1, refs, 12)
	s := t.Stats()
	fmt.Println("instruction misses", s.Levels[0].Instr.Misses, "data misses", s.Levels[0].Data.Misses, "walks", s.Walks)
	// Output: instruction misses 1 data misses 1000 walks 21
}

func ExampleTLB_Lookup() {
	t, _ := tlb.New(tlb.Config{Levels: []tlb.Level{{Data: []tlb.Array{{Entries: 64, Ways: 4}}}}})
	t.Insert(vm.Entry{Page: 0x7000, Frame: 0x9f000, ASID: 3, Perm: vm.PermR, Shift: 12}, vm.Read)
	e, hit := t.Lookup(3, 0x7abc, vm.Read)
	fmt.Println(hit, e.Addr(0x7abc))
	_, hit = t.Lookup(4, 0x7abc, vm.Read)
	fmt.Println(hit)
	fmt.Println("dropped", t.Flush(vm.FlushVA(0x7000)))
	// Output:
	// true 0x9fabc
	// false
	// dropped 1
}

func ExampleConfig() {
	conf, err := tlb.ParseConfig([]byte(`{
		"levels": [
			{"instr": [{"entries": 32}], "data": [{"entries": 64, "ways": 4, "pages": [4096]}, {"entries": 8, "pages": [2097152]}]},
			{"data": [{"entries": 1536, "ways": 12}], "inclusion": "exclusive"}
		],
		"walk_caches": [{"level": 0, "shift": 21, "entries": 16}]
	}`))
	fmt.Println(len(conf.Levels), err)
	_, err = tlb.ParseSpec("60x4")
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// "60x4": tlb: bad geometry: level 1, data array 0: 60 entries in 4 ways make 15 sets, not a power of two
}

func ExampleCost_Cycles() {
	t, _ := tlb.New(tlb.Presets()[0])
	var refs []tlb.Ref
	for i := range vm.VirtAddr(10000) {
		refs = append(refs, tlb.MakeRef(i%100*4096, false))
	}
	t.Run(0, refs, 12)
	fmt.Println(t.Config().Name, "misses", t.Stats().Levels[0].Misses(), "cycles", t.Config().Cost.Cycles(t.Stats()))
	// Output: skylake misses 10000 cycles 78000
}

func ExampleCores() {
	cores, _ := tlb.NewCores(2, tlb.Config{Levels: []tlb.Level{{Data: []tlb.Array{{Entries: 16}}}}, Cost: tlb.DefaultCost()})
	for i := range cores.Len() {
		cores.Core(i).Insert(vm.Entry{Page: 0x1000, Frame: 0x2000, ASID: 1, Shift: 12}, vm.Read)
	}
	fmt.Println("dropped", cores.Shootdown(0, vm.FlushVAASID(0x1000, 1), nil), "cycles", cores.Stats().Cycles)
	// Output: dropped 2 cycles 2240
}
