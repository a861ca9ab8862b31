// Package trace reads, writes and generates the traces that memlab's
// measurements run on: what programs asked of their allocator, and what they
// touched in memory.
//
// Allocation traces: [Trace] is a list of [Op], which [Open] and [Read] take from
// .rep text, plain or gzipped, in every public dialect ([RepReader] streams it),
// or from the compact form that memlab embeds. [WriteRep] and [WriteCompact] are
// the ways back, and [Generate] makes the classic patterns.
//
// Memory-reference traces: readers of Valgrind's lackey text, .vmt and OSTEP
// lists, and generators, all streams in constant memory.
//
// One trace, step by step:
//
//  1. Open looks at the first bytes: a gzip header is unpacked, the magic of the
//     compact form goes to its decoder, everything else is text.
//  2. The text's header is four integers. Its counts are a promise that is
//     checked, never a reason to allocate.
//  3. Each line becomes an Op and moves its id through its life: unused, live,
//     freed. What makes no sense there (two births, two deaths) is refused.
//  4. The first fault ends the reading with a [*ParseError] that names file, line,
//     column and value.
//
// Limits: [Limits] bounds what a reader takes. Sizes are int64 on every system;
// whether they can be asked for is the replay's business. A trace says nothing of
// threads. Nothing is safe for concurrent use, except reading a finished Trace.
//
// Sources: the .rep format is that of the malloc lab in Bryant and O'Hallaron,
// Computer Systems: A Programmer's Perspective.
package trace
