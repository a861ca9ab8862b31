package replay

// Known returns every allocator of memlab and, beside them, Go's own heap.
func Known() []Entry {
	return []Entry{
		{Name: "go", About: "Go's own heap through make, collected", Align: 1, Collected: true, New: newGoHeap},
	}
}
