package fit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// benchKinds are the heaps side by side.
var benchKinds = []string{"list", "address", "deferred", "implicit", "tlsf", "buddy"}

// One block, allocated and freed again.
func BenchmarkPair(b *testing.B) {
	for _, kind := range benchKinds {
		for _, size := range []int{16, 64, 1024} {
			b.Run(fmt.Sprintf("alloc=%s/size=%d", kind, size), func(b *testing.B) {
				h, err := openers[kind](region(b, 1<<20, arena.Mmap), nil)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					p, err := h.Malloc(size)
					if err != nil {
						b.Fatal(err)
					}
					h.Free(p)
				}
			})
		}
	}
	b.Run("alloc=go/size=64", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sinkBytes = make([]byte, 64)
		}
	})
}

var sinkBytes []byte

// A thousand live blocks of mixed sizes, replaced one at a time; what is left
// unused of the heap is reported.
func BenchmarkMixed(b *testing.B) {
	for _, kind := range benchKinds {
		b.Run("alloc="+kind, func(b *testing.B) {
			h, err := openers[kind](region(b, 64<<20, arena.Mmap), nil)
			require.NoError(b, err)
			rng := rand.New(rand.NewPCG(1, 2))
			var live [1000][]byte
			b.ReportAllocs()
			for b.Loop() {
				i := rng.IntN(len(live))
				h.Free(live[i])
				if live[i], err = h.Malloc(16 + rng.IntN(500)); err != nil {
					b.Fatal(err)
				}
			}
			s := h.Stats()
			b.ReportMetric(100*s.ExternalFragmentation(), "frag-%")
			b.ReportMetric(float64(s.Committed), "committed-B")
			b.ReportMetric(float64(s.Searched)/float64(s.Mallocs), "searched/op")
		})
	}
}

// Growing one block step by step, in place.
func BenchmarkRealloc(b *testing.B) {
	for _, kind := range benchKinds {
		b.Run("alloc="+kind, func(b *testing.B) {
			h, err := openers[kind](region(b, 1<<20, arena.Mmap), nil)
			require.NoError(b, err)
			p, err := h.Malloc(16)
			require.NoError(b, err)
			for b.Loop() {
				if p, err = h.Realloc(p, 16+(len(p)+16)%4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
