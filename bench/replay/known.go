package replay

import "github.com/memlab-go/memlab/alloc/segregated"

// Known returns every allocator of memlab and, beside them, Go's own heap.
func Known() []Entry {
	return []Entry{
		{Name: "segregated", About: "the production heap: runs of equal slots, best fit above", Align: 16, New: newSegregated},
		{Name: "go", About: "Go's own heap through make, collected", Align: 1, Collected: true, New: newGoHeap},
	}
}

func newSegregated(c Config) (Heap, error) {
	return segregated.New(nil, &segregated.Options{Limit: c.Limit})
}
