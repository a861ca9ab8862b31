// Package corpus holds allocation traces of real programs, so that the
// comparisons of memlab run anywhere without a download. They were recorded
// below the C library's malloc: callocs and aligned allocations are written as
// mallocs, sizes of 0 as 1, and blocks that were live at the end of a recording
// are never freed.
//
// The parts: [Entries] lists the traces with what was recorded, [Open] decodes
// one. They lie in data, in the compact form of package trace, embedded into
// the binary.
//
// Open("git-log"), step by step:
//
//  1. The name is looked up; the error of an unknown one lists the known.
//  2. The bytes are decompressed and decoded into operations, each of which is
//     checked as those of a file are.
//  3. A recording that was cut before its program ended is marked as a prefix.
//
// Each Open decodes anew, O(operations); the trace is the caller's. All
// functions are safe for concurrent use.
package corpus
