// Command lsm compares the store with pebble, goleveldb, badger, bbolt and,
// where g++ and its headers are installed, C++ LevelDB: the workloads of
// LevelDB's db_bench and YCSB A to F, at equal budgets.
//
//	go run ./lsm                              every engine, 1 M entries
//	go run ./lsm -engines memlab,pebble -rounds 3 -workloads fillrandom,compact,readrandom
//
// Each engine runs in a process of its own, so that peak memory is its own.
// Rounds are interleaved: engine after engine, then again; the table shows the
// best round and the ratio to a chosen engine. All get the same keys in
// the same order, of 16 decimal digits; values are half compressible.
//
// # Budgets
//
// Each store gets two memtables of -memtable bytes and -cache bytes of block cache,
// bloom filters of -bloom bits, Snappy, and no fsync; the rest is as its makers set
// it. Pebble charges memtables to its cache, which is larger by them, begins
// with small memtables that double, and may run as many compactions at once as our
// store does (two). Badger keeps indexes and filters outside the cache.
// Bbolt is a B+ tree over a mapped file: it has no budget, no log and no
// compression, and a thousand writes make one transaction.
//
// A write returns once it is where kill -9 does not reach it: in memlab (durability
// OS), leveldb-c++ and goleveldb by one write(2), in badger through a mapped log.
// Not so in pebble, whose unsynced writes wait in the process for a goroutine, and in
// memlab-buffered, which is there to be compared with it.
//
// # Columns
//
// What the columns mean: ops/s by wall clock; processor time of all threads per
// operation, background work included, and the ratio of the base's to it (on a
// machine with other work the better measure); p50, p99 and p99.9 of single
// operations in microseconds, clock reading included (scans: not measured); B/op bytes that Go
// allocated per operation; gc% the share of the processors that the collector
// took; w-amp the bytes sent towards the disk (pages of files made dirty) for each byte
// of the user's writes, background work of that time included; r-amp the bytes read
// from files, whether the system has them in memory or not, for each byte the user
// got; a dash where files are mapped, which nobody counts. Per engine, over all its
// workloads: peak resident and anonymous memory, the largest live Go heap, w-amp over
// everything, and bytes on disk for each byte of N entries, after overwrite if that ran.
package main
