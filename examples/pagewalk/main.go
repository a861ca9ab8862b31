// Command pagewalk follows one virtual address through the four levels of
// x86-64's page tables, as the processor does: cut the address up, read an entry a
// level, and join frame and offset. The tables are real: 4 KiB pages of entries in
// simulated memory, bit for bit as hardware reads them.
//
// Without -answers it prints the tables and leaves the walk to the reader.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "seed of the address and the tables")
	answers := flag.Bool("answers", false, "make the walk")
	flag.Parse()
	if err := run(os.Stdout, *seed, *answers); err != nil {
		log.Fatal("pagewalk: ", err)
	}
}

const (
	base   = vm.PhysAddr(0x10_0000) // physical address of the first table
	page   = 4096
	rights = vm.PermR | vm.PermW | vm.PermU
)

func run(w io.Writer, seed uint64, answers bool) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	mem, err := vm.NewMemory(make([]byte, 64*page), base)
	if err != nil {
		return err
	}
	format := &pagetable.X86_64
	t, err := pagetable.New(mem, format, &pagetable.Options{
		Frames: pagetable.NewPool(base, 64, page), RAMSize: 1 << 32,
	})
	if err != nil {
		return err
	}
	va := vm.VirtAddr(rng.Uint64() & (1<<47 - 1))
	frame := vm.PhysAddr(rng.IntN(1<<20)) << 12
	if err := t.Map(va&^(page-1), frame, page, page, rights); err != nil {
		return err
	}
	fmt.Fprintf(w, "One page is mapped. A program in user mode writes to %v.\n", va)
	fmt.Fprintf(w, "CR3 holds %v, the address of the first table. The address falls into\n\n", t.Root())
	fmt.Fprint(w, format.Ruler(va))
	fmt.Fprintln(w, "\nThe entries that are not zero, each 8 bytes wide:")
	for table := range t.Tables() {
		for i := range vm.PhysAddr(page / 8) {
			if pte, _ := mem.Load(table.Addr+8*i, 8); pte != 0 {
				fmt.Fprintf(w, "  table %v, entry %#5x: %#016x   %s\n", table.Addr, uint64(i), pte, format.Fields(pte))
			}
		}
	}
	fmt.Fprintln(w, "\nWhich four entries are read, what is the physical address, and which bits are set afterwards?")
	if !answers {
		fmt.Fprintln(w, "(Run with -answers to see.)")
		return nil
	}
	return answer(w, t, va)
}

// answer makes the walk, then two that fail, and sums up.
func answer(w io.Writer, t *pagetable.Table, va vm.VirtAddr) error {
	walk := t.Trace(va, vm.Write|vm.User)
	if walk.Fault != nil {
		return walk.Fault
	}
	fmt.Fprintln(w)
	for i := range walk.Steps {
		fmt.Fprintln(w, walk.Line(i))
	}
	fmt.Fprintf(w, "    %s\n", walk.Sum())
	fmt.Fprintln(w, "\nA (accessed) was set on every level, D (dirty) in the last entry: the access was a write.")

	fmt.Fprintf(w, "\nThe page behind it is not mapped: %s.\n", t.Trace(va+page, vm.Read|vm.User).Result())
	fmt.Fprintf(w, "Nor may code be fetched from this one: %s.\n", t.Trace(va, vm.Execute|vm.User).Result())
	far := vm.VirtAddr(1 << 47)
	fmt.Fprintf(w, "And %v is no address at all, since bits 63 to 48 do not repeat bit 47: %s.\n", far, t.Trace(far, vm.Read).Result())
	fmt.Fprintln(w, "\nFour reads for one: that is why processors have a TLB (see the example tlbreach).")
	return nil
}
