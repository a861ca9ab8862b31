package vm

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/tlb"
)

const (
	addresses = 1 << 20
	hitPages  = 32
	walkPages = 4096
	rounds    = 7
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
	if err := t.Map(0x40_0000, 0x100_0000, walkPages*4096, 4096, perm); err != nil {
		b.Fatal(err)
	}
	for i := range vm.VirtAddr(walkPages) { // marks the upper levels
		if _, f := t.Walk(0x40_0000+i*4096, acc); f != nil {
			b.Fatal(f)
		}
	}
	return mem, t
}

func stream(seed uint64, pages int) []vm.VirtAddr {
	rng := rand.New(rand.NewPCG(seed, 1))
	vas := make([]vm.VirtAddr, addresses)
	for i := range vas {
		vas[i] = 0x40_0000 + vm.VirtAddr(rng.IntN(pages*4096))
	}
	return vas
}

// reference runs the C program once and returns ns per address, or false when
// there is no compiler.
func reference(b *testing.B, dir string) (hit, walk float64, ok bool) {
	bin := filepath.Join(dir, "reference")
	if _, err := exec.LookPath(bin); err != nil {
		if out, err := exec.Command("gcc", "-O2", "-o", bin, filepath.Join("testdata", "reference.c")).CombinedOutput(); err != nil {
			b.Logf("no reference: %v %s", err, out)
			return 0, 0, false
		}
	}
	out, err := exec.Command(bin, fmt.Sprint(walkPages), fmt.Sprint(addresses), "1").Output()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(out), "hit %f\nwalk %f", &hit, &walk); err != nil {
		b.Fatal(err)
	}
	return hit, walk, true
}

// BenchmarkTranslate reports ns per address for the batch through a TLB, one by
// one through the TLB, the batch of walks and one walk at a time, and the ratios
// to the reference.
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
	hits, walks := stream(1, hitPages), stream(2, walkPages)
	least := map[string]float64{}
	measure := func(name string, f func()) {
		start := time.Now()
		f()
		note(least, name, float64(time.Since(start).Nanoseconds())/addresses)
	}
	batch := func(m *vm.MMU, vas []vm.VirtAddr) func() {
		return func() {
			if n, err := m.TranslateAll(vas, acc, pas); n != addresses {
				b.Fatal(err)
			}
		}
	}
	single := func(m *vm.MMU, vas []vm.VirtAddr) func() {
		return func() {
			for _, va := range vas {
				if _, err := m.Translate(va, acc); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	batch(withTLB, hits)()
	dir, compared := b.TempDir(), false
	for b.Loop() {
		for range rounds {
			measure("batch", batch(withTLB, hits))
			measure("single", single(withTLB, hits))
			measure("walk-batch", batch(plain, walks))
			measure("walk-single", single(plain, walks))
			if hit, walk, ok := reference(b, dir); ok {
				compared = true
				note(least, "ref-hit", hit)
				note(least, "ref-walk", walk)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, ns := range least {
		b.ReportMetric(ns, name+"-ns")
	}
	if compared {
		b.ReportMetric(least["batch"]/least["ref-hit"], "batch/ref")
		b.ReportMetric(least["walk-batch"]/least["ref-walk"], "walk/ref")
	}
}

func note(least map[string]float64, name string, ns float64) {
	if old, ok := least[name]; !ok || ns < old {
		least[name] = ns
	}
}
