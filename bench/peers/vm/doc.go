// Package vm measures address translation beside a plain reference program in C
// (testdata/reference.c), which the benchmark compiles with gcc, or it is skipped.
//
//	go test -bench Translate -benchtime 1x ./vm
//
// Both sides translate the same addresses, and the results are compared: user loads,
// random over 32 pages for the TLB (64 entries, 4 ways, LRU: every look-up hits) and over
// 4096 pages for the walk (4 levels, no TLB). They run in turn; the least processor time
// of the rounds counts.
// What it does not show: large address spaces, whose tables leave the caches, cost
// both sides the same misses.
package vm
