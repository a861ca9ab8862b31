// Package linearizable holds no code: its tests record what many goroutines asked of
// a store and what it answered, and have porcupine decide whether some order of the
// calls, one after the other, explains all answers.
//
//	go test ./linearizable -rounds 1000
//
// The calls are Put, Delete, batches, range deletions, Get, and a walk of a snapshot
// or of an iterator, which must see one moment; flushes and compactions run all the
// time. A store that now and then answers from the past is found out, as is one that
// tears batches apart.
package linearizable

import _ "github.com/memlab-go/memlab/lsm" // what is tested
