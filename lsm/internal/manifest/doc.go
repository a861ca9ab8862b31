// Package manifest encodes version edits: the records of a MANIFEST file, each
// of which says how the set of live tables changes.
//
// An edit is a sequence of fields, each a varint tag followed by its value
// (LevelDB, version_edit.cc). v is an unsigned LEB128 varint, s a varint length
// and that many bytes, k such a string that holds an internal key.
//
//	tag  1  comparator        s name
//	tag  2  log number        v     logs with smaller numbers are obsolete
//	tag  3  next file number  v
//	tag  4  last sequence     v
//	tag  5  compact pointer   v level, k key
//	tag  6  deleted table     v level, v number
//	tag  7  new table         v level, v number, v size, k smallest, k largest
//	tag  9  previous log      v     always 0 today
//
// Column families are written with RocksDB's tags, only when there are any:
//
//	tag 200 column family     v id  of the whole edit; 0 is the default
//	tag 201 add family        s name
//	tag 202 drop family
//	tag 203 largest family    v id
//
// A tag with bit 13 set may be skipped by readers that do not know it; its value
// is a string. [Edit.Decode] keeps to that, and refuses every other unknown tag.
//
// Functions are safe for concurrent use on different Edits.
package manifest
