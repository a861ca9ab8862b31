// Package replace holds page replacement policies and what is measured with
// them: a simulator that counts faults, and curves over all memory sizes.
//
// The parts:
//
//   - The policies, one a file, each with its exact rules and its paper:
//     [FIFO], [LRU], [Clock], [SecondChance], [NRU], [EnhancedClock], [LFU],
//     [AgedLFU], [Aging], [Random], [MRU], [OPT], [LRUK], [TwoQ], [ARC],
//     [CAR], [LIRS], [WSClock], [WorkingSet], [PFF], [Sieve], [S3FIFO], and
//     the variants of the OSTEP homework. Each is a [vm.Policy].
//   - [Catalog] and [New]: the policies by name, with parameters.
//   - [Pages]: numbers pages densely, once for all simulations of a trace.
//   - [Sim]: frames of memory under one policy; hits, faults, write-backs.
//   - [Future]: the next use of every reference, which [OPT] needs.
//   - [LRUCurve], [OPTCurve], [WorkingSets], [BeladyAnomalies]: results for
//     every memory size at once.
//
// # One fault, step by step
//
//  1. [Pages.Number] turns the page of the address into a small number p.
//  2. [Sim] finds p not resident and counts a miss. If a frame is free, go to 5.
//  3. It asks the policy: Victim(p). FIFO takes the oldest page, LRU the one
//     at the cold end of its list, OPT the one whose next use is farthest.
//  4. A victim that was written since its load counts as a write-back.
//  5. Insert(p) tells the policy; p is resident, and dirty if it was a write.
//
// # Memory picture
//
//	page 0x7f3a1 ──► Pages ──► p = 17
//	                            │
//	     Sim.state   [ .. 0 3 1 .. ]          resident, dirty: one byte a page
//	                            │
//	     policy      lists of pages linked by number: head ⇄ 4 ⇄ 17 ⇄ …
//
// # Limits
//
// Time is counted in references. A simulation needs some bytes for every
// distinct page (at most 2^31 pages), however long the trace, and so do the
// curves (fewer than 2^29 pages); OPT also needs 8 bytes for every reference, since it
// looks ahead.
//
// # Concurrency
//
// Nothing here is safe for concurrent use. Simulations that share a [Pages] or
// a [Future] may run at the same time while nobody adds to it.
//
// # Sources
//
// Each policy names its paper. Textbooks: Tanenbaum and Bos, Modern Operating
// Systems, section 3.4; Arpaci-Dusseau, Operating Systems: Three Easy Pieces,
// chapter 22.
package replace
