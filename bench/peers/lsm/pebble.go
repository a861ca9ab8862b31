package main

import (
	"context"
	"errors"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

type pebbleEngine struct {
	db    *pebble.DB
	cache *pebble.Cache
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// openPebble gives the cache the share of two memtables too: pebble charges its
// memtables to the cache, and would have no blocks in it otherwise. It may compact
// in as many goroutines as our store does by default.
func openPebble(dir string, c config) (engine, error) {
	cache := pebble.NewCache(int64(c.Cache + 2*c.Memtable))
	o := &pebble.Options{Cache: cache, MemTableSize: uint64(c.Memtable), Logger: quiet{},
		FormatMajorVersion:         pebble.FormatNewest,
		CompactionConcurrencyRange: func() (int, int) { return 1, min(2, runtime.GOMAXPROCS(0)) }}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.FilterPolicy = bloom.FilterPolicy(c.BloomBits)
		l.Compression = func() *block.CompressionProfile {
			if c.Snappy {
				return block.SnappyCompression
			}
			return block.NoCompression
		}
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return pebbleEngine{db, cache}, nil
}

func (e pebbleEngine) Put(key, value []byte) error { return e.db.Set(key, value, pebble.NoSync) }
func (e pebbleEngine) Delete(key []byte) error     { return e.db.Delete(key, pebble.NoSync) }

func (e pebbleEngine) Get(dst, key []byte) ([]byte, bool, error) {
	v, c, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	dst = append(dst, v...)
	return dst, true, c.Close()
}

func (e pebbleEngine) Compact() error {
	return errors.Join(e.db.Flush(), e.db.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff}, true))
}

func (e pebbleEngine) Close() error {
	err := e.db.Close()
	e.cache.Unref()
	return err
}

func (e pebbleEngine) Iter() (cursor, error) {
	it, err := e.db.NewIter(nil)
	return it, err
}
