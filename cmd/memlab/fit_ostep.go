package main

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
)

// An ostepHeap walks on a fit.OSTEP and answers as malloc.py does. That program
// knows its blocks by number in one of two ways. Of operations that it draws it
// frees only blocks that it has. Of a list that it is given it keeps each address
// for good, so that a second free may be that of a later block there, and skips
// a free if no more allocations than its number have succeeded, whichever they
// are. A number below that whose allocation failed ends it; here the free is
// skipped.
type ostepHeap struct {
	*fit.OSTEP
	o     fit.OSTEPOptions
	list  bool        // the operations were given
	addrs map[int]int // of the allocations that succeeded, by number
	at    map[int]int // the number of the last allocation by address, if it has bytes
}

// ostepWalk gives w the heap of malloc.py, and operations if it has none.
func (f *fitFlags) ostepWalk(w *fitWalk, o fit.Options) error {
	if f.heap != "list" || o.Coalesce == fit.Deferred {
		return fmt.Errorf("malloc.py has a list, and coalesces on each free or never")
	}
	oo := fit.OSTEPOptions{Policy: o.Policy, Order: o.Order, Coalesce: o.Coalesce == fit.Immediate,
		Header: f.header, Align: f.align, Size: f.size, Base: f.base}
	h, err := fit.NewOSTEP(oo)
	if err != nil {
		return err
	}
	if f.ops == "" {
		w.ops = ostepFitOps(f.seed, f.n, f.most, f.percent, h)
		if h, err = fit.NewOSTEP(oo); err != nil {
			return err
		}
	}
	w.heap = &ostepHeap{h, oo, f.ops != "", map[int]int{}, map[int]int{}}
	return nil
}

func (h *ostepHeap) title() string {
	return fmt.Sprintf("OSTEP malloc.py  policy %v  order %v  coalesce %v  header %d  align %d  size %d bytes at %d",
		h.o.Policy, h.o.Order, h.o.Coalesce, h.o.Header, h.o.Align, h.o.Size, h.o.Base)
}

func (h *ostepHeap) do(op fitOp) (fitResult, error) {
	switch op.verb {
	case '+':
		return h.malloc(op), nil
	case '-':
		return h.release(op), nil
	default:
		return fitResult{}, fmt.Errorf("malloc.py cannot change a block's size")
	}
}

// malloc adds the header to the answer of an operation that was drawn. The
// failure is shown as it comes out of that.
func (h *ostepHeap) malloc(op fitOp) fitResult {
	addr, searched := h.Malloc(op.size)
	r := fitResult{ret: addr, searched: searched, shown: addr}
	if !h.list {
		r.shown += h.o.Header
	}
	if addr < 0 {
		return r
	}
	r.ret = r.shown
	h.addrs[op.id] = addr
	if op.size+h.o.Header > 0 {
		h.at[addr] = op.id
	}
	return r
}

// release frees a block, or what is at its address now.
func (h *ostepHeap) release(op fitOp) fitResult {
	addr, ok := h.addrs[op.id]
	if !ok || h.list && op.id >= len(h.addrs) {
		return fitResult{ret: -1, skipped: true}
	}
	if !h.Free(addr) {
		return fitResult{ret: -1, shown: -1}
	}
	return fitResult{}
}

func (h *ostepHeap) freeList() [][2]int {
	list := [][2]int{}
	for _, b := range h.FreeList() {
		list = append(list, [2]int{b.Addr, b.Size})
	}
	return list
}

func (h *ostepHeap) label(b alloc.Block) rune { return fitLabel(b, h.at) }
