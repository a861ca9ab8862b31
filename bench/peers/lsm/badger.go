package main

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

type badgerEngine struct{ db *badger.DB }

func openBadger(dir string, c config) (engine, error) {
	o := badger.DefaultOptions(dir).WithMemTableSize(int64(c.Memtable)).WithNumMemtables(2).WithBlockCacheSize(int64(c.Cache)).
		WithSyncWrites(false).WithDetectConflicts(false).WithLogger(nil).WithMetricsEnabled(false)
	o.BloomFalsePositive = 0.01
	o.Compression = options.Snappy
	if !c.Snappy {
		o.Compression = options.None
	}
	db, err := badger.Open(o)
	if err != nil {
		return nil, err
	}
	return badgerEngine{db}, nil
}

func (e badgerEngine) Put(key, value []byte) error {
	return e.db.Update(func(t *badger.Txn) error { return t.Set(key, value) })
}

func (e badgerEngine) Delete(key []byte) error {
	return e.db.Update(func(t *badger.Txn) error { return t.Delete(key) })
}

func (e badgerEngine) Get(dst, key []byte) (out []byte, ok bool, err error) {
	out = dst
	err = e.db.View(func(t *badger.Txn) error {
		item, err := t.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ok = true
		return item.Value(func(v []byte) error {
			out = append(out, v...)
			return nil
		})
	})
	return out, ok, err
}

func (e badgerEngine) Compact() error { return e.db.Flatten(2) }
func (e badgerEngine) Close() error   { return e.db.Close() }

// Iter returns a forward cursor; badger's iterators go one way.
func (e badgerEngine) Iter() (cursor, error) {
	return &badgerCursor{t: e.db.NewTransaction(false)}, nil
}

type badgerCursor struct {
	t       *badger.Txn
	it      *badger.Iterator
	reverse bool
	value   []byte
}

func (c *badgerCursor) open(reverse bool) {
	if c.it != nil && c.reverse == reverse {
		return
	}
	if c.it != nil {
		c.it.Close()
	}
	o := badger.DefaultIteratorOptions
	o.Reverse = reverse
	c.it, c.reverse = c.t.NewIterator(o), reverse
}

func (c *badgerCursor) First() bool {
	c.open(false)
	c.it.Rewind()
	return c.it.Valid()
}

func (c *badgerCursor) Last() bool {
	c.open(true)
	c.it.Rewind()
	return c.it.Valid()
}

func (c *badgerCursor) SeekGE(key []byte) bool {
	c.open(false)
	c.it.Seek(key)
	return c.it.Valid()
}

func (c *badgerCursor) Next() bool {
	c.it.Next()
	return c.it.Valid()
}

// Prev goes on in the direction of Last: the workloads never turn round.
func (c *badgerCursor) Prev() bool { return c.Next() }

func (c *badgerCursor) Key() []byte { return c.it.Item().Key() }

func (c *badgerCursor) Value() []byte {
	_ = c.it.Item().Value(func(v []byte) error { c.value = v; return nil }) // nil comes back as a length of 0
	return c.value
}

func (c *badgerCursor) Close() error {
	if c.it != nil {
		c.it.Close()
	}
	c.t.Discard()
	return nil
}
