// Package alloctest tests allocators: any type that has the four verbs of
// [alloc.Allocator], ours or yours.
//
// The parts:
//
//   - [Test] is the conformance suite: sizes, alignment, views, realloc,
//     exhaustion, misuse, counters;
//   - [Oracle] keeps a shadow of every live block and notices overlap, wrong
//     alignment, lost contents and dirty callocs; [Run] drives it with a list
//     of [Op], [RandomOps] makes such lists, [DecodeOps] makes them from the
//     bytes of a fuzzer, [Minimize] makes a failing one short, [WriteRep] saves
//     it as a trace;
//   - [Random], [Differential] and [Attack] put these together: random
//     operations with shrinking, one list on many heaps, and an attacker who
//     flips bits in the heap's memory;
//   - [Failing] fails the n-th allocation, to prove that errors do no damage;
//     [NoLeaks] fails a test that leaves blocks behind;
//   - [Reference] is the simplest allocator that keeps the contract.
//
// A test of an allocator of your own, step by step:
//
//  1. Write newHeap, which returns a fresh allocator; what it needs closed it
//     hands to t.Cleanup. An allocator with a Close method is closed by the
//     suite.
//  2. Call Test(t, newHeap), with a [Claim] for each promise beyond the
//     contract: that bad frees are detected, that the heap has a limit.
//  3. Call Random(t, newHeap, Mix{}). A failure prints the seed and the
//     shortest list of operations that still fails.
//
// The package needs only the standard library and package alloc. Its functions
// may be called from several tests at once; an Oracle is for one goroutine.
//
// Sources: the method of the malloc lab of Bryant and O'Hallaron, Computer
// Systems, chapter 9 (shadow of the live blocks); Zeller and Hildebrandt,
// Simplifying and Isolating Failure-Inducing Input, 2002 (Minimize); Yun et
// al., ArcHeap, 2020 (the attacker); SQLite's testing page (k-th failure).
package alloctest
