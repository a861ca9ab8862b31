// Package keys defines what the store sorts: user keys under a [Comparer], and
// internal keys, which add a sequence number and a kind.
//
// An internal key is the user key followed by a trailer of eight bytes, as in
// LevelDB (dbformat.h):
//
//	├────────────────────────┼──────────────────────────────────┤
//	│ user key …             │ seq<<8 | kind, little-endian u64 │
//	└────────────────────────┴──────────────────────────────────┘
//
// Internal keys sort by user key ascending, then by trailer descending, so the
// newest version of a key comes first.
//
// All functions are safe for concurrent use.
package keys
