// Package record writes down what a Go program asks of an allocator, as a trace
// in malloc-lab form that can be replayed on any other allocator.
//
// The parts: [New] and [Create] wrap an allocator into a [Recorder], which is an
// allocator itself; [Recorder.Close] writes the trace.
//
// One recording, step by step:
//
//  1. r, err := record.Create(heap, "run.rep.gz") wraps heap. The program uses r
//     in its place.
//  2. r.Malloc(40) asks heap and, if there was room, notes "a 17 40": block 17,
//     which no other block is ever called. Realloc notes "r 17 100", Free "f 17".
//     Calls that fail, and frees that are faults, are not noted.
//  3. r.Close writes the header, four integers of which three are only known
//     now, and then the operations. heap stays open.
//
// A trace in its plain form:
//
//	12000     peak of the live bytes asked for
//	2         ids
//	3         operations
//	1         weight
//	a 0 4000
//	a 1 8000
//	f 0
//
// Until Close the operations are kept compressed in memory, 2 to 4 bytes each.
// A program that ends without Close leaves no trace, only the empty temporary
// file that Create has made beside the one to come. Recording costs a lock, a
// map access and some formatting for each call.
//
// A Recorder is safe for concurrent use, whatever its allocator is: calls are
// made one at a time, in the order that the trace shows.
//
// Sources: the malloc lab of Bryant and O'Hallaron, Computer Systems, for the
// form of the trace.
package record
