package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/cli"
)

// A fitHeap is a heap that a walk can show: the real one or OSTEP's.
type fitHeap interface {
	title() string
	// do performs the operation and returns the address (-1: no room, or the
	// block of a free is not allocated) and how many blocks were looked at.
	do(op fitOp) (ret, searched int, err error)
	freeList() [][2]int // address and size, in list order
	alloc.Walker
	label(b alloc.Block) rune // the mark of a used block
}

// A fitWalk is a list of operations on a heap, and what each did.
type fitWalk struct {
	heap   fitHeap
	ops    []fitOp
	hidden bool // a question: results are not shown
	steps  []fitPicture
}

// A fitPicture is the heap after one operation.
type fitPicture struct {
	op       fitOp
	ret      int
	searched int
	free     [][2]int
	blocks   []alloc.Block
	line     string // the heap as one line of text
}

// run performs the operations.
func (w *fitWalk) run() error {
	for i, op := range w.ops {
		ret, searched, err := w.heap.do(op)
		if err != nil {
			return fmt.Errorf("operation %d, %v: %w", i+1, op, err)
		}
		w.steps = append(w.steps, fitPicture{op, ret, searched, w.heap.freeList(),
			slices.Collect(w.heap.Blocks()), alloc.MapLabel(w.heap, 64, w.heap.label)})
	}
	return nil
}

// write writes the walk in the forms that the flags ask for.
func (w *fitWalk) write(out io.Writer, f *fitFlags) error {
	if f.html != "" {
		if err := cli.WriteFile(f.html, w.html); err != nil {
			return err
		}
	}
	if f.json {
		return cli.WriteJSON(out, w.json())
	}
	return w.text(out)
}

// text writes the walk in the manner of OSTEP, with a picture after each step.
func (w *fitWalk) text(out io.Writer) error {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s\n", w.heap.title())
	for _, s := range w.steps {
		sb.WriteByte('\n')
		switch {
		case w.hidden:
			fmt.Fprintf(&sb, "%v returned ?\nList?\n", s.op)
			continue
		case s.op.verb == '-':
			fmt.Fprintf(&sb, "%v\nreturned %d\n", s.op, s.ret)
		default:
			fmt.Fprintf(&sb, "%v returned %d (searched %d elements)\n", s.op, s.ret, s.searched)
		}
		fmt.Fprintf(&sb, "Free List [ Size %d ]: ", len(s.free))
		for _, b := range s.free {
			fmt.Fprintf(&sb, " [ addr:%d sz:%d ]", b[0], b[1])
		}
		fmt.Fprintf(&sb, "\n%s\n", s.line)
	}
	_, err := io.WriteString(out, sb.String())
	return err
}

// json is the walk as an object.
func (w *fitWalk) json() any {
	steps := []fitAnswer{}
	for _, s := range w.steps {
		a := fitAnswer{Op: map[byte]string{'+': "alloc", '-': "free", '~': "realloc"}[s.op.verb],
			ID: s.op.id, Ret: s.ret, Free: s.free}
		if s.op.verb != '-' {
			a.Size, a.Searched = &s.op.size, &s.searched
		}
		steps = append(steps, a)
	}
	return struct {
		Schema string      `json:"schema"`
		Heap   string      `json:"heap"`
		Steps  []fitAnswer `json:"steps"`
	}{"memlab/fit/v1", w.heap.title(), steps}
}

// A regionHeap is what the heaps of package fit that have memory are.
type regionHeap interface {
	alloc.Allocator
	alloc.Walker
	alloc.Statser
	Region() *arena.Region
	FreeList() []alloc.Block
}

// A realHeap walks on a heap of package fit. Addresses are offsets in its region.
type realHeap struct {
	regionHeap
	name string
	ids  map[int][]byte // live blocks by number
}

func newRealHeap(f *fitFlags, o fit.Options) (fitHeap, error) {
	size := f.size
	if size == 0 {
		size = 1024
	}
	if size < 0 || size > 1<<24 {
		return nil, fmt.Errorf("-size %d: want 1 to %d bytes", size, 1<<24)
	}
	o.Limit, o.Seed = size, 1
	o.Header, o.Align = max(f.header, 0), max(f.align, 0)
	r, err := arena.Reserve(size, &arena.Options{Backing: arena.GoHeap})
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("policy %v  order %v  coalesce %v", o.Policy, o.Order, o.Coalesce)
	var h regionHeap
	switch f.heap {
	case "list":
		h, err = fit.New(r, &o)
	case "implicit":
		o.Implicit = true
		name = fmt.Sprintf("policy %v  implicit list  coalesce %v", o.Policy, o.Coalesce)
		h, err = fit.New(r, &o)
	case "tlsf":
		name = "two-level segregated fit"
		h, err = fit.NewTLSF(r, &o)
	case "buddy":
		name = "binary buddies"
		h, err = fit.NewBuddy(r, &o)
	default:
		err = fmt.Errorf("unknown heap %q (known: list, implicit, tlsf, buddy)", f.heap)
	}
	if err != nil {
		return nil, err
	}
	name += fmt.Sprintf("  size %d bytes", size)
	return &realHeap{h, name, map[int][]byte{}}, nil
}

