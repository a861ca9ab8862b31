package vm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

// BenchmarkTranslate translates 64 Ki addresses of a pattern over so many pages;
// an operation is one address.
func BenchmarkTranslate(b *testing.B) {
	for _, f := range []*pagetable.Format{&pagetable.X86_64, &pagetable.Sv39} {
		for _, spec := range []string{"none", "64x4", "64x4,1536x12"} {
			for _, pages := range []int{32, 1024} {
				for _, pattern := range []string{"random", "stride"} {
					name := fmt.Sprintf("format=%s/tlb=%s/pages=%d/pattern=%s", f.Name, spec, pages, pattern)
					m, vas := benchMMU(b, f, spec, pages, pattern)
					pas := make([]vm.PhysAddr, len(vas))
					b.Run(name+"/by=batch", func(b *testing.B) {
						b.ReportAllocs()
						for b.Loop() {
							if _, err := m.TranslateAll(vas, vm.Read|vm.User, pas); err != nil {
								b.Fatal(err)
							}
						}
						perAddress(b, len(vas))
					})
					b.Run(name+"/by=one", func(b *testing.B) {
						b.ReportAllocs()
						for b.Loop() {
							for _, va := range vas {
								if _, err := m.Translate(va, vm.Read|vm.User); err != nil {
									b.Fatal(err)
								}
							}
						}
						perAddress(b, len(vas))
					})
				}
			}
		}
	}
}

func perAddress(b *testing.B, n int) {
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(n)
	b.ReportMetric(ns, "ns/addr")
	b.ReportMetric(1e3/ns, "M-addr/s")
}

func benchMMU(b *testing.B, f *pagetable.Format, spec string, pages int, pattern string) (*vm.MMU, []vm.VirtAddr) {
	mem, err := vm.NewMemory(make([]byte, 16<<20), 0)
	if err != nil {
		b.Fatal(err)
	}
	t, err := pagetable.New(mem, f, &pagetable.Options{Frames: pagetable.NewPool(0, 256, 4096)})
	if err != nil {
		b.Fatal(err)
	}
	if err := t.Map(0x40_0000, 0x40_0000, uint64(pages)<<12, 4096, all|vm.PermD); err != nil {
		b.Fatal(err)
	}
	o := vm.MMUOptions{}
	if spec != "none" {
		conf, err := tlb.ParseSpec(spec)
		if err != nil {
			b.Fatal(err)
		}
		if o.TLB, err = tlb.New(conf); err != nil {
			b.Fatal(err)
		}
	}
	m := vm.NewMMU(mem, &o)
	m.Switch(t, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	vas := make([]vm.VirtAddr, 1<<16)
	for i := range vas {
		off := uint64(i) * 64
		if pattern == "random" {
			off = rng.Uint64()
		}
		vas[i] = 0x40_0000 + vm.VirtAddr(off%(uint64(pages)<<12))
	}
	return m, vas
}
