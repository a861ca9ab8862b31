// Package cache keeps table blocks, and the tables' own indexes and filters,
// off the Go heap within an exact budget.
//
// There is no hash table. A table owns one [Slot] for each of its blocks, and a
// slot says in which frame the block is. So a hit costs two atomic adds and no
// search (pointer swizzling as in LeanStore: Leis et al., ICDE 2018).
//
//	slot (in the table)      frame (in the cache)              heap
//	┌────────────┬───────┐   ┌────────────┬──────┬──────┐      ┌─────────┐
//	│ generation │ index ├──►│ generation │ refs │ off  ├─────►│ block … │
//	└────────────┴───────┘   └────────────┴──────┴──────┘      └─────────┘
//
// One read, step by step:
//
//  1. [Cache.Get] loads the slot. Zero means the block was never here.
//  2. It loads the frame's state. If the generation there is another, the frame
//     was given to some other block since: a miss.
//  3. It adds one to the references by compare-and-swap on the whole state, so
//     that it cannot pin a frame whose generation changed in between.
//  4. The block stays where it is until [Handle.Release] takes the reference
//     back.
//
// One miss: [Cache.Alloc] makes room and returns a pinned, empty block; the caller fills
// it and calls [Cache.Publish], which stores frame and generation in the slot.
//
// Room is made by CLOCK with a bit that a hit sets (Corbató 1968). A new block
// starts with the bit clear, so that blocks of a scan leave first. A frame is
// evicted by raising its generation, with a compare-and-swap that succeeds only
// while nobody holds a reference; all slots that name it become stale at once
// and need not be found. A generation has 32 bits; a slot that sleeps for exactly
// 2^32 evictions of one frame would be fooled.
//
// The budget covers blocks, frames and what [Cache.AllocPinned] handed out, each with
// its usable size in the heap. Blocks get what the pinned bytes leave. A block
// that finds no room (all others are pinned) is served from the Go heap,
// uncached, and counted as overflow.
//
// All methods are safe for concurrent use.
package cache
