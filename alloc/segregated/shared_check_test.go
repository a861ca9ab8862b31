package segregated

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// TestSharedCheckMeanwhile: Check finds nothing wrong while others take and free slots and spans, also
// each other's, as what it finds ends the heap.
func TestSharedCheckMeanwhile(t *testing.T) {
	for _, b := range []arena.Backing{arena.GoHeap, arena.Mmap} {
		t.Run(b.String(), func(t *testing.T) { checkMeanwhile(t, freshSharedIn(t, 256<<20, &arena.Options{Backing: b}, nil)) })
	}
}

// checkMeanwhile lets four goroutines use s, and a fifth check and trim it.
func checkMeanwhile(t *testing.T, s *Shared) {
	var done atomic.Bool
	var all sync.WaitGroup
	passed := make(chan []byte, 64)
	for g := range 4 {
		all.Go(func() {
			u := usersOf(s)[[]string{"shared", "handle"}[g%2]]()
			defer u.close()
			r := rand.New(rand.NewPCG(uint64(g), 1))
			var mine [200][]byte
			for i := 0; !done.Load(); i++ {
				b := &mine[r.IntN(len(mine))]
				u.Free(*b)
				*b = must(t, u, 1+r.IntN(1<<r.IntN(16)))
				select {
				case passed <- *b:
					*b = nil
				case other := <-passed:
					u.Free(other)
				default:
				}
			}
			for _, b := range mine {
				u.Free(b)
			}
		})
	}
	rounds := 1000
	if raceEnabled {
		rounds /= 10
	}
	for i := range rounds {
		require.NoError(t, s.Check())
		if i%4 == 0 {
			s.Trim()
		}
	}
	done.Store(true)
	all.Wait()
	close(passed)
	for b := range passed {
		s.Free(b)
	}
	require.Zero(t, s.Stats().LiveBlocks)
}
