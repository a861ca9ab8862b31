// Package arenatest has pagers for tests: they count the system calls that
// regions make, know which mappings are still held, and make the k-th call fail.
//
//   - [New] counts; [Pager.FailAt] makes one call fail.
//   - [Sweep] runs a workload again and again, failing call 1, 2, 3, … of it,
//     until it runs clean (the method that SQLite's tests made known).
//
// A test that wants to know what an allocator does without memory passes the
// pager as arena.Options.Pager.
package arenatest
