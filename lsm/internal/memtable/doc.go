// Package memtable is the sorted, in-memory part of the store: a skip list whose
// nodes live in one stretch of memory outside the Go heap.
//
// The parts:
//
//	Arena     a []byte and an atomic bump pointer; offsets are 32 bits wide
//	SkipList  nodes in an Arena, linked by offsets (Pugh, CACM 33(6), 1990)
//	Inserter  one writer's place in the list: its random numbers and its hint
//	Iter      a cursor, forward and backward
//
// One insert, step by step:
//
//  1. The inserter looks at its hint, the neighbours of its last insert. If the
//     new key fits between them (keys that arrive in order), no search is needed.
//  2. Otherwise it searches from the top level down and notes, on each level, the
//     last node before the key and the first one after it.
//  3. The arena hands out room for the whole node by one atomic add. If there is
//     none, the list is unchanged and the error is [ErrFull].
//  4. The node is filled in: tag, lengths, key, value.
//  5. From level 0 upwards, the node's link is set to the following node and the
//     preceding node's link is swung to it by compare-and-swap. Where another
//     writer got in between, that level is searched again and the step repeated.
//
// Step 5 on level 0 makes the node visible: a reader sees all of it or nothing.
// Nodes are never removed, so readers need no lock and no epoch.
//
// A node (all words in the machine's byte order, since they never leave it):
//
//	off-4h              off-4  off      +4
//	├────────┬─────┬────────┼────────┼──────┬──────┬───────┬─────────┬─────┐
//	│link h-1│  …  │ link 0 │ tag u32│ klen │ vlen │ key … │ value … │ pad │
//	└────────┴─────┴────────┴────────┴──────┴──────┴───────┴─────────┴─────┘
//	                         ▲ the node's offset; klen, vlen: varints
//
// The tag is (sequence - base) << 4 | kind: a memtable spans less than 2^28
// sequence numbers, so 28 bits do. An entry of 16+100 bytes takes 4 (tag) + 2
// (lengths) + 116 + 2 (padding) and 4 bytes for each level, 1.6 on average:
// 130.4 bytes.
//
// Limits: an arena is at most 4 GiB. Entries are never freed one by one; the
// whole arena is. What an Iter or Get returns is a view of the arena and dies
// with it.
//
// Concurrency: any number of readers and inserters at once; each Inserter and
// each Iter belongs to one goroutine.
package memtable
