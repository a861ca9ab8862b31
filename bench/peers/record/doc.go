// Package record writes down what any program asks of malloc, as a trace that can be replayed
// on every allocator here; [github.com/memlab-go/memlab/alloc/record] does the same for a Go
// program. It needs Linux, gcc, and a program that is linked dynamically with the C library.
//
// The parts: record.c, a library that is preloaded (LD_PRELOAD) and notes each call; [Run], which
// compiles it and runs a program with it; [Convert], which makes a trace of the notes.
//
// One recording, step by step:
//
//  1. The library takes the places of malloc, calloc, realloc, free and the aligned ones, and
//     calls the real ones, one thread at a time.
//  2. It notes each call: which, the size, the address it returned, for realloc also the old one.
//     No block is given another size or place for it; a program runs some times slower.
//  3. When the program has ended, however it did, Convert names blocks by numbers instead of
//     addresses. Blocks that were live at the end are never freed in the trace.
//
// Processes that the program starts are not recorded; what it becomes by exec is, from there on.
// Nor is what a program does with an allocator of its own over mmap, as Go programs, node and
// Java do. calloc and the aligned functions appear as malloc.
package record
