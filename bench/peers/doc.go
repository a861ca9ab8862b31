// Package peers measures memlab's allocators beside those that others wrote: Go
// packages, and the C library's malloc with what can be preloaded over it. It
// is a module of its own, so that nobody who imports memlab downloads them.
//
// The parts: [Peer] is an allocator and how to reach it; [Known] lists them.
// [Child] is what a measuring process does for a Go allocator; the program in
// creplay does the same, in C, for an allocator behind the C interface: the same
// traces compiled to the same operations, the same touches, the same readings,
// the same generated sizes. [Rounds] runs them interleaved and collects figures.
//
// Traces of other programs than those that come with memlab are made by cmd/record (package
// record).
//
// What the figures mean: times are wall time, the least of all rounds, since
// what disturbs a machine only adds. Compare ratios, not absolute times, and
// only those of one run.
package peers
