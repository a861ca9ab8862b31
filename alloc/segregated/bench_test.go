package segregated_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// goMake is Go's own heap behind the same interface.
type goMake struct{}

func (goMake) Malloc(size int) ([]byte, error)        { return make([]byte, size), nil }
func (goMake) Calloc(count, size int) ([]byte, error) { return make([]byte, count*size), nil }
func (goMake) Realloc(b []byte, size int) ([]byte, error) {
	return append(b[:0:0], make([]byte, size)...), nil
}
func (goMake) Free([]byte) {}

// contenders are what the benchmarks compare.
func contenders(b *testing.B) map[string]alloc.Allocator {
	h, err := segregated.New(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	return map[string]alloc.Allocator{"segregated": h, "go": goMake{}}
}

// BenchmarkMallocFree is one Malloc, one byte written, one Free.
func BenchmarkMallocFree(b *testing.B) {
	for name, a := range contenders(b) {
		for _, size := range []int{16, 64, 256, 1024, 8192, 65536} {
			b.Run(fmt.Sprintf("alloc=%s/size=%d", name, size), func(b *testing.B) {
				for b.Loop() {
					p, _ := a.Malloc(size)
					p[0] = 1
					a.Free(p)
				}
			})
		}
	}
}

// BenchmarkRandomOrder fills a table with blocks of mixed sizes and frees them
// in random order; one operation is a Malloc and its Free.
func BenchmarkRandomOrder(b *testing.B) {
	for name, a := range contenders(b) {
		for _, limit := range []int{64, 512, 4096, 65536} {
			b.Run(fmt.Sprintf("alloc=%s/blocks=10000/max=%d", name, limit), func(b *testing.B) {
				const n = 10000
				r := rand.New(rand.NewPCG(1, 2))
				sizes, order, tab := make([]int, n), r.Perm(n), make([][]byte, n)
				for i := range sizes {
					sizes[i] = 1 + r.IntN(limit)
				}
				for i := 0; b.Loop(); i++ {
					if i%n == 0 && i > 0 {
						for _, j := range order {
							a.Free(tab[j])
							tab[j] = nil
						}
					}
					tab[i%n], _ = a.Malloc(sizes[i%n])
					tab[i%n][0] = 1
				}
				for i, p := range tab {
					if p != nil {
						a.Free(p)
						tab[i] = nil
					}
				}
			})
		}
	}
}

// BenchmarkChurn replaces a random block of a full table by one of another
// random size: the steady state of a long-running program.
func BenchmarkChurn(b *testing.B) {
	for name, a := range contenders(b) {
		for _, limit := range []int{256, 2048, 16384} {
			b.Run(fmt.Sprintf("alloc=%s/blocks=4096/max=%d", name, limit), func(b *testing.B) {
				const n = 4096
				r := rand.New(rand.NewPCG(1, 2))
				tab, at, size := make([][]byte, n), make([]int, 1<<16), make([]int, 1<<16)
				for i := range at {
					at[i], size[i] = r.IntN(n), 1+r.IntN(limit)
				}
				for i := 0; b.Loop(); i++ {
					k := i % len(at)
					a.Free(tab[at[k]])
					p, _ := a.Malloc(size[k])
					p[0] = 1
					tab[at[k]] = p
				}
				for _, p := range tab {
					a.Free(p)
				}
			})
		}
	}
}

// BenchmarkReallocGrow appends 64 bytes at a time to one block.
func BenchmarkReallocGrow(b *testing.B) {
	for name, a := range contenders(b) {
		if name == "go" {
			continue // it has no growth in place
		}
		b.Run(fmt.Sprintf("alloc=%s/step=64", name), func(b *testing.B) {
			p, _ := a.Malloc(64)
			for b.Loop() {
				if len(p) >= 1<<20 {
					a.Free(p)
					p, _ = a.Malloc(64)
				}
				p, _ = a.Realloc(p, len(p)+64)
			}
			a.Free(p)
		})
	}
}

// BenchmarkCalloc is one Calloc of recycled memory and its Free.
func BenchmarkCalloc(b *testing.B) {
	for name, a := range contenders(b) {
		for _, size := range []int{64, 4096, 1 << 20} {
			b.Run(fmt.Sprintf("alloc=%s/size=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					p, _ := a.Calloc(1, size)
					p[0] = 1
					a.Free(p)
				}
			})
		}
	}
}

// BenchmarkMallocAligned is one MallocAligned among live blocks and its Free.
func BenchmarkMallocAligned(b *testing.B) {
	h, err := segregated.New(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	for i := range 1000 {
		p, _ := h.Malloc(1 + i)
		if i%2 == 0 {
			h.Free(p)
		}
	}
	for _, align := range []int{16, 64, 4096} {
		b.Run(fmt.Sprintf("alloc=segregated/size=200/align=%d", align), func(b *testing.B) {
			for b.Loop() {
				p, _ := h.MallocAligned(200, align)
				h.Free(p)
			}
		})
	}
}

// BenchmarkWalk reads a heap of ten thousand blocks: Check, Blocks, Stats.
func BenchmarkWalk(b *testing.B) {
	h, err := segregated.New(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	for i := range 10000 {
		p, _ := h.Malloc(1 + i%3000)
		if i%3 == 0 {
			h.Free(p)
		}
	}
	for name, f := range map[string]func(){
		"check": func() { h.Check() },
		"stats": func() { h.Stats() },
		"blocks": func() {
			for range h.Blocks() {
			}
		},
	} {
		b.Run("alloc=segregated/call="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkReallocLarge moves a block back and forth between 1 and 2 MiB past a
// neighbour: pages change their address.
func BenchmarkReallocLarge(b *testing.B) {
	for name, a := range contenders(b) {
		if name == "go" {
			continue // it clears and copies nothing here
		}
		b.Run(fmt.Sprintf("alloc=%s/size=%d", name, 1<<20), func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				p, _ := a.Malloc(1 << 20)
				p[0] = 1
				wall, _ := a.Malloc(4096)
				p, _ = a.Realloc(p, 2<<20)
				a.Free(wall)
				a.Free(p)
			}
		})
	}
}

// BenchmarkShared is the pair of Malloc and Free in as many goroutines as there
// are processors, each with its own few blocks.
func BenchmarkShared(b *testing.B) {
	shared, err := segregated.NewShared(nil, nil)
	require.NoError(b, err)
	defer shared.Close()
	heap, err := segregated.New(nil, nil)
	require.NoError(b, err)
	defer heap.Close()
	locked := alloc.Locked(heap)
	for _, way := range []struct {
		name string
		user func() alloc.Allocator
	}{
		{"shared", func() alloc.Allocator { return shared }},
		{"handle", func() alloc.Allocator { return shared.Handle() }},
		{"locked", func() alloc.Allocator { return locked }},
	} {
		for _, size := range []int{64, 500} {
			b.Run(fmt.Sprintf("alloc=%s/size=%d", way.name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					a := way.user()
					if h, ok := a.(*segregated.Handle); ok {
						defer h.Close()
					}
					var held [16][]byte
					for i := 0; pb.Next(); i++ {
						a.Free(held[i%len(held)])
						held[i%len(held)], _ = a.Malloc(size)
					}
					for _, block := range held {
						a.Free(block)
					}
				})
			})
		}
	}
}
