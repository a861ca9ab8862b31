// Package cache keeps table blocks off the Go heap within an exact budget.
//
//	func New(o *Options) (*Cache, error)   // Options{Heap alloc.Allocator (safe for many goroutines), Mem []byte (the heap's region), Budget int}
//	func (c *Cache) Stats() Stats           // hits, misses, evictions, bytes of blocks and of pinned metadata
//	func (c *Cache) Close() error           // tables must be closed first
package cache
