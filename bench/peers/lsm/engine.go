package main

import (
	"fmt"
	"sort"
)

// config is what every engine is given.
type config struct {
	Memtable   int // bytes
	Cache      int // bytes
	BloomBits  int // per key
	ValueSize  int // bytes
	N          int // entries
	Goroutines int // readers of readwhilewriting
	Snappy     bool
}

// An engine is a store under test. Get, Put and Delete may be called from many
// goroutines.
type engine interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	// Get appends the value to dst and reports whether the key is there.
	Get(dst, key []byte) ([]byte, bool, error)
	Iter() (cursor, error)
	// Compact flushes and compacts everything.
	Compact() error
	Close() error
}

// A cursor walks an engine in key order.
type cursor interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() []byte
	Close() error
}

type opener func(dir string, c config) (engine, error)

// openers returns the engines by name.
func openers() map[string]opener {
	return map[string]opener{
		"memlab":          openMemlab,
		"memlab-buffered": openMemlabBuffered,
		"pebble":          openPebble,
		"goleveldb":       openGoleveldb,
		"badger":          openBadger,
		"bbolt":           openBbolt,
	}
}

// mapsFiles reports whether an engine reads its files through mappings, so that
// the system does not count what it reads.
func mapsFiles(name string) bool { return name == "badger" || name == "bbolt" }

func engineNames() []string {
	var names []string
	for name := range openers() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func openEngine(name, dir string, c config) (engine, error) {
	open := openers()[name]
	if open == nil {
		return nil, fmt.Errorf("unknown engine %q (known: %v, leveldb-c++)", name, engineNames())
	}
	return open(dir, c)
}
