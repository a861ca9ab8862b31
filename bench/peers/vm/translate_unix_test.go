//go:build unix

package vm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

const (
	addresses = 1 << 20
	hitPages  = 32
	walkPages = 4096
	rounds    = 7  // of traces
	turns     = 15 // of translations
	firstPage = 0x40_0000
	acc       = vm.Read | vm.User
)

// space is walkPages pages of 4 KiB under 4-level tables, all marked accessed.
func space(b *testing.B) (*vm.Memory, *pagetable.Table) {
	mem, err := vm.NewMemory(make([]byte, 64<<20), 0)
	if err != nil {
		b.Fatal(err)
	}
	t, err := pagetable.New(mem, &pagetable.X86_64, &pagetable.Options{Frames: pagetable.NewPool(4096, 1024, 4096)})
	if err != nil {
		b.Fatal(err)
	}
	perm := vm.PermR | vm.PermW | vm.PermX | vm.PermU | vm.PermD
	if err := t.Map(firstPage, 0x100_0000, walkPages*4096, 4096, perm); err != nil {
		b.Fatal(err)
	}
	for i := range vm.VirtAddr(walkPages) { // marks the upper levels
		if _, f := t.Walk(firstPage+i*4096, acc); f != nil {
			b.Fatal(f)
		}
	}
	return mem, t
}

// stream makes addresses and writes them to a file for the C program.
func stream(b *testing.B, seed uint64, pages int) (vas []vm.VirtAddr, file string) {
	rng := rand.New(rand.NewPCG(seed, 1))
	vas = make([]vm.VirtAddr, addresses)
	var raw []byte
	for i := range vas {
		vas[i] = firstPage + vm.VirtAddr(rng.IntN(pages*4096))
		raw = binary.NativeEndian.AppendUint64(raw, uint64(vas[i]))
	}
	file = filepath.Join(b.TempDir(), fmt.Sprint(pages))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		b.Fatal(err)
	}
	return vas, file
}

// total adds up physical addresses, modulo 2^32.
func total(pas []vm.PhysAddr) float64 {
	sum := uint32(0)
	for _, pa := range pas {
		sum += uint32(pa)
	}
	return float64(sum)
}

// BenchmarkTranslate reports ns per address for the batch through a TLB, one by
// one through the TLB, the batch of walks and one walk at a time, and the ratios
// to the reference, which translates the same addresses to the same results.
func BenchmarkTranslate(b *testing.B) {
	mem, table := space(b)
	conf, err := tlb.ParseSpec("64x4")
	if err != nil {
		b.Fatal(err)
	}
	cache, err := tlb.New(conf)
	if err != nil {
		b.Fatal(err)
	}
	withTLB := vm.NewMMU(mem, &vm.MMUOptions{TLB: cache})
	withTLB.Switch(table, 1)
	plain := vm.NewMMU(mem, nil)
	plain.Switch(table, 1)
	pas := make([]vm.PhysAddr, addresses)
	hits, hitFile := stream(b, 1, hitPages)
	walks, walkFile := stream(b, 2, walkPages)
	reference := compile(b, "reference")
	batch := func(m *vm.MMU, vas []vm.VirtAddr) {
		if n, err := m.TranslateAll(vas, acc, pas); n != addresses {
			b.Fatal(err)
		}
	}
	single := func(m *vm.MMU, vas []vm.VirtAddr) {
		for i, va := range vas {
			if pas[i], err = m.Translate(va, acc); err != nil {
				b.Fatal(err)
			}
		}
	}
	least := map[string]float64{}
	measure := func(name string, f func(*vm.MMU, []vm.VirtAddr), m *vm.MMU, vas []vm.VirtAddr, sum float64) {
		start := cpu()
		f(m, vas)
		note(least, name+"-ns", float64((cpu()-start).Nanoseconds())/addresses)
		if got := total(pas); got != sum {
			b.Fatalf("%s: physical addresses add up to %v, the reference's to %v", name, got, sum)
		}
	}
	batch(withTLB, hits)
	for b.Loop() {
		for range turns {
			ref := runC(b, reference, fmt.Sprint(walkPages), hitFile, walkFile, "1")
			if ref["misses"] != 0 {
				b.Fatalf("the reference missed %v times", ref["misses"])
			}
			note(least, "ref-hit-ns", ref["hit"])
			note(least, "ref-walk-ns", ref["walk"])
			measure("batch", batch, withTLB, hits, ref["hitsum"])
			measure("single", single, withTLB, hits, ref["hitsum"])
			measure("walk-batch", batch, plain, walks, ref["walksum"])
			measure("walk-single", single, plain, walks, ref["walksum"])
		}
	}
	if s := cache.Stats(); s.Walks != hitPages {
		b.Fatalf("%d walks for %d pages", s.Walks, hitPages)
	}
	b.ReportMetric(0, "ns/op")
	for name, ns := range least {
		b.ReportMetric(ns, name)
	}
	b.ReportMetric(least["batch-ns"]/least["ref-hit-ns"], "batch/ref")
	b.ReportMetric(least["walk-batch-ns"]/least["ref-walk-ns"], "walk/ref")
}

func note(least map[string]float64, name string, ns float64) {
	if old, ok := least[name]; !ok || ns < old {
		least[name] = ns
	}
}
