// Command tour shows memlab in five steps: an arena, a heap, values off the Go
// heap, a picture of a heap, and a mistake that is caught.
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
	seed := flag.Uint64("seed", 1, "seed of the block sizes in step 4")
	flag.Parse()
	if err := run(os.Stdout, *seed); err != nil {
		log.Fatal("tour: ", err)
	}
}

// run writes the whole tour to w.
func run(w io.Writer, seed uint64) error {
	if err := arenas(w); err != nil {
		return err
	}
	h, err := segregated.New(nil, nil)
	if err != nil {
		return err
	}
	err = errors.Join(heaps(w, h), values(w, h), picture(w, seed), mistakes(w, h))
	return errors.Join(err, h.Close())
}

// arenas shows bump allocation and giving back in one go.
func arenas(w io.Writer) error {
	fmt.Fprintln(w, "1. An arena hands out memory by moving a position forward.")
	var a arena.Arena // the zero value is ready
	path, err := arena.MakeSlice[int32](&a, 0, 1000)
	if err != nil {
		return err
	}
	path = append(path, 3, 1, 4)
	fmt.Fprintf(w, "   1000 int32 of room, used %d bytes; path = %v\n", a.Stats().Used, path)
	m := a.Mark()
	if _, err := a.Alloc(500, 8); err != nil {
		return err
	}
	fmt.Fprintf(w, "   500 bytes more:           %d bytes\n", a.Stats().Used)
	if err := a.Release(m); err != nil {
		return err
	}
	fmt.Fprintf(w, "   released to the mark:     %d bytes\n\n", a.Stats().Used)
	return a.Close()
}

// heaps shows the four verbs.
func heaps(w io.Writer, h *segregated.Heap) error {
	fmt.Fprintln(w, "2. A heap takes back single blocks, in any order.")
	a, err := h.Malloc(40)
	if err != nil {
		return err
	}
	copy(a, "a block of forty bytes")
	fmt.Fprintf(w, "   Malloc(40):     len %d, cap %d\n", len(a), cap(a))
	if a, err = h.Realloc(a, 4000); err != nil {
		return err
	}
	fmt.Fprintf(w, "   Realloc(4000):  len %d, still %q\n", len(a), a[:22])
	_, err = h.Malloc(-1)
	fmt.Fprintf(w, "   Malloc(-1):     %v\n", err)
	h.Free(a)
	fmt.Fprintf(w, "   Free:           %d blocks live\n\n", h.Stats().LiveBlocks)
	return nil
}

// A planet has no Go pointers, so it can live off the heap.
type planet struct {
	Name   [8]byte
	Radius float64 // km
}

// values shows a slice and a struct off the Go heap.
func values(w io.Writer, h *segregated.Heap) error {
	fmt.Fprintln(w, "3. Slices and structs that the garbage collector never looks at.")
	p, err := alloc.New[planet](h)
	if err != nil {
		return err
	}
	copy(p.Name[:], "Mars")
	p.Radius = 3390
	fmt.Fprintf(w, "   a struct: %s, %.0f km\n", p.Name[:4], p.Radius)
	squares, err := alloc.Make[uint64](h, 1_000_000)
	if err != nil {
		return err
	}
	for i := range squares {
		squares[i] = uint64(i) * uint64(i)
	}
	fmt.Fprintf(w, "   a slice of %d: the last one is %d\n", len(squares), squares[len(squares)-1])
	err = alloc.Try(func() { _, _ = alloc.New[*planet](h) })
	fmt.Fprintf(w, "   a pointer is refused: %v\n\n", err)
	alloc.Delete(h, p)
	alloc.DeleteSlice(h, squares)
	return nil
}

// picture draws a small heap after some frees.
func picture(w io.Writer, seed uint64) error {
	fmt.Fprintln(w, "4. Any heap can be drawn: # is used, a dot is free.")
	r := arena.FromBytes(make([]byte, 2048))
	h, err := fit.New(r, &fit.Options{Seed: 1, Grow: 64})
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	var blocks [][]byte
	for range 8 {
		b, err := h.Malloc(16 * (1 + rnd.IntN(8)))
		if err != nil {
			return err
		}
		blocks = append(blocks, b)
	}
	fmt.Fprintln(w, "  ", alloc.Map(h, 64))
	for _, i := range []int{1, 2, 5} {
		h.Free(blocks[i])
		fmt.Fprintf(w, "   free block %d\n   %s\n", i, alloc.Map(h, 64))
	}
	fmt.Fprintln(w)
	for _, i := range []int{0, 3, 4, 6, 7} {
		h.Free(blocks[i])
	}
	return errors.Join(h.Close(), r.Close())
}

// mistakes shows what a bad free is told.
func mistakes(w io.Writer, h *segregated.Heap) error {
	fmt.Fprintln(w, "5. A bad free panics before anything is changed; Try makes the panic an error.")
	b, err := h.Malloc(100)
	if err != nil {
		return err
	}
	say := func(what string, f func()) {
		err := alloc.Try(f)
		var fault *alloc.Fault
		if errors.As(err, &fault) {
			fmt.Fprintf(w, "   %-18s %v\n", what, fault.Err)
		}
	}
	say("b[8:]:", func() { h.Free(b[8:]) })
	say("Go's own memory:", func() { h.Free(make([]byte, 100)) })
	h.Free(b)
	say("b for a 2nd time:", func() { h.Free(b) })
	fmt.Fprintf(w, "   the heap is sound:  %v\n", h.Check() == nil)
	return nil
}
