// Package filter is LevelDB's bloom filter and the block that holds the
// filters of one table (LevelDB, util/bloom.cc, table/filter_block.cc).
//
// A filter covers the keys of all data blocks that start in one range of 2 KiB
// of the file. One filter:
//
//	├──────────────────┼──────┤
//	│ bits …           │ k u8 │   k probes per key; bit i is bit i%8 of byte i/8
//	└──────────────────┴──────┘
//
// The block, all integers little-endian:
//
//	├──────────┼──────────┼─ … ┼─────────┼─────────┼─ … ┼──────────┼──────┤
//	│ filter 0 │ filter 1 │    │ off0 u32│ off1 u32│    │ array u32│ 11 u8│
//	└──────────┴──────────┴─ … ┴─────────┴─────────┴─ … ┴──────────┴──────┘
//
// off(i) is where filter i begins, array is where the offsets begin and so also
// where the last filter ends. The filter of a data block at file offset x is
// number x >> 11. An empty filter matches nothing: no block starts there.
//
// Since filters cover few keys, one probe of six bits touches one or two cache
// lines, at 10 bits a key with about 1 % false positives.
//
// A query never says "absent" for a key that was added. Damage is found by the
// block's checksum, before a query: see package table.
package filter
