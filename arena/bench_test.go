package arena_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// sink keeps what Go's heap allocates from being optimised away.
type sink struct{ b []byte }

// BenchmarkAlloc allocates blocks and drops them: an Arena by Reset every
// 64 KiB, Go's heap through its collector.
func BenchmarkAlloc(b *testing.B) {
	for _, size := range []int{16, 64, 256, 4096} {
		b.Run(fmt.Sprintf("alloc=arena/size=%d", size), func(b *testing.B) {
			var a arena.Arena
			b.ReportAllocs()
			b.SetBytes(int64(size))
			used := 0
			for b.Loop() {
				if used += size; used > 64<<10 {
					a.Reset()
					used = size
				}
				block, err := a.Alloc(size, 8)
				if err != nil {
					b.Fatal(err)
				}
				block[0] = 1
			}
			require.NoError(b, a.Close())
		})
		b.Run(fmt.Sprintf("alloc=go/size=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			s := new(sink)
			for b.Loop() {
				s.b = make([]byte, size)
				s.b[0] = 1
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	b.Run("alloc=arena", func(b *testing.B) {
		var a arena.Arena
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%4096 == 0 {
				a.Reset()
			}
			p, err := arena.New[point](&a)
			if err != nil {
				b.Fatal(err)
			}
			p.X = 1
		}
		require.NoError(b, a.Close())
	})
	b.Run("alloc=go", func(b *testing.B) {
		b.ReportAllocs()
		keep := make([]*point, 1)
		for b.Loop() {
			keep[0] = new(point)
			keep[0].X = 1
		}
	})
}

// BenchmarkConcurrentAlloc allocates 64 bytes from all processors.
func BenchmarkConcurrentAlloc(b *testing.B) {
	b.Run("alloc=arena/size=64", func(b *testing.B) {
		c, err := arena.NewConcurrent(0, nil) // 64 GiB that nothing touches
		require.NoError(b, err)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := c.Alloc(64, 8); err != nil {
					b.Error(err)
					return
				}
			}
		})
		require.NoError(b, c.Close())
	})
	b.Run("alloc=go/size=64", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			s := new(sink)
			for pb.Next() {
				s.b = make([]byte, 64)
			}
		})
	})
}

// BenchmarkCommit commits and gives back pages, untouched and touched.
func BenchmarkCommit(b *testing.B) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		for _, pages := range []int{1, 16} {
			for _, touch := range []bool{false, true} {
				b.Run(fmt.Sprintf("alloc=%v/pages=%d/touch=%v", backing, pages, touch), func(b *testing.B) {
					r := reserve(b, 1<<24, &arena.Options{Backing: backing})
					size := pages * r.PageSize()
					for b.Loop() {
						if err := r.Commit(1<<20, size); err != nil {
							b.Fatal(err)
						}
						for i := 0; touch && i < size; i += 4096 {
							r.Bytes()[1<<20+i] = 1
						}
						if err := r.Decommit(1<<20, size); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
