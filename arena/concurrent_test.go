package arena_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

func TestConcurrentAllocsDoNotOverlap(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(backing.String(), func(t *testing.T) {
			const goroutines, each = 8, 2000
			c, err := arena.NewConcurrent(4<<20, &arena.Options{Backing: backing})
			require.NoError(t, err)
			for round := range 2 {
				var wg sync.WaitGroup
				blocks := make([][][]byte, goroutines)
				for g := range goroutines {
					wg.Go(func() {
						for i := range each {
							off, b, err := c.Alloc(8+i%40, 8)
							if err != nil || off == 0 || off%8 != 0 {
								t.Errorf("Alloc(%d, 8) = %#x, %v", 8+i%40, off, err)
								return
							}
							if binary.LittleEndian.Uint64(b) != 0 {
								t.Errorf("round %d: block at %#x is not zero", round, off)
							}
							for j := range b {
								b[j] = byte(g*each + i)
							}
							blocks[g] = append(blocks[g], b)
						}
					})
				}
				wg.Wait()
				for g := range blocks {
					for i, b := range blocks[g] {
						for j := range b {
							require.Equal(t, byte(g*each+i), b[j])
						}
					}
				}
				c.Reset()
			}
			require.NoError(t, c.Close())
		})
	}
}
