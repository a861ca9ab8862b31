// Package lsm is a log-structured merge tree: an ordered store of keys and values
// on disk, in LevelDB's format, whose large parts in memory lie off the Go heap.
//
// The parts:
//
//	DB          the store: Open, Get, Put, Apply, NewIter, NewSnapshot, Flush, …
//	Batch       writes that are applied together or not at all
//	Iterator    a walk over the keys, forward and backward
//	Snapshot    the store as it was at one moment
//	Options     sizes, limits, durability, recovery
//	Stats       what the store knows of itself; Event, what it is doing
//	TableWriter, Table   sorted tables on their own
//	vfs         the files; internal/memtable, record, table, cache: the layers
//
// # One write, step by step
//
//  1. Apply queues its batch. The first in the queue leads: it takes the others
//     along as a group.
//  2. The leader reserves room in the memtable. If there is none, the memtable
//     becomes immutable, its log is synced, and a new memtable and a new log begin;
//     if flushes are behind, it waits (a stall, counted in Stats).
//  3. Each record gets a sequence number, each batch a record in the log. One
//     write(2) brings the group to the operating system; Sync adds one fsync;
//     Buffered skips both.
//  4. The batches go into the memtable, a skip list in an arena.
//  5. The visible sequence number rises, and readers see the group, all at once.
//
// Later the flusher writes the immutable memtable to a table on level 0, records
// that in the MANIFEST, and removes the log. Compactions merge tables downwards:
// level 0 when it has four tables, a further level when it is larger than its
// limit, ten times that of the level above.
//
// # One read, step by step
//
//  1. Get takes a reference to the read state, the memtables and tables of one
//     moment, and reads the visible sequence number.
//  2. It asks the memtables, newest first, for the newest entry that is not younger
//     than that number.
//  3. It asks each table of level 0 whose bounds hold the key, newest first, then one
//     table of each further level. The bloom filter answers most for nothing; else
//     the index leads to a block, which is in the cache or is read, checked and
//     decompressed into it.
//  4. The first entry found settles it: a value is copied, a tombstone is
//     ErrNotFound.
//
// # Memory
//
//	off the Go heap, within Options.MemoryLimit          on the Go heap
//	┌────────────┬────────────┬─────────────┬─────┐      ┌──────────────────────┐
//	│ memtable   │ memtables  │ block cache,│ log │      │ file metadata, open  │
//	│ (writing)  │ (flushing) │ index,filter│ buf │      │ iterators, scratch   │
//	└────────────┴────────────┴─────────────┴─────┘      └──────────────────────┘
//	 WriteBufferSize × MaxWriteBuffers  BlockCacheSize + TablesSize
//
// So the collector's work does not grow with the data. There is a trap in that:
// GOGC=100 starts a collection when the heap has doubled, and with the data gone
// the live heap is a few megabytes, so a program that allocates steadily collects
// at every 4 MiB: hundreds of times where it collected twice before. Each collection is
// short, but there are many. Tell the runtime what memory is there instead: set
// GOMEMLIMIT (or debug.SetMemoryLimit) to what the process may use less
// MemoryLimit, which the runtime does not count, and GOGC=off or a high value such as 400
// or 800. BenchmarkGCTrap shows it: for each GiB that the program allocates beside
// 200,000 entries, 15 collections that take seconds of processor time with the
// entries in a map, 150 that take 0.3 s with them in a store, and 5 that take 0.04 s
// with them in a store, GOGC=off and a memory limit of 256 MiB
// (go test -bench GCTrap -benchtime 200000x ./lsm, Go 1.26, linux/amd64; the counts,
// unlike times, do not depend on the machine).
//
// # Durability
//
//	level       a commit returns after   survives
//	Sync        fsync                    power loss
//	OS          one write(2) per group   kill -9; power loss may take a suffix
//	Buffered    its bytes are buffered   kill -9 may take a suffix
//
// What is lost is always a suffix of the writes: a log is synced before the next
// one begins. After a failed fsync the store latches read-only, since nobody can
// say what is on the disk; open it again.
//
// # Damage
//
// Every byte on disk is under a checksum, and what fails it is never returned: reads
// give a [*CorruptionError] that names file, offset and keys. Open takes an unfinished
// end of the last log, and of the MANIFEST where nothing can have been lost by it, for
// what a crash leaves; [Options.Recovery] makes it stricter or more lenient about
// logs, and [TornTail] says what the default cannot tell apart. All else it refuses, and
// [Repair] keeps what still checks. testdata/damaged holds a store, whole and broken in
// 29 ways, with the verdict on each: a laboratory for recovery. testdata/oracle.sh has
// other programs read what is written here, and reads what they wrote, whole and damaged.
//
// # Limits and caveats
//
// Keys are at most 16 MiB, values 256 MiB, a batch what a memtable can hold. Close
// refuses while iterators or snapshots are open. An open iterator keeps the
// memtables and tables it sees: with a MemoryLimit, writers may wait for it.
// DeleteRange and Zstd are RocksDB's forms, which LevelDB's own tools do not read.
// A filter or an index that fails its checksum is an error, never "not found".
//
// # Concurrency
//
// A DB and a Snapshot are safe for concurrent use. Batches and Iterators belong to
// one goroutine at a time. Open starts a flusher, compactors and a remover of
// files; Close ends them. There are no other goroutines.
//
// # Sources
//
// O'Neil, Cheng, Gawlick, O'Neil: The Log-Structured Merge-Tree, Acta Informatica
// 33 (1996). LevelDB: doc/impl.md, table_format.md, log_format.md. RocksDB for range
// tombstones. Pillai et al.: All File Systems Are Not Created Equal, OSDI 2014, and
// Rebello et al.: Can Applications Recover from fsync Failures?, ATC 2020, for
// what a crash and a failed fsync leave.
package lsm
