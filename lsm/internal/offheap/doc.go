// Package offheap views allocator memory as typed slices. It is the only unsafe
// code of the store's table side.
package offheap
