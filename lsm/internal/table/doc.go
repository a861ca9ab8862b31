// Package table reads and writes sorted tables in LevelDB's format (LevelDB,
// doc/table_format.md).
//
// The parts:
//
//	Writer    sorted internal keys in, a file out
//	Reader    a file, its index and filter in pinned memory; Get
//	Iterator  a cursor over a Reader, forward and backward
//	Decoder   decompression and scratch buffers, shared by the Readers of a store
//
// A file, in order; a handle is two varints, offset and size without trailer:
//
//	├ data block ┤ … ┤ filter block ┤ range tombstones ┤ properties ┤ metaindex ┤ index ┤ footer ┤
//
//	each block:   ├ contents … ┤ type u8 │ crc u32 ┤
//	              type 0 raw, 1 Snappy, 7 Zstandard (RocksDB's number, varint length before the frame);
//	              crc is CRC-32C of contents and type, masked as in package record
//	footer:       ├ metaindex handle │ index handle │ zeros up to 40 │ magic u64 0xdb4775248b80fb57 ┤
//
// A data block holds entries, each key as the difference to the one before it,
// and the offsets of the restart points, where keys are whole (all integers
// little-endian):
//
//	├ shared v │ unshared v │ value length v │ key bytes │ value bytes ┤ …
//	├ restart 0 u32 │ restart 1 u32 │ … │ number of restarts u32 ┤
//
// The index block has the same form; its keys are separators, at least the
// last key of their block and less than the first key of the next, its values
// are handles. The metaindex maps names to handles and is never compressed:
//
//	filter.leveldb.BuiltinBloomFilter2  the filter block, see package filter; raw
//	rocksdb.properties                  among them memlab.table, the table's own number; raw
//	rocksdb.range_del                   range tombstones: start key → end key; raw
//
// One Get, step by step:
//
//  1. Binary search in the index finds the only block that can hold the key. The
//     index is kept unpacked: the first eight bytes of each separator behind the
//     prefix that all share, as integers, then whole keys for ties.
//  2. The filter of that block is asked; most absent keys end here.
//  3. The block comes from the cache through its slot, or from the file: read,
//     checksum, decompress, publish.
//  4. Binary search over the restart points, then a scan that compares only the
//     bytes that can differ.
//  5. The value is a view of the pinned block until [Result.Release].
//
// Memory: index, filter and slots are one pinned block of the cache's heap,
// about 60 bytes for each data block plus separators and filter.
//
// Every byte read is covered by a checksum or by the footer's magic and the
// checks of [Open]. Damage is a [*corrupt.Error]. A damaged filter makes Open
// fail, so it never means "key absent".
//
// With ReaderOptions.Mmap the file is mapped. If it is truncated under us,
// touching it is SIGBUS, which Get and the loading of blocks turn into a
// [*corrupt.Error] (see [runtime/debug.SetPanicOnFault]).
//
// Concurrency: a Reader is safe for concurrent use; Writers and Iterators belong
// to one goroutine.
package table
