package main

import (
	"errors"

	"github.com/memlab-go/memlab/lsm"
)

type memlabEngine struct{ db *lsm.DB }

// openMemlab opens the store as it is by default: each commit is one write(2).
func openMemlab(dir string, c config) (engine, error) { return openStore(dir, c, lsm.OS) }

// openMemlabBuffered keeps the log in the process until its buffer is full, which is
// what pebble's unsynced writes come to as well: kill -9 loses a suffix of them.
func openMemlabBuffered(dir string, c config) (engine, error) { return openStore(dir, c, lsm.Buffered) }

func openStore(dir string, c config, level lsm.Durability) (engine, error) {
	o := &lsm.Options{Durability: level, WriteBufferSize: c.Memtable, BlockCacheSize: c.Cache, BloomBitsPerKey: float64(c.BloomBits)}
	if !c.Snappy {
		o.Compression = lsm.None
	}
	db, err := lsm.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return memlabEngine{db}, nil
}

func (e memlabEngine) Put(key, value []byte) error { return e.db.Put(key, value) }
func (e memlabEngine) Delete(key []byte) error     { return e.db.Delete(key) }
func (e memlabEngine) Compact() error              { return e.db.CompactRange(nil, nil) }
func (e memlabEngine) Close() error                { return e.db.Close() }

func (e memlabEngine) Get(dst, key []byte) ([]byte, bool, error) {
	dst, err := e.db.AppendTo(dst, key)
	if errors.Is(err, lsm.ErrNotFound) {
		return dst, false, nil
	}
	return dst, err == nil, err
}

func (e memlabEngine) Iter() (cursor, error) { return e.db.NewIter(nil) }
