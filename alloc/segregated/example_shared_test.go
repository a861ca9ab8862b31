package segregated_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// One goroutine allocates, another frees; of many that free one block exactly
// one succeeds.
func ExampleShared() {
	s, err := segregated.NewShared(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	blocks := make(chan []byte)
	go func() {
		defer close(blocks)
		for i := range 1000 {
			b, _ := s.Malloc(16 + i%200)
			blocks <- b
		}
	}()
	var last []byte
	for b := range blocks {
		if last != nil {
			s.Free(last)
		}
		last = b
	}

	var freed, caught atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := alloc.Try(func() { s.Free(last) })
			if errors.Is(err, alloc.ErrDoubleFree) {
				caught.Add(1)
			} else {
				freed.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println(freed.Load(), "freed it,", caught.Load(), "were caught")
	st := s.Stats()
	fmt.Println(st.LiveBlocks, "live,", st.Mallocs == st.Frees, s.Close())
	// Output:
	// 1 freed it, 7 were caught
	// 0 live, true <nil>
}

// A goroutine that allocates much takes a handle of its own.
func ExampleHandle() {
	s, err := segregated.NewShared(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	sums := make([]int, 4)
	var wg sync.WaitGroup
	for g := range sums {
		wg.Go(func() {
			h := s.Handle()
			defer h.Close()
			for i := range 1000 {
				b, _ := h.Malloc(64)
				b[0] = byte(i)
				sums[g] += int(b[0])
				h.Free(b)
			}
		})
	}
	wg.Wait()
	fmt.Println(sums, s.Stats().LiveBlocks)
	// Output:
	// [124716 124716 124716 124716] 0
}
