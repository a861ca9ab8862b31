package lsm

import (
	"errors"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/segregated"
	"github.com/memlab-go/memlab/arena"
)

// A blockHeap is the off-heap memory of the block cache and of the tables' index
// and filter blocks: a segregated heap in a region of its own, of which no more
// than the share of both may be committed.
type blockHeap struct {
	region *arena.Region
	heap   *segregated.Heap
	shared alloc.Allocator
}

// heapSlack is what the heap's own structures may take beside the blocks, as a
// part of the blocks: a 64th and 256 KiB.
func heapSlack(size int) int { return size/64 + 256<<10 }

func newBlockHeap(size int, b arena.Backing) (*blockHeap, error) {
	r, err := arena.Reserve(2*size+2*heapSlack(size), &arena.Options{Backing: b})
	if err != nil {
		return nil, err
	}
	h, err := segregated.New(r, nil)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &blockHeap{region: r, heap: h, shared: alloc.Locked(h)}, nil
}

func (h *blockHeap) close() error {
	return errors.Join(h.heap.Close(), h.region.Close())
}
