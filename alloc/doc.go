// Package alloc is the contract that every allocator of memlab keeps: the four
// verbs, what is an error and what is a fault, statistics, events and checks.
//
// The parts:
//
//   - [Allocator]: Malloc, Calloc, Realloc, Free on blocks that are []byte;
//   - [Aligned], [Sizer], [Walker], [Checker], [Statser]: what an allocator may
//     offer beside them, one method or two each;
//   - [Fault], [NoMemoryError], [LeakError]: what can go wrong, with figures;
//     [Try] turns the panic of a bad block argument into an error;
//   - [Owners]: whose the memory is that an allocator is handed and does not have;
//   - [New], [Make], [Append], [Delete], [DeleteSlice], [For]: values of a type
//     instead of bytes; a type that holds Go pointers is refused by name;
//   - [Locked]: any allocator, for many goroutines;
//   - [Map]: a heap drawn as a line of text;
//   - [Arrow], [HTTPBuffers], [GRPCBuffers], [Var], [MemoryLimit]: what Apache
//     Arrow, net/http/httputil, gRPC, expvar and the runtime want of a heap,
//     without an import of theirs;
//   - [Event], [Sink]: what a heap did, for pictures, recorders and simulators.
//
// The allocators are packages segregated (the one to use) and fit (the ones in
// the textbooks). Package alloctest tests any type that keeps the contract,
// package record writes down what a program asks of one.
//
// # One operation, step by step
//
// What happens to h.Malloc(40), whichever heap h is:
//
//  1. A size below zero is [ErrSize], a closed heap [ErrClosed]; nothing changes.
//  2. The heap finds a free block of at least 40 bytes, asking its region for
//     more committed memory if it must. If there is no room the error is a
//     [*NoMemoryError] with the request, the limit and the largest free block.
//  3. It marks the block as live, by its start address, outside of the block.
//  4. It returns the view mem[off:off+40:off+40]: len and cap are 40, so that
//     append copies instead of running into the neighbour. off is a multiple of
//     16 (of 8 for sizes below 16). Contents are whatever was there before.
//
// And to h.Free(b):
//
//  1. The address of b must lie in the heap ([ErrForeign]) and a live block must
//     start right there ([ErrInvalidFree], [ErrDoubleFree]). Otherwise Free
//     panics with a [*Fault] before anything is changed: an error result would
//     be dropped by "defer h.Free(b)".
//  2. The mark goes, the block becomes free, and may be joined with its free
//     neighbours.
//
// # The memory picture
//
// A block lies in a region of package arena, outside of what the garbage
// collector manages. An [arena.Offset] says where, counted from the start of
// the region:
//
//	region  ├──────────┬───────────┬──────────┬───────────────────┬───────┤
//	        │ metadata │ block     │ free     │ block             │ free  │
//	        └──────────┴───────────┴──────────┴───────────────────┴───────┘
//	                   ▲ Off       ├─ Size ───┤
//	                   └ &b[0]
//
// # Limits and caveats
//
// The collector neither sees nor moves this memory. A Go pointer stored in it
// keeps nothing alive, which is why only pointer-free types are accepted.
//
// After Free every view of the block is dead, after Close every view of every
// block. Using one anyway is not detected here, but for the modes of package
// segregated that look for it. An address cannot be told from
// its next incarnation: a block freed twice after its memory was given to
// somebody else frees the other's block.
//
// Every block starts at an address of its own, also an empty one; but in Go the
// empty tail b[len(b):] has the address of b, and therefore is b.
//
// # Concurrency
//
// An allocator is for one goroutine at a time unless its type says otherwise.
// The functions of this package are as safe as the allocator they are given.
//
// Sources: ISO C 7.24.3 for the verbs; Wilson, Johnstone, Neely and Boles,
// Dynamic Storage Allocation: A Survey and Critical Review, 1995, for the
// words; Robson, Bounds for some functions concerning dynamic storage
// allocation, 1974, for what no allocator can avoid.
package alloc
