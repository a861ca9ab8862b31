package main

import (
	"errors"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"
)

// A bboltEngine collects up to bboltBatch writes in one transaction, since one
// transaction for each would measure nothing but copied pages. A read first
// commits what is collected.
type bboltEngine struct {
	db   *bbolt.DB
	mu   sync.Mutex
	tx   *bbolt.Tx
	held int
}

const bboltBatch = 1000

func bucketName() []byte { return []byte("b") }

func openBbolt(dir string, _ config) (engine, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt.db"), 0o644, &bbolt.Options{NoSync: true, NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(t *bbolt.Tx) error {
		_, err := t.CreateBucketIfNotExists(bucketName())
		return err
	})
	return &bboltEngine{db: db}, err
}

func (e *bboltEngine) write(f func(b *bbolt.Bucket) error) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tx == nil {
		if e.tx, err = e.db.Begin(true); err != nil {
			return err
		}
	}
	if err := f(e.tx.Bucket(bucketName())); err != nil {
		return err
	}
	if e.held++; e.held >= bboltBatch {
		return e.commit()
	}
	return nil
}

func (e *bboltEngine) commit() error {
	if e.tx == nil {
		return nil
	}
	tx := e.tx
	e.tx, e.held = nil, 0
	return tx.Commit()
}

func (e *bboltEngine) Put(key, value []byte) error {
	return e.write(func(b *bbolt.Bucket) error { return b.Put(key, value) })
}

func (e *bboltEngine) Delete(key []byte) error {
	return e.write(func(b *bbolt.Bucket) error { return b.Delete(key) })
}

func (e *bboltEngine) Get(dst, key []byte) (out []byte, ok bool, err error) {
	if err := e.Compact(); err != nil {
		return dst, false, err
	}
	out = dst
	err = e.db.View(func(t *bbolt.Tx) error {
		v := t.Bucket(bucketName()).Get(key)
		ok = v != nil
		out = append(out, v...)
		return nil
	})
	return out, ok, err
}

// Compact commits: a B+ tree has nothing to compact.
func (e *bboltEngine) Compact() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.commit()
}

func (e *bboltEngine) Close() error { return errors.Join(e.Compact(), e.db.Close()) }

func (e *bboltEngine) Iter() (cursor, error) {
	if err := e.Compact(); err != nil {
		return nil, err
	}
	tx, err := e.db.Begin(false)
	if err != nil {
		return nil, err
	}
	return &bboltCursor{tx: tx, c: tx.Bucket(bucketName()).Cursor()}, nil
}

type bboltCursor struct {
	tx   *bbolt.Tx
	c    *bbolt.Cursor
	k, v []byte
}

func (c *bboltCursor) at(k, v []byte) bool {
	c.k, c.v = k, v
	return k != nil
}

func (c *bboltCursor) First() bool            { return c.at(c.c.First()) }
func (c *bboltCursor) Last() bool             { return c.at(c.c.Last()) }
func (c *bboltCursor) SeekGE(key []byte) bool { return c.at(c.c.Seek(key)) }
func (c *bboltCursor) Next() bool             { return c.at(c.c.Next()) }
func (c *bboltCursor) Prev() bool             { return c.at(c.c.Prev()) }
func (c *bboltCursor) Key() []byte            { return c.k }
func (c *bboltCursor) Value() []byte          { return c.v }
func (c *bboltCursor) Close() error           { return c.tx.Rollback() }
