package segregated

import (
	"fmt"
	"testing"

	"github.com/memlab-go/memlab/arena"
)

// BenchmarkMode is what a pair of Malloc and Free costs in each mode, with a
// hundred blocks live.
func BenchmarkMode(b *testing.B) {
	for _, tc := range []struct {
		name string
		o    Options
	}{
		{"fast", Options{}},
		{"checked", Options{Mode: Checked}},
		{"guarded_1000", Options{Mode: Guarded, Guard: GuardOptions{Every: 1000}}},
		{"guarded_all", Options{Mode: Guarded}},
		{"fast_profile_512K", Options{ProfileRate: 512 << 10}},
		{"fast_profile_all", Options{ProfileRate: 1}},
	} {
		for _, size := range []int{64, 1024, 65536} {
			b.Run(fmt.Sprintf("mode=%s/size=%d", tc.name, size), func(b *testing.B) {
				h := freshIn(b, 1<<30, &arena.Options{}, &tc.o)
				var live [100][]byte
				for i := range live {
					live[i] = must(b, h, size)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					k := i * 7 % len(live)
					h.Free(live[k])
					live[k], _ = h.Malloc(size)
				}
			})
		}
	}
}
