package replay

import (
	"errors"
	"iter"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/alloc/segregated"
)

// Known returns every allocator of memlab and, beside them, Go's own heap.
func Known() []Entry {
	return []Entry{
		{Name: "segregated", About: "the production heap: runs of equal slots, best fit above", Align: 16, New: newSegregated},
		{Name: "shared", About: "the same for many goroutines: one compare-and-swap a call", Align: 16, New: newShared},
		{Name: "handle", About: "a goroutine's own handle of the shared heap", Align: 16, New: newHandle},
		{Name: "tlsf", About: "two-level segregated fit: a bounded number of steps a call", Align: 16, New: newTLSF},
		{Name: "buddy", About: "binary buddies: powers of two, split and joined", Align: 16, New: newBuddy},
		{Name: "fit-first", About: "free list, first fit, freed blocks in front", Align: 16, New: newFit(fit.Options{Policy: fit.First})},
		{Name: "fit-first-address", About: "free list ordered by address, first fit", Align: 16, New: newFit(fit.Options{Policy: fit.First, Order: fit.Address})},
		{Name: "fit-next", About: "free list, next fit", Align: 16, New: newFit(fit.Options{Policy: fit.Next})},
		{Name: "fit-best", About: "free list, best fit by full search", Align: 16, New: newFit(fit.Options{Policy: fit.Best})},
		{Name: "fit-worst", About: "free list, worst fit by full search", Align: 16, New: newFit(fit.Options{Policy: fit.Worst})},
		{Name: "segregated-compact", About: "segregated, and the replay lets it move blocks", Align: 16, Special: true, Compact: 256 << 10, New: newSegregated},
		{Name: "go", About: "Go's own heap through make, collected", Align: 1, Collected: true, New: newGoHeap},
	}
}

func newSegregated(c Config) (Heap, error) {
	return segregated.New(nil, &segregated.Options{Limit: c.Limit, Sink: c.Sink})
}

func newShared(c Config) (Heap, error) {
	return segregated.NewShared(nil, &segregated.Options{Limit: c.Limit, Sink: c.Sink})
}

// handleHeap is a handle with the heap that it is the only one of.
type handleHeap struct {
	*segregated.Handle
	shared *segregated.Shared
}

func newHandle(c Config) (Heap, error) {
	s, err := segregated.NewShared(nil, &segregated.Options{Limit: c.Limit, Sink: c.Sink})
	if err != nil {
		return nil, err
	}
	return &handleHeap{s.Handle(), s}, nil
}

// Stats are the heap's.
func (h *handleHeap) Stats() alloc.Stats { return h.shared.Stats() }

// Blocks are the heap's.
func (h *handleHeap) Blocks() iter.Seq[alloc.Block] { return h.shared.Blocks() }

// Check checks the heap.
func (h *handleHeap) Check() error { return h.shared.Check() }

// Close closes both.
func (h *handleHeap) Close() error { return errors.Join(h.Handle.Close(), h.shared.Close()) }

func newTLSF(c Config) (Heap, error) {
	return fit.NewTLSF(nil, &fit.Options{Limit: c.Limit, Sink: c.Sink, Accesses: c.Sink != nil})
}

func newBuddy(c Config) (Heap, error) {
	return fit.NewBuddy(nil, &fit.Options{Limit: c.Limit, Sink: c.Sink, Accesses: c.Sink != nil})
}

// newFit makes heaps with options o.
func newFit(o fit.Options) func(Config) (Heap, error) {
	return func(c Config) (Heap, error) {
		own := o
		own.Limit, own.Sink, own.Accesses = c.Limit, c.Sink, c.Sink != nil
		return fit.New(nil, &own)
	}
}
