// Command lsm compares the store with pebble, goleveldb, badger, bbolt and,
// where g++ and its headers are installed, C++ LevelDB: the workloads of
// LevelDB's db_bench and YCSB A to F, at equal budgets.
//
//	go run ./lsm                              every engine, 1 M entries
//	go run ./lsm -engines memlab,pebble -rounds 3 -workloads fillrandom,compact,readrandom
//
// Each engine runs in a process of its own, so that peak memory is its own.
// Rounds are interleaved: engine after engine, then again; the table shows the
// median of the rounds and the ratio to a chosen engine. All get the same keys in
// the same order, of 16 decimal digits; values are half compressible.
//
// What the columns mean: ops/s by wall clock; processor time of all threads per
// operation, background work included, and the ratio of the base's to it (on a
// machine with other work the better measure); p50, p99 and p99.9 of single
// operations in microseconds, clock reading included (scans: not measured); B/op bytes that Go
// allocated per operation; gc% the share of the processors that the collector
// took. Per engine, over all its workloads: peak resident and
// anonymous memory, the largest live Go heap, bytes written to files for each
// byte of the user's writes, bytes on disk for each live byte.
package main
