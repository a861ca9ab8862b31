package tlb

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// The branch-free search, in a batch and one by one, leaves exactly what Lookup
// leaves: the same answers, counters, entries and replacement order, with second
// levels, other address spaces, huge pages and missing rights mixed in.
func TestFourWayAgreesWithLookup(t *testing.T) {
	for _, spec := range []string{"64x4", "16x4,64x4", "16x4,64x8", "8x4", "split:16x4/8x4,64x4"} {
		conf, err := ParseSpec(spec)
		require.NoError(t, err)
		var three [3]*TLB
		for i := range three {
			three[i], err = New(conf)
			require.NoError(t, err)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		const ok = vm.PermSet(1<<vm.PermR | 1<<(vm.PermR|vm.PermW))
		for round := range 400 {
			asid := vm.ASID(rng.IntN(100) / 98)
			acc := vm.Access(rng.IntN(3))
			vas := make([]vm.VirtAddr, 1+rng.IntN(60))
			for i := range vas {
				vas[i] = vm.VirtAddr(rng.IntN(1 << 10 << rng.IntN(9)))
			}
			walk := func(va vm.VirtAddr) vm.Entry {
				e := vm.Entry{Page: va &^ 4095, Frame: vm.PhysAddr(va&^4095) + 1<<32, ASID: asid, Perm: vm.PermR, Shift: 12, Refs: 4}
				if round%10 == 9 && va>>12%7 == 0 {
					e = vm.Entry{Page: va &^ (1<<21 - 1), Frame: vm.PhysAddr(va&^(1<<21-1)) + 1<<32, ASID: asid, Perm: vm.PermR, Shift: 21, Refs: 3}
				}
				if va>>12%13 == 0 {
					e.Perm = vm.PermX
				}
				return e
			}
			var want, batch, single []vm.PhysAddr
			for _, va := range vas {
				e, hit := three[0].Lookup(asid, va, acc)
				if !hit || !ok.Has(e.Perm) {
					e = walk(va)
					three[0].Insert(e, acc)
				}
				want = append(want, e.Addr(va))
				pa, hit := three[2].Translate(asid, va, acc, ok)
				if !hit {
					e = walk(va)
					three[2].Insert(e, acc)
					pa = e.Addr(va)
				}
				single = append(single, pa)
			}
			batch = make([]vm.PhysAddr, len(vas))
			for n := 0; n < len(vas); n++ {
				n += three[1].LookupAll(asid, vas[n:], acc, ok, batch[n:])
				if n < len(vas) {
					e := walk(vas[n])
					three[1].Insert(e, acc)
					batch[n] = e.Addr(vas[n])
				}
			}
			require.Equal(t, want, batch, "%s round %d", spec, round)
			require.Equal(t, want, single, "%s round %d", spec, round)
			for i := 1; i < 3; i++ {
				require.Equal(t, three[0].Stats(), three[i].Stats(), "%s round %d, %d", spec, round, i)
				require.Equal(t, slices.Collect(three[0].Entries()), slices.Collect(three[i].Entries()))
			}
			if round%50 == 49 {
				for _, c := range three {
					c.Flush(vm.Flush{})
				}
			}
		}
	}
}
