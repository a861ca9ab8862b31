package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	do(op fitOp) (fitResult, error)
	freeList() [][2]int // address and size, in list order
	alloc.Walker
	label(b alloc.Block) rune // the mark of a used block
}

// A fitResult is what one operation gave.
type fitResult struct {
	ret      int  // address; -1: no room, or the block of a free is not allocated
	searched int  // blocks looked at
	shown    int  // ret as it is shown
	skipped  bool // a free that malloc.py does not try
}

// skippedFree is what malloc.py says of a free that it does not try.
const skippedFree = "Invalid Free: Skipping"

// A fitWalk is a list of operations on a heap, and what each did.
type fitWalk struct {
	heap   fitHeap
	ops    []fitOp
	hidden bool // a question: results are not shown
	steps  []fitPicture
}

// A fitPicture is the heap after one operation.
type fitPicture struct {
	op fitOp
	fitResult
	free   [][2]int
	blocks []alloc.Block
	labels []rune // of the blocks
	line   string // the heap as one line of text
}

// run performs the operations, until ctx ends it.
func (w *fitWalk) run(ctx context.Context) error {
	for i, op := range w.ops {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %d operations: %w", i, err)
		}
		result, err := w.heap.do(op)
		if err != nil {
			return fmt.Errorf("operation %d, %v: %w", i+1, op, err)
		}
		p := fitPicture{op: op, fitResult: result, free: w.heap.freeList(),
			blocks: slices.Collect(w.heap.Blocks()), line: alloc.MapLabel(w.heap, 64, w.heap.label)}
		for _, b := range p.blocks {
			p.labels = append(p.labels, w.heap.label(b))
		}
		w.steps = append(w.steps, p)
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
		case s.skipped:
			fmt.Fprintf(&sb, "%s\n", skippedFree)
			continue
		case s.op.verb == '-':
			fmt.Fprintf(&sb, "%v\nreturned %d\n", s.op, s.shown)
		default:
			fmt.Fprintf(&sb, "%v returned %d (searched %d elements)\n", s.op, s.shown, s.searched)
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
	at   map[int]int    // their numbers by offset
}

// realWalk gives w a heap with memory, and operations if it has none.
func (f *fitFlags) realWalk(w *fitWalk, o fit.Options) (err error) {
	if f.ops == "" {
		w.ops = randomFitOps(f.seed, f.n)
	}
	w.heap, err = newRealHeap(f, o)
	return err
}

func newRealHeap(f *fitFlags, o fit.Options) (fitHeap, error) {
	o.Limit, o.Seed = f.size, 1
	o.Header, o.Align = f.header, f.align
	r, err := arena.Reserve(f.size, &arena.Options{Backing: arena.GoHeap})
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
	name += fmt.Sprintf("  size %d bytes", f.size)
	return &realHeap{h, name, map[int][]byte{}, map[int]int{}}, nil
}

func (h *realHeap) title() string { return h.name }

func (h *realHeap) do(op fitOp) (fitResult, error) {
	before := h.Stats().Searched
	var b []byte
	var err error
	old, live := h.ids[op.id]
	switch {
	case op.verb == '+':
		b, err = h.Malloc(op.size)
	case op.verb == '-' && !live:
		return fitResult{ret: -1, shown: -1}, nil
	case op.verb == '-':
		h.forget(op.id)
		h.Free(old)
		return fitResult{}, nil
	case !live:
		return fitResult{}, fmt.Errorf("block %d is not live", op.id)
	default:
		b, err = h.Realloc(old, op.size)
	}
	searched := int(h.Stats().Searched - before)
	if errors.Is(err, alloc.ErrNoMemory) {
		return fitResult{ret: -1, searched: searched, shown: -1}, nil
	}
	if err != nil {
		return fitResult{}, err
	}
	if live {
		h.forget(op.id)
	}
	if b == nil { // resized to nothing
		return fitResult{searched: searched}, nil
	}
	off := h.offset(b)
	h.ids[op.id], h.at[off] = b, op.id
	return fitResult{ret: off, searched: searched, shown: off}, nil
}

// forget takes a live block out of the tables.
func (h *realHeap) forget(id int) {
	delete(h.at, h.offset(h.ids[id]))
	delete(h.ids, id)
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

func (h *realHeap) label(b alloc.Block) rune { return fitLabel(b, h.at) }

// fitLabel is the mark of a block, with the numbers of blocks by offset.
func fitLabel(b alloc.Block, at map[int]int) rune {
	if !b.Used {
		return '.'
	}
	if id, ok := at[int(b.Off)]; ok {
		return fitLetter(id)
	}
	return '#'
}

// fitLetter is the mark of block id: a to z, again and again.
func fitLetter(id int) rune { return rune('a' + id%26) }
