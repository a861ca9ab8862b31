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

// heapSlack is what the heap's own structures and its rounding may take of size
// bytes: a 64th and 64 KiB, but no more than a quarter.
func heapSlack(size int) int { return min(size/64+64<<10, size/4) }

// newBlockHeap makes a heap that commits at most size bytes, its own structures
// included.
func newBlockHeap(size int, mem arena.Options) (*blockHeap, error) {
	reserve := 2 * size // for what fragmentation strews
	if mem.Backing == arena.GoHeap {
		reserve = size + size/8 // allocated at once
	}
	r, err := arena.Reserve(reserve, &mem)
	if err != nil {
		return nil, err
	}
	h, err := segregated.New(r, &segregated.Options{Limit: size})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &blockHeap{region: r, heap: h, shared: alloc.Locked(h)}, nil
}

func (h *blockHeap) close() error {
	return errors.Join(h.heap.Close(), h.region.Close())
}
