package tlb_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/tlb"
)

// BenchmarkLookupAll measures batches that hit.
func BenchmarkLookupAll(b *testing.B) {
	for _, spec := range []string{"64x4", "64x4:plru", "64", "128x8"} {
		for pattern, pages := range map[string]int{"page": 1, "random": 32} {
			b.Run("tlb="+spec+"/pattern="+pattern, func(b *testing.B) {
				conf, err := tlb.ParseSpec(spec)
				require.NoError(b, err)
				t, err := tlb.New(conf)
				require.NoError(b, err)
				for p := range pages {
					t.Insert(vm.Entry{Page: vm.VirtAddr(p) << 12, Frame: vm.PhysAddr(p) << 12, Perm: vm.PermR, Shift: 12}, vm.Read)
				}
				rnd := rand.New(rand.NewPCG(1, 1))
				vas, pas := make([]vm.VirtAddr, 1<<14), make([]vm.PhysAddr, 1<<14)
				for i := range vas {
					vas[i] = vm.VirtAddr(rnd.IntN(pages << 12))
				}
				b.ReportAllocs()
				for b.Loop() {
					require.Equal(b, len(vas), t.LookupAll(0, vas, vm.Read, ^vm.PermSet(0), pas))
				}
				b.ReportMetric(float64(b.N)*float64(len(vas))/b.Elapsed().Seconds()/1e6, "Mref/s")
			})
		}
	}
}

// BenchmarkRun measures a trace with misses.
func BenchmarkRun(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	refs := make([]tlb.Ref, 1<<16)
	for i := range refs { // code on two pages, data mostly near the front
		refs[i] = tlb.MakeRef(vm.VirtAddr(min(rnd.IntN(600), rnd.IntN(600), rnd.IntN(600)))<<12, false)
		if i%3 != 0 {
			refs[i] = tlb.MakeRef(vm.VirtAddr(1<<30+i/1000%2<<12), true)
		}
	}
	for _, spec := range []string{"64x4", "64", "64x4,1536x12", "split:64x8/64x4,1536x12"} {
		b.Run("tlb="+spec, func(b *testing.B) {
			conf, err := tlb.ParseSpec(spec)
			require.NoError(b, err)
			t, err := tlb.New(conf)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				t.Run(0, refs, 12)
			}
			b.ReportMetric(float64(b.N)*float64(len(refs))/b.Elapsed().Seconds()/1e6, "Mref/s")
			b.ReportMetric(100*float64(t.Stats().Levels[0].Misses())/float64(t.Stats().Refs()), "miss-%")
		})
	}
}
