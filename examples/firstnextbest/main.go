// Command firstnextbest sends one sequence of requests to four heaps that
// differ in one rule only: which of the free blocks that are large enough is
// taken. First it replays the textbook's example, which can be checked on paper
// (Silberschatz, Galvin, Gagne, Operating System Concepts, chapter 9: holes of
// 100, 500, 200, 300 and 600 units, requests of 212, 417, 112 and 426), then a
// longer random one with figures.
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
	"github.com/memlab-go/memlab/arena"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "seed of the random requests")
	flag.Parse()
	if err := run(os.Stdout, *seed); err != nil {
		log.Fatal("firstnextbest: ", err)
	}
}

func policies() []fit.Policy { return []fit.Policy{fit.First, fit.Next, fit.Best, fit.Worst} }

func run(w io.Writer, seed uint64) error {
	fmt.Fprintln(w, "Five holes, four requests. Where does each go, and which cannot be placed?")
	fmt.Fprintln(w)
	if err := textbook(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "5000 random requests on a heap of 256 KiB that is kept about four fifths full:")
	fmt.Fprintln(w)
	fmt.Fprintln(w, "policy  placed  failed  searched/request  free blocks  largest  external fragmentation")
	for _, p := range policies() {
		if err := random(w, p, seed); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "With the list in address order, first fit places nearly as much as best fit and looks at fewer")
	fmt.Fprintln(w, "blocks: small blocks gather at the front and the large holes at the back stay whole. Next fit")
	fmt.Fprintln(w, "spreads small blocks everywhere, worst fit cuts the largest hole each time: large requests fail.")
	return nil
}

// unit is the number of bytes that stand for one unit of the textbook, large
// beside a header.
const unit = 256

// textbook runs the example under each policy and prints a row for each.
func textbook(w io.Writer) error {
	requests := []int{212, 417, 112, 426}
	fmt.Fprintf(w, "%-8s", "policy")
	for _, r := range requests {
		fmt.Fprintf(w, "%-16s", fmt.Sprintf("%d", r))
	}
	fmt.Fprintln(w, "holes left")
	for _, p := range policies() {
		h, holes, err := withHoles(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%-8s", p)
		for _, r := range requests {
			fmt.Fprintf(w, "%-16s", place(h, holes, r))
		}
		for b := range h.Blocks() {
			if !b.Used && b.Size >= 8*unit {
				fmt.Fprintf(w, "%d ", (b.Size+unit/2)/unit)
			}
		}
		fmt.Fprintln(w)
		if err := h.Check(); err != nil {
			return err
		}
	}
	return nil
}

// A hole is a free block of the example: its size in units and where it begins.
type hole struct {
	size int
	off  arena.Offset
}

// withHoles makes a heap that has the five holes and no other room.
func withHoles(p fit.Policy) (*fit.Heap, []hole, error) {
	sizes := []int{100, 500, 200, 300, 600}
	total := 0
	for _, s := range sizes {
		total += s*unit + 64 // a header and the small block that parts it from the next
	}
	h, err := fit.New(arena.FromBytes(make([]byte, total+total/16)), &fit.Options{Policy: p, Order: fit.Address, Seed: 1})
	if err != nil {
		return nil, nil, err
	}
	var blocks [][]byte
	var holes []hole
	for _, s := range sizes {
		b, err := h.Malloc(s * unit)
		if err != nil {
			return nil, nil, err
		}
		if _, err := h.Malloc(16); err != nil {
			return nil, nil, err
		}
		off, _ := h.Region().OffsetOf(b)
		blocks, holes = append(blocks, b), append(holes, hole{s, off})
	}
	for err == nil { // use up what is left at the end
		_, err = h.Malloc(16)
	}
	if !errors.Is(err, alloc.ErrNoMemory) {
		return nil, nil, err
	}
	for _, b := range blocks {
		h.Free(b)
	}
	return h, holes, nil
}

// place asks for size units and says in which hole they landed.
func place(h *fit.Heap, holes []hole, size int) string {
	b, err := h.Malloc(size * unit)
	if err != nil {
		return "no room"
	}
	off, _ := h.Region().OffsetOf(b)
	in := holes[0]
	for _, x := range holes {
		if x.off <= off {
			in = x
		}
	}
	return fmt.Sprintf("hole of %d", in.size)
}

// random runs the random requests under one policy and prints its figures.
func random(w io.Writer, p fit.Policy, seed uint64) error {
	const size, full = 256 << 10, 208 << 10
	h, err := fit.New(arena.FromBytes(make([]byte, size)), &fit.Options{Policy: p, Order: fit.Address, Seed: 1})
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	var live [][]byte
	used, placed, failed := 0, 0, 0
	for range 5000 {
		// Mostly small requests, some large: 16 bytes to 4 KiB.
		n := 16 << rnd.IntN(8)
		n += rnd.IntN(n)
		for used+n > full {
			i := rnd.IntN(len(live))
			used -= len(live[i])
			h.Free(live[i])
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		b, err := h.Malloc(n)
		if err != nil {
			failed++
			continue
		}
		live, used, placed = append(live, b), used+n, placed+1
	}
	s := h.Stats()
	fmt.Fprintf(w, "%-7s %6d  %6d  %16.1f  %11d  %7d  %20.1f %%\n", p, placed, failed,
		float64(s.Searched)/float64(placed+failed), s.FreeBlocks, s.LargestFree, 100*s.ExternalFragmentation())
	return h.Check()
}
