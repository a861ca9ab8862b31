// Command stackheap runs one program on a stack and on a heap: functions call
// each other and need memory for their locals. The stack marks its top when a
// call begins and releases down to the mark when it ends. The heap allocates
// and frees each local by itself, so it can also keep one beyond its call.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/arena"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "seed of the calls")
	flag.Parse()
	if err := run(os.Stdout, *seed); err != nil {
		log.Fatal("stackheap: ", err)
	}
}

// size of the memory that each of the two has, and what a mark in a picture
// stands for.
const (
	memory = 1024
	unit   = 16
)

// A machine runs the calls on a stack and on a heap at once.
type machine struct {
	w     io.Writer
	rnd   *rand.Rand
	stack *arena.Arena
	heap  *fit.Heap

	calls, locals, marks, frees int
	kept                        []byte // the local that outlives its call, on the heap
}

func run(w io.Writer, seed uint64) error {
	stack := arena.ArenaIn(arena.FromBytes(make([]byte, memory)))
	heap, err := fit.New(arena.FromBytes(make([]byte, 2*memory)), &fit.Options{Seed: 1, Grow: unit})
	if err != nil {
		return err
	}
	m := &machine{w: w, rnd: rand.New(rand.NewPCG(seed, 0)), stack: stack, heap: heap}
	fmt.Fprintf(w, "Each call needs memory for its locals. Left the stack of %d bytes, right the heap;\n", memory)
	fmt.Fprintf(w, "a mark is %d bytes. f calls f1 and f2, f1 calls f11 and f12.\n\n", unit)
	if err := m.call("f", 0); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d calls with %d locals: the stack needed %d marks and as many releases,\n", m.calls, m.locals, m.marks)
	fmt.Fprintf(w, "the heap %d mallocs and %d frees.\n", m.locals, m.frees)
	fmt.Fprintf(w, "\nThe stack is empty again: %d bytes used.\n", stack.Stats().Used)
	fmt.Fprintf(w, "The heap still has the local that was kept, with its contents: %q.\n", m.kept)
	fmt.Fprintln(w, "On the stack that one died with its call: memory that outlives the call is what heaps are for.")
	heap.Free(m.kept)
	return errors.Join(heap.Check(), heap.Close(), stack.Close())
}

// call runs one function: locals, further calls, return.
func (m *machine) call(name string, depth int) error {
	m.calls++
	mark := m.stack.Mark()
	m.marks++
	var mine [][]byte
	for range 1 + m.rnd.IntN(3) {
		size := unit * (1 + m.rnd.IntN(3))
		if _, err := m.stack.Alloc(size, unit); err != nil {
			return err
		}
		b, err := m.heap.Malloc(size)
		if err != nil {
			return err
		}
		m.locals++
		mine = append(mine, b)
	}
	m.show(depth, name)
	if m.kept == nil && depth == 2 {
		m.kept = mine[0]
		copy(m.kept, "from "+name)
		m.kept = m.kept[:len("from ")+len(name)]
		mine = mine[1:]
	}
	for i := range 2 {
		if depth >= 3 || depth > 0 && m.rnd.IntN(3) == 0 {
			continue
		}
		if err := m.call(name+string(rune('1'+i)), depth+1); err != nil {
			return err
		}
	}
	for _, b := range mine {
		m.heap.Free(b)
		m.frees++
	}
	if err := m.stack.Release(mark); err != nil {
		return err
	}
	m.show(depth, "return")
	return nil
}

// show prints both memories after a step.
func (m *machine) show(depth int, what string) {
	used := m.stack.Stats().Used / unit
	stack := strings.Repeat("#", used) + strings.Repeat(".", max(0, 36-used))
	fmt.Fprintf(m.w, "%-20s %s  %s\n", strings.Repeat("  ", depth)+what, stack, m.blocks())
}

// blocks draws the heap, one mark for each 16 bytes of a block's payload: K is
// the local that was kept.
func (m *machine) blocks() string {
	var sb strings.Builder
	kept, _ := m.heap.Region().OffsetOf(m.kept)
	for b := range m.heap.Blocks() {
		mark := "."
		switch {
		case b.Used && m.kept != nil && b.Off == kept:
			mark = "K"
		case b.Used:
			mark = "#"
		}
		sb.WriteString("|" + strings.Repeat(mark, (b.Size+unit-1)/unit))
	}
	return strings.TrimRight(sb.String(), ".|") + "|"
}
