// Package segregated is the heap to use: small sizes from runs of equal slots,
// larger ones by best fit, every bad free detected, all in one region off the
// Go heap.
//
// The parts:
//
//   - [Heap], made by [New], for one goroutine; [Options] with its size classes,
//     byte limit, mode, zeroing and event sink;
//   - runs (run.go) and the fast paths of Malloc and Free (small_unsafe.go);
//   - spans: marks (span.go), bins of free ones (bin.go), taking, splitting and
//     joining (fit.go), the top (top.go), short lists of what was freed last
//     (quick.go);
//   - pages: commit (pages.go), and by what rule they go back (sweep.go);
//   - [Heap.Check], [Heap.Blocks], [Heap.Stats];
//   - the modes Checked and Guarded ([Mode]): a layer over all that (mode.go,
//     checked.go) with records and canaries (canary.go), poison, a quarantine,
//     blocks between guard pages (guarded.go), and [Heap.Try] for faults;
//   - call stacks (stacks.go) for faults, leaks and [Heap.WriteProfile];
//   - heaps in files: [Open], [Heap.SetRoot], [Heap.Offset] (persist.go), and
//     what is done about a process that was killed (rebuild.go).
//
// # One operation, step by step
//
// h.Malloc(40) and the Free that follows:
//
//  1. 40 rounds up to 48 bytes, the third size class. Its current run has slots
//     at hand: the lowest of them is taken out of a word of the class, and its
//     bit is set in the live word of the run. That is all.
//  2. When no slot is at hand, what Free has returned to the current run is
//     taken over; else the class's last partial run becomes current; else a run
//     of up to 64 slots is cut from the best-fit space.
//  3. A class has no runs before its blocks are many (twice the slots of a run
//     live) or often asked for (4096 times); until then, and for sizes above
//     the largest class, the block is a span: the one of exactly this size that
//     was freed last, if the quick list has it; else the closest of the free
//     spans that a bounded search finds, cut from its end; else what the top
//     grows by.
//  4. Free(b) subtracts the region's base from b's address, reads what its unit
//     of 1 KiB is, finds the slot by a multiplication and clears the live bit. If
//     the remainder is not 0 or the bit not set, it is a fault, and which one is
//     found out then.
//  5. A run that becomes empty goes back to the best-fit space. A freed span
//     waits in the quick list of its size (seven of each, of up to 64 KiB, 1/32
//     of the heap in all) or is joined with its free neighbours at once; one
//     that ends at the top lowers it.
//  6. Every 128 to 512 operations a sweep gives back the pages of free spans of
//     8 KiB and more that have been free since the one before, and so far as
//     there is credit for it: two pages for each that the heap grows by, and
//     one for each 20000 operations (sweep.go).
//
// # The memory picture
//
// Everything is in the region and refers to itself by offsets:
//
//	0        page        2 B a unit      16 B a unit     first            top         end
//	├────────┼───────────┼───────────────┼───────────────┼────────────────┼───────────┤
//	│ header │ kinds     │ units         │ …             │ spans and runs │ untouched │
//	└────────┴───────────┴───────────────┴───────────────┴────────────────┴───────────┘
//
//	unit of a run   live: a bit for each slot     spans   live:  ..1....1..1.
//	                links of partial runs                 bound: ..1.1..1....
//	                                                             used│    └ in a quick list
//	                                                               free
//
// Blocks have no headers and are multiples of 16 bytes. The rows of a unit cost
// 18 bytes for each 1024, touched only where there are blocks. What a user's
// stray write can reach are the links inside small free spans, and they are
// followed only to spans that the rows call free and that point back.
//
// # Limits and caveats
//
// Views die with their block and with Close; in mode Fast, touching one later may
// read another block or end the process. What the other modes find of it, and
// when:
//
//	                     Checked                            Guarded, of a guarded block
//	write past the end   at Free, Realloc, Check, Close     at once, beyond the alignment
//	write before         the same                           the same; at once with Front
//	write after free     when the memory is used again,     at once
//	                     at Check, Close
//	read after free      never; it reads poison             at once
//	second free          exactly, while in quarantine       exactly, while addresses last
//	use after Close      at once, in a region of its own    the same
//
// A damaged block stays live, and faults at each Free; a heap goes on after
// that. Detection is exact and by address: a stale view of
// an address that was handed out again is the new block. What was freed and
// joined with its neighbours is reported as a double free wherever it is
// touched, at any multiple of 16. Damage that is proven makes the heap refuse
// all further work with [alloc.ErrCorrupt].
//
// The heap uses at most 2^42 granules (64 TiB); runs lie in its first 4 TiB.
// Words are in the byte order of the machine. In mode Fast Stats().Requested
// equals Live, since the sizes asked for are not kept.
//
// # Concurrency
//
// A Heap is not safe for concurrent use; [alloc.Locked] makes it so. Mappings are
// private: a child process that is made by fork and exec inherits none of it. A
// file that a heap lies in is shared with whoever maps it, and not locked.
//
// # Sources
//
// Wilson, Johnstone, Neely, Boles: Dynamic storage allocation, a survey and
// critical review (1995), for fits, orders and deferred coalescing. Masmano et
// al.: TLSF (ECRTS 2004), for bins with two levels of bitmaps. Bonwick: The slab
// allocator (USENIX 1994), for runs. Evans: A scalable concurrent malloc(3)
// (BSDCan 2006), for bitmaps of slots out of line. Perens: Electric Fence (1987),
// for guard pages; Serebryany et al.: AddressSanitizer (USENIX ATC 2012), for
// poison and quarantine; GWP-ASan (LLVM), for guarding a sample. Karlin et al.: Competitive
// snoopy caching (1988), for paying before one gives back.
package segregated
