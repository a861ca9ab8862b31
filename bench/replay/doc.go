// Package replay runs allocation traces on allocators and measures what comes
// of it: whether every block was sound, how much memory the process held for
// the bytes that were live, and how long a call took.
//
// The parts: [Entry] and [Known] name the allocators; [Compile] turns a trace
// into a [Program] whose execution costs next to nothing; [Verify] replays
// under an oracle; [Throughput] times; [Utilisation] watches the process's
// resident size; [Result] is what they found, as JSON and as benchmark lines.
//
// One measurement, step by step:
//
//  1. The trace is compiled: block ids become slots of a table, which are used
//     again after a block's end, and each operation carries the size its block
//     had before. The table holds one pointer for a live block.
//  2. Verify fills every block with a pattern of its own and checks it when the
//     block is resized, freed or left at the end; it checks alignment, overlap,
//     the prefix that realloc keeps and the zeroes of calloc. It does so twice,
//     each time on a fresh heap.
//  3. Throughput runs the program on a fresh heap: the first pass is the cold
//     figure, page faults included; later passes in the same heap, after what
//     was left over has been freed outside the clock, are the warm ones. The
//     first byte of each block is written. Noise only adds, so the least of the
//     repetitions is reported.
//  4. Utilisation runs the program once in a process that has done nothing
//     else, with the collector off, touches every page of every block, and
//     reads the process's resident size at 300 even points and at each 1 % rise
//     of the live peak. Peak utilisation is the peak of live payload over the
//     peak growth of resident memory; mean utilisation is mean live payload over
//     mean growth, over the even points. Pages of the program's own file do not
//     count.
//
// An entry with Compact set lets its heap move blocks now and then, in each of these
// measurements; the time that takes, and to know whose each block is, counts, and the
// table for the latter does not count as memory.
//
// Limits: resident sizes exist on Linux only; elsewhere utilisation is over
// committed bytes, as the allocator states them. The Go heap is the exception
// to "collector off": freeing is what its collector does, so it stays on.
//
// Nothing here is safe for concurrent use, and measurements that run side by
// side disturb each other.
//
// Sources: the oracle's checks are those of the malloc-lab driver (Bryant and
// O'Hallaron); the word utilisation is theirs, but measured from outside.
package replay
