package lsm

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// A history is a sequence of batches that can be told from the store: batch i
// (from 1) also sets the key "n" to i, so the state says how far it got, and what
// else it must hold is the state after that many batches.
type history struct {
	keys   int  // size of the key space
	size   int  // of a value
	points bool // no range deletions
}

// add puts batch i into b.
func (h history) add(b *Batch, i int) {
	b.Put(fmt.Appendf(nil, "key%04d", i*7919%h.keys), h.value(i))
	if i%3 == 0 {
		b.Delete(fmt.Appendf(nil, "key%04d", i*104729%h.keys))
	}
	if i%50 == 0 && !h.points {
		b.DeleteRange([]byte("key0003"), []byte("key0006"))
	}
	b.Put([]byte("n"), strconv.AppendInt(nil, int64(i), 10))
}

func (h history) value(i int) []byte {
	return fmt.Appendf(nil, "value %d %0*d", i, h.size, i)
}

// pointHistory has no range tombstones, which other readers do not know.
func pointHistory() history { return history{keys: 600, size: 60, points: true} }

// state is what a store holds after n batches.
func (h history) state(n int) model {
	m := model{}
	for i := 1; i <= n; i++ {
		var b Batch
		h.add(&b, i)
		r := batchReader{data: b.rep[batchHeader:]}
		for r.next() {
			switch {
			case r.kind == 0:
				delete(m, string(r.key))
			case r.kind == 1:
				m[string(r.key)] = string(r.value)
			default:
				m.deleteRange(string(r.key), string(r.value))
			}
		}
	}
	return m
}

// check compares a store with the state it claims to be in and returns how many
// batches that is.
func (h history) check(t testing.TB, d *DB) int {
	t.Helper()
	got := model{}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	for k, v := range it.All() {
		got[string(k)] = string(v)
	}
	require.NoError(t, it.Close())
	n := 0
	if s, ok := got["n"]; ok {
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	require.Equal(t, h.state(n), got, "state after %d batches", n)
	require.NoError(t, d.Check())
	return n
}

// small are options under which a short history flushes and compacts a lot.
func small(fs vfs.FS) *Options {
	o := &Options{FS: fs, WriteBufferSize: 4 << 10, BlockCacheSize: 64 << 10, TablesSize: 256 << 10, BlockSize: 256,
		TargetFileSize: 2 << 10, LevelSize: 4 << 10, LevelMultiplier: 4, L0CompactionTrigger: 2, MaxCompactions: 1}
	return o.testBacking()
}

// step applies batch i at a durability, with a flush or a compaction now and then.
func (h history) step(d *DB, i int, level Durability) error {
	var b Batch
	h.add(&b, i)
	if err := d.Apply(&b, &WriteOptions{Durability: level}); err != nil {
		return err
	}
	switch i % 60 {
	case 20:
		return d.Flush()
	case 40:
		return d.CompactRange(nil, nil)
	}
	return nil
}

// reopen opens the store on fs and returns how many batches it holds.
func (h history) reopen(t testing.TB, fs vfs.FS) int {
	t.Helper()
	d, err := Open("db", small(fs))
	require.NoError(t, err)
	n := h.check(t, d)
	require.NoError(t, d.Close())
	return n
}

var errInjected = errors.New("injected")
