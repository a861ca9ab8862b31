package arena_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
)

// newConcurrent returns an arena that the test closes, after checking it.
func newConcurrent(t testing.TB, size int, o *arena.Options) *arena.Concurrent {
	t.Helper()
	c, err := arena.NewConcurrent(size, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Check())
		require.NoError(t, c.Close())
	})
	return c
}

func TestConcurrentAllocsDoNotOverlap(t *testing.T) {
	for _, backing := range []arena.Backing{arena.Mmap, arena.GoHeap} {
		t.Run(backing.String(), func(t *testing.T) {
			const goroutines, each = 8, 2000
			c := newConcurrent(t, 4<<20, &arena.Options{Backing: backing})
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
							fillWith(b, byte(g*each+i))
							blocks[g] = append(blocks[g], b)
						}
					})
				}
				wg.Wait()
				for g := range blocks {
					for i, b := range blocks[g] {
						if !isFilledWith(b, byte(g*each+i)) {
							t.Fatalf("block %d of goroutine %d was overwritten", i, g)
						}
					}
				}
				require.NoError(t, c.Check())
				c.Reset()
			}
		})
	}
}

// TestConcurrentFull fills an arena from many goroutines: every byte that was
// handed out is distinct, and what does not fit leaves the arena valid.
func TestConcurrentFull(t *testing.T) {
	const size = 1 << 16
	c := newConcurrent(t, size, &arena.Options{Backing: arena.GoHeap})
	var mu sync.Mutex
	var spans [][2]int
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 1000; n > 0; {
				off, b, err := c.Alloc(n, 1)
				if err != nil {
					if !errors.Is(err, arena.ErrFull) {
						t.Error(err)
					}
					n /= 2
					continue
				}
				mu.Lock()
				spans = append(spans, [2]int{int(off), int(off) + len(b)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(spans, func(a, b [2]int) int { return a[0] - b[0] })
	end := spans[0][0]
	for _, s := range spans {
		require.Equal(t, end, s[0], "no gap and no overlap")
		end = s[1]
	}
	require.Equal(t, size, end, "full to the last byte")
	require.Equal(t, size, c.Used())
	_, _, err := c.Alloc(0, 1)
	require.NoError(t, err)
}

func TestConcurrentErrors(t *testing.T) {
	c := newConcurrent(t, 1<<20, nil)
	used := c.Used()
	for _, align := range []int{0, -1, 3, 1<<30 + 1} {
		_, _, err := c.Alloc(8, align)
		require.ErrorIs(t, err, arena.ErrAlign)
	}
	_, _, err := c.Alloc(-1, 8)
	require.ErrorIs(t, err, arena.ErrSize)
	for _, size := range []int{1 << 20, math.MaxInt, math.MaxInt - 7} {
		_, _, err = c.Alloc(size, 8)
		require.ErrorIs(t, err, arena.ErrFull)
	}
	require.Equal(t, used, c.Used(), "a failed call changes nothing")
	_, err = arena.NewConcurrent(-1, nil)
	require.ErrorIs(t, err, arena.ErrSize)
}

func TestConcurrentLimitAndTrim(t *testing.T) {
	const limit = 1 << 20
	c := newConcurrent(t, 16<<20, &arena.Options{Limit: limit})
	total := 0
	for {
		_, _, err := c.Alloc(5000, 16)
		if err != nil {
			require.ErrorIs(t, err, arena.ErrLimit)
			break
		}
		total += 5000
	}
	require.Greater(t, total, limit*9/10, "the last step is cut to what the limit leaves")
	require.Equal(t, limit, c.Region().Stats().Committed)
	c.Reset()
	off, b, err := c.Alloc(100, 8)
	require.NoError(t, err)
	require.True(t, isFilledWith(b, 0))
	fillWith(b, 1)
	require.NoError(t, c.Trim())
	require.Equal(t, c.Region().PageSize(), c.Region().Stats().Committed)
	require.True(t, isFilledWith(c.Bytes()[off:][:100], 1))
	_, _, err = c.Alloc(limit/2, 8)
	require.NoError(t, err)
}

func TestConcurrentInARegionOfTheCallers(t *testing.T) {
	r := reserve(t, 1<<20, nil)
	c := arena.ConcurrentIn(r)
	require.Equal(t, r.Size(), c.Size())
	off, b, err := c.Alloc(10, 4096)
	require.NoError(t, err)
	require.Zero(t, uint64(off)%4096)
	b[0] = 1
	require.NoError(t, c.Close())
	require.NotNil(t, r.Bytes(), "the region stays open")
	require.Zero(t, r.Stats().Committed)
}
