// Package tlb simulates translation look-aside buffers of any shape: the
// caches, in front of the page table, that real and imagined processors have.
//
// The parts:
//
//   - [Config], [Level], [Array]: the shape, as Go values or JSON; [ParseSpec]
//     reads the short form "split:64x8/64x4,1536x12"; [Presets] are processors.
//   - [TLB]: the TLB of one core; it implements vm.TLB, and vm.WalkCache when
//     page-walk caches are configured.
//   - [TLB.Run]: a whole trace at once, every page mapped.
//   - [Stats] and [Cost]: what was counted, and cycles made from it.
//   - [Cores]: several cores, and the shootdowns between them.
//
// # One look-up, step by step
//
//  1. The address is cut into page number and offset for each page size that
//     an array holds at the moment. Set = page number mod sets.
//  2. The set is searched for the page under the address space's tag or global.
//  3. On a hit the replacement state is touched, and that is all. What the
//     entry says is believed, even if the page table says otherwise by now.
//  4. On a miss the next level is asked; a hit there is copied to the levels
//     before it (moved, if that level is exclusive).
//  5. When the last level misses, the caller walks the page table and calls
//     Insert: every level that is not exclusive takes the entry. A victim goes
//     to the next level if that is exclusive; one of an inclusive level also
//     leaves the levels before it.
//
// # Rules of counting
//
// A reference is one look-up in the first level, on the instruction or the data
// side. A level is looked up once for each miss of the level before it, and
// misses at most once for it, whatever the number of its arrays. An entry that
// hits but forbids the access is a hit. Inserting is no reference. An address
// that was stopped at and is looked up again is a second reference.
//
// # Memory picture
//
//	           set 0          set 1
//	tags  │ t t t t │ t t t t │ …       page number mixed with the tag
//	slots │ s s s s │ s s s s │ …       page, frame, permissions
//	stamp │ . . . . │ . . . . │ …       when a way was used last
//	hint  │    2    │    0    │ …       way used last in the set
//
// # Limits
//
// Sets are powers of two and indexed by plain page-number bits: processors that
// hash or skew their sets are approximated. Page sizes are 2 bytes to 2^62.
//
// # Concurrency
//
// A TLB belongs to one goroutine at a time; so does a [Cores].
//
// # Sources
//
// Hennessy and Patterson, Computer Architecture: A Quantitative Approach, 6th
// edition, sections 2.4 and B.4; Bhattacharjee and Lustig, Architectural and
// Operating System Support for Virtual Memory, 2017; the manuals that the
// presets name.
package tlb
