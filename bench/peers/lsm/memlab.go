package main

import (
	"errors"

	"github.com/memlab-go/memlab/lsm"
)

type memlabEngine struct{ db *lsm.DB }

func openMemlab(dir string, c config) (engine, error) {
	o := &lsm.Options{WriteBufferSize: c.Memtable, BlockCacheSize: c.Cache, BloomBitsPerKey: float64(c.BloomBits)}
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