func (h *realHeap) title() string { return h.name }

func (h *realHeap) do(op fitOp) (ret, searched int, err error) {
	before := h.Stats().Searched
	var b []byte
	switch old, live := h.ids[op.id]; op.verb {
	case '+':
		b, err = h.Malloc(op.size)
	case '-':
		if !live {
			return -1, 0, nil
		}
		delete(h.ids, op.id)
		h.Free(old)
		return 0, 0, nil
	default:
		if !live {
			return 0, 0, fmt.Errorf("block %d is not live", op.id)
		}
		b, err = h.Realloc(old, op.size)
	}
	searched = int(h.Stats().Searched - before)
	if errors.Is(err, alloc.ErrNoMemory) {
		return -1, searched, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if b == nil { // resized to nothing
		delete(h.ids, op.id)
		return 0, searched, nil
	}
	h.ids[op.id] = b
	return h.offset(b), searched, nil
}

// offset is where b starts in the region.
func (h *realHeap) offset(b []byte) int {
	off, _ := h.Region().OffsetOf(b)
	return int(off)
}

func (h *realHeap) freeList() [][2]int {
	list := [][2]int{}
	for _, b := range h.FreeList() {
		list = append(list, [2]int{int(b.Off), b.Size})
	}
	return list
}

func (h *realHeap) label(b alloc.Block) rune {
	if !b.Used {
		return '.'
	}
	for id, live := range h.ids {
		if h.offset(live) == int(b.Off) {
			return fitLetter(id)
		}
	}
	return '#'
}

// fitLetter is the mark of block id: a to z, again and again.
func fitLetter(id int) rune { return rune('a' + id%26) }

// An ostepHeap walks on a fit.OSTEP.
type ostepHeap struct {
	*fit.OSTEP
	o   fit.OSTEPOptions
	ids map[int]int // addresses of the live blocks by number; -1: freed, or no room
}

func newOSTEPHeap(f *fitFlags, o fit.Options) (fitHeap, error) {
	if f.heap != "list" || o.Coalesce == fit.Deferred {
		return nil, fmt.Errorf("malloc.py has a list, and coalesces on each free or never")
	}
	size := f.size
	if size == 0 {
		size = 100
	}
	oo := fit.OSTEPOptions{Policy: o.Policy, Order: o.Order, Coalesce: o.Coalesce == fit.Immediate,
		Header: max(f.header, 0), Align: max(f.align, 0), Size: size, Base: f.base}
	h, err := fit.NewOSTEP(oo)
	if err != nil {
		return nil, err
	}
	return &ostepHeap{h, oo, map[int]int{}}, nil
}

func (h *ostepHeap) title() string {
	return fmt.Sprintf("OSTEP malloc.py  policy %v  order %v  coalesce %v  header %d  align %d  size %d bytes at %d",
		h.o.Policy, h.o.Order, h.o.Coalesce, h.o.Header, h.o.Align, h.o.Size, h.o.Base)
}

func (h *ostepHeap) do(op fitOp) (ret, searched int, err error) {
	switch op.verb {
	case '+':
		addr, searched := h.Malloc(op.size)
		h.ids[op.id] = addr
		if addr < 0 {
			return -1, searched, nil
		}
		return addr + h.o.Header, searched, nil
	case '-':
		if !h.Free(h.ids[op.id]) {
			return -1, 0, nil
		}
		h.ids[op.id] = -1
		return 0, 0, nil
	default:
		return 0, 0, fmt.Errorf("malloc.py cannot change a block's size")
	}
}

func (h *ostepHeap) freeList() [][2]int {
	list := [][2]int{}
	for _, b := range h.FreeList() {
		list = append(list, [2]int{b.Addr, b.Size})
	}
	return list
}

// Blocks yields the free blocks and what is between them, used, by address.
func (h *ostepHeap) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		var blocks []alloc.Block
		for _, b := range h.FreeList() {
			blocks = append(blocks, alloc.Block{Off: arena.Offset(b.Addr), Size: b.Size})
		}
		starts := []int{h.o.Base + h.o.Size}
		for _, b := range blocks {
			starts = append(starts, int(b.Off))
		}
		for _, addr := range h.ids {
			if addr >= 0 {
				starts = append(starts, addr)
			}
		}
		slices.Sort(starts)
		for _, addr := range h.ids {
			if addr >= 0 {
				i, _ := slices.BinarySearch(starts, addr+1)
				blocks = append(blocks, alloc.Block{Off: arena.Offset(addr), Size: starts[i] - addr, Used: true})
			}
		}
		slices.SortFunc(blocks, func(a, b alloc.Block) int { return int(a.Off) - int(b.Off) })
		for _, b := range blocks {
			if !yield(b) {
				return
			}
		}
	}
}

func (h *ostepHeap) label(b alloc.Block) rune {
	if !b.Used {
		return '.'
	}
	for id, addr := range h.ids {
		if addr == int(b.Off) {
			return fitLetter(id)
		}
	}
	return '#'
}
