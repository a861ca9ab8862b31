// Package paging runs an allocator inside a simulated address space: what an
// allocation policy does to the TLB, to page faults and to swap.
//
// The parts: [Run] replays a trace on an allocator whose event sink is on, and
// feeds its accesses, and those of a model of the program, to simulated machines;
// [Options] say how they are built; [Result] is what they counted.
//
// One operation, step by step:
//
//  1. The model program uses some blocks: see below.
//  2. The allocator carries the operation out. Its sink reports every access to
//     its metadata, to the links inside free blocks, and to what it copies or
//     clears, as offsets in its region ([alloc.EventRead], [alloc.EventWrite]);
//     pages that it gives back are discarded in the simulated space
//     ([alloc.EventDecommit]), pages that it moves without copying move there.
//  3. The program writes the new bytes of the block, from its start to its end.
//  4. Each access is cut at page boundaries. The region lies at one address in all
//     machines, so a page is (base + offset) / 4096. Accesses to the page of the
//     access before are counted and change nothing else: they would hit anyhow.
//  5. Each machine translates the page: TLB, page-table walk, page fault. All of
//     them see the same accesses in the same order.
//
// The machines:
//
//	ample   as many frames as are asked for: TLB misses, walks, page faults that
//	        no memory could avoid, resident pages
//	tight   frames for Options.Memory times the peak of the live payload, page
//	        tables on top, and swap: page faults that reach the disk
//	huge    ample, with 2 MiB pages where an aligned range is whole
//
// # The model of the program
//
// A trace of allocations does not say how blocks are used. So the same uses are
// made on every allocator: before each operation the program takes Options.Uses
// times a live block and reads or writes (one in four) 64 bytes of it. A block is
// taken by how long ago it was used: the r-th last use with a probability that
// falls as 1/r, which is roughly how programs' references are distributed. Only
// the trace and the seed decide, never an address: the allocators differ in where
// the blocks lie, and in what they touch themselves, and in nothing else.
//
// # Limits
//
// What it does not show: code, stack and static data of the program, which share a
// real TLB; caches; what the program really does with its blocks; the cost of the
// misses in time. Figures compare allocators on a trace; they do not predict a
// program. Go's heap has no sink and takes no part.
//
// Sources: the locality that allocators make or break is measured in Grunwald,
// Zorn and Henderson, Improving the cache locality of memory allocation, PLDI
// 1993, and Feng and Berger, A locality-improving dynamic memory allocator, MSP
// 2005.
package paging
