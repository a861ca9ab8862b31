// Package offheap views allocator memory as typed slices and places in a
// region. It is the only unsafe code of the store's table side.
package offheap
