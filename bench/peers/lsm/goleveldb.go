package main

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

type goleveldbEngine struct{ db *leveldb.DB }

func openGoleveldb(dir string, c config) (engine, error) {
	o := &opt.Options{WriteBuffer: c.Memtable, BlockCacheCapacity: c.Cache, Filter: filter.NewBloomFilter(c.BloomBits),
		OpenFilesCacheCapacity: 1000}
	if !c.Snappy {
		o.Compression = opt.NoCompression
	}
	db, err := leveldb.OpenFile(dir, o)
	if err != nil {
		return nil, err
	}
	return goleveldbEngine{db}, nil
}

func (e goleveldbEngine) Put(key, value []byte) error { return e.db.Put(key, value, nil) }
func (e goleveldbEngine) Delete(key []byte) error     { return e.db.Delete(key, nil) }
func (e goleveldbEngine) Compact() error              { return e.db.CompactRange(util.Range{}) }
func (e goleveldbEngine) Close() error                { return e.db.Close() }

func (e goleveldbEngine) Get(dst, key []byte) ([]byte, bool, error) {
	v, err := e.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return dst, false, nil
	}
	return append(dst, v...), err == nil, err
}

func (e goleveldbEngine) Iter() (cursor, error) {
	return goleveldbCursor{e.db.NewIterator(nil, nil)}, nil
}

type goleveldbCursor struct{ iterator.Iterator }

func (c goleveldbCursor) SeekGE(key []byte) bool { return c.Seek(key) }

func (c goleveldbCursor) Close() error {
	c.Release()
	return c.Error()
}
