// Command fragmentation shows the two ways in which a heap loses memory: outside
// the blocks, when free memory lies in pieces that are too small, and inside
// them, when a block is larger than what was asked for.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "seed of the random requests in part 2")
	flag.Parse()
	if err := run(os.Stdout, *seed); err != nil {
		log.Fatal("fragmentation: ", err)
	}
}

func run(w io.Writer, seed uint64) error {
	return errors.Join(checkerboard(w), coalescing(w, seed), internal(w))
}

// checkerboard frees every second block: half of the memory is free, and none
// of it can be had in one piece.
func checkerboard(w io.Writer) error {
	fmt.Fprintln(w, "1. External fragmentation. A heap of 4 KiB is filled with equal blocks:")
	h, err := fit.New(arena.FromBytes(make([]byte, 4096)), &fit.Options{Seed: 1})
	if err != nil {
		return err
	}
	var blocks [][]byte
	for {
		b, err := h.Malloc(104)
		if err != nil {
			break
		}
		blocks = append(blocks, b)
	}
	fmt.Fprintln(w, "  ", alloc.Map(h, 64))
	fmt.Fprintln(w, "   Every second one is freed:")
	for i := 0; i < len(blocks); i += 2 {
		h.Free(blocks[i])
	}
	fmt.Fprintln(w, "  ", alloc.Map(h, 64))
	s := h.Stats()
	fmt.Fprintf(w, "   %d bytes are free, external fragmentation %.0f %%. A request of 500:\n", s.Retained, 100*s.ExternalFragmentation())
	_, err = h.Malloc(500)
	if !errors.Is(err, alloc.ErrNoMemory) {
		return fmt.Errorf("Malloc(500) = %v, want no memory", err)
	}
	fmt.Fprintf(w, "   %v\n", err)
	fmt.Fprintln(w, "   Five neighbours are freed too, and coalesce:")
	for i := 1; i < 11; i += 2 {
		h.Free(blocks[i])
	}
	fmt.Fprintln(w, "  ", alloc.Map(h, 64))
	_, err = h.Malloc(500)
	fmt.Fprintf(w, "   The same request again: error %v.\n\n", err)
	return h.Check()
}

// coalescing runs one random sequence with and without joining free
// neighbours.
func coalescing(w io.Writer, seed uint64) error {
	fmt.Fprintln(w, "2. Joining free neighbours. The same random requests, a third of them large, on 64 KiB:")
	fmt.Fprintln(w, "   requests   joined at once              never joined")
	kinds := []fit.Coalesce{fit.Immediate, fit.Never}
	heaps := make([]*churn, len(kinds))
	for i, k := range kinds {
		h, err := fit.New(arena.FromBytes(make([]byte, 64<<10)), &fit.Options{Coalesce: k, Seed: 1})
		if err != nil {
			return err
		}
		heaps[i] = &churn{heap: h, rnd: rand.New(rand.NewPCG(seed, 0))}
	}
	for step := range 4 {
		n := 100 << (2 * step)
		fmt.Fprintf(w, "   %8d", n)
		for _, c := range heaps {
			c.runTo(n)
			s := c.heap.Stats()
			fmt.Fprintf(w, "   %5d failed, %4d free", c.failed, s.FreeBlocks)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	return errors.Join(heaps[0].heap.Check(), heaps[1].heap.Check())
}

// A churn allocates and frees at random and keeps a heap about half full.
type churn struct {
	heap   *fit.Heap
	rnd    *rand.Rand
	live   [][]byte
	used   int
	done   int
	failed int
}

// runTo goes on until n requests have been made.
func (c *churn) runTo(n int) {
	for ; c.done < n; c.done++ {
		size := 16 + c.rnd.IntN(200)
		if c.rnd.IntN(3) == 0 {
			size = 1000 + c.rnd.IntN(3000)
		}
		victim := c.rnd.Uint64()
		for c.used+size > 32<<10 {
			i := int(victim % uint64(len(c.live)))
			c.used -= len(c.live[i])
			c.heap.Free(c.live[i])
			c.live[i] = c.live[len(c.live)-1]
			c.live = c.live[:len(c.live)-1]
		}
		b, err := c.heap.Malloc(size)
		if err != nil {
			c.failed++
			continue
		}
		c.live, c.used = append(c.live, b), c.used+size
	}
}

// A usabler is a heap that says how large a block really is.
type usabler interface {
	alloc.Allocator
	Usable(b []byte) int
}

// internal shows how much larger than the request the blocks of three heaps
// are.
func internal(w io.Writer) error {
	fmt.Fprintln(w, "3. Internal fragmentation. Bytes of the block that answers a request:")
	list, err := fit.New(nil, &fit.Options{Seed: 1})
	if err != nil {
		return err
	}
	buddy, err := fit.NewBuddy(nil, nil)
	if err != nil {
		return err
	}
	classes, err := segregated.New(nil, nil)
	if err != nil {
		return err
	}
	heaps := []usabler{list, buddy, classes}
	asked, got := 0, make([]int, len(heaps))
	fmt.Fprintln(w, "   request   free list     buddy   segregated")
	for _, size := range []int{16, 17, 40, 65, 100, 129, 513, 1000, 1025, 5000} {
		fmt.Fprintf(w, "   %7d", size)
		asked += size
		for i, h := range heaps {
			b, err := h.Malloc(size)
			if err != nil {
				return err
			}
			got[i] += h.Usable(b)
			fmt.Fprintf(w, "  %10d", h.Usable(b))
			h.Free(b)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "   lost   ")
	for _, n := range got {
		fmt.Fprintf(w, "  %8.1f %%", 100*(1-float64(asked)/float64(n)))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "   A buddy heap rounds to powers of two and loses a quarter on average; the others round to")
	fmt.Fprintln(w, "   16 bytes or to close classes. The free list pays elsewhere: 8 bytes of header per block.")
	return errors.Join(list.Close(), buddy.Close(), classes.Close())
}
