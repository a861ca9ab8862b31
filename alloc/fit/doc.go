// Package fit has the heaps of the textbooks, each with the contract of package
// alloc and with real memory: what happens to a free list can be watched, and
// measured on real traces. For a heap to use in a program see package segregated.
//
// The parts:
//
//   - [New]: a free list, explicit or implicit; first, next, best or worst fit;
//     five orders; immediate, deferred or no coalescing ([Options]);
//   - [NewTLSF]: the same blocks on two-level segregated lists, in constant time;
//   - [NewBuddy]: a binary buddy heap;
//   - [NewOSTEP]: the free list of OSTEP's homework program, oddities included;
//   - heap.go, place.go, realloc.go: the verbs; tag.go, word.go, access.go: what
//     a block looks like, and how its words are read and written; list.go,
//     implicit.go, tlsf.go: three indexes of free blocks; identity.go: which
//     address is a block; extent.go: growing and shrinking; guard.go: when the
//     heap refuses; check.go: the laws; buddy.go and the files after it, ostep.go:
//     the two that share little with the rest.
//
// # One operation, step by step
//
// Malloc(40) on a heap with default options:
//
//  1. 40 bytes and a tag of 8 make 48, a multiple of 16: that much is needed.
//  2. The list is searched from its head for the first free block of 48 bytes or
//     more. Stats counts the blocks looked at.
//  3. If there is none the heap grows: its region commits 64 KiB more, which
//     become a free block, joined with a free block before them.
//  4. A block of 80 bytes or more is split: its first 48 bytes are taken, the
//     rest keeps its place on the list. Of a smaller one nothing is left over
//     that could hold a free block's words, so it is taken whole.
//  5. The tag of the taken block says: 48 bytes, used, 0 of them unasked for. The
//     tag behind it learns that the block before it is used. A bit, apart from
//     the blocks, is set: a live block starts here.
//  6. The 40 bytes after the tag are returned, len == cap == 40.
//
// Free looks at the bit first, so that no other address is taken for a block;
// clears it; joins the block with the free one after it (by its tag) and the free
// one before it (by its footer); and puts the result at the list's head.
//
// # The memory picture
//
//	region
//	├───────────┬──────────┬──────────┬──────────────┬──────────┬───┬───────┤
//	│ start     │▓ used    │▓ used    │▓ free       ▓│▓ used    │ e │ not   │
//	│ bits      │          │          │              │          │   │ yet   │
//	└───────────┴──────────┴──────────┴──────────────┴──────────┴───┴───────┘
//	             ▓ tag, 8 bytes: size, slack, two flags, check bits   e epilogue
//
// Nothing in the region is an address: tags hold sizes, links hold distances.
//
// # Limits and caveats
//
// Every double, interior, misaligned and foreign free panics with a
// *alloc.Fault and changes nothing; but an address cannot be told from its next
// incarnation, so a block freed twice after its memory was handed out again
// frees the new block. Writes past the end of a block are not noticed until they
// hit a tag, a footer or a link, each of which has check bits that show every
// flip of one or two bits; then the next operation that reads it, or Check,
// finds the heap corrupt, and the heap refuses all further work.
//
// Search time grows with the free list; that is the lesson. A heap that never
// coalesces runs out of memory on most real traces; that is another.
//
// Regions above 8 TiB are used up to there. Views of blocks are dead after Close.
//
// # Concurrency
//
// No heap of this package is safe for concurrent use; wrap it with
// [alloc.Locked].
//
// Sources: Knuth, The Art of Computer Programming, volume 1, section 2.5 (fits,
// boundary tags, buddies); Wilson, Johnstone, Neely and Boles, Dynamic Storage
// Allocation: A Survey and Critical Review, 1995; Knowlton, A Fast Storage
// Allocator, 1965; Masmano, Ripoll, Crespo and Real, TLSF, 2004;
// Arpaci-Dusseau and Arpaci-Dusseau, Operating Systems: Three Easy Pieces,
// chapter 17.
package fit
