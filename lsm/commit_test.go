package lsm

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestGroupFitsMemtable has many small batches wait at once in a store whose memtables
// take few of them: none fails for the others' sake, nor for that of a batch among them
// for which no memtable will ever do.
func TestGroupFitsMemtable(t *testing.T) {
	d := mustOpen(t, &Options{FS: vfs.NewMem(), MemoryLimit: 1 << 20, WriteBufferSize: 16 << 10, StallLimit: time.Minute})
	var batches []*Batch
	for i := range 64 {
		b := new(Batch)
		size := 1000
		if i == 32 {
			size = 900 << 10
		}
		b.Put(fmt.Appendf(nil, "k%02d", i), bytes.Repeat([]byte{byte(i)}, size))
		batches = append(batches, b)
	}
	for i, err := range queueUp(t, d, batches) {
		if i == 32 {
			require.ErrorIs(t, err, ErrMemoryLimit)
			continue
		}
		require.NoError(t, err)
		v, err := d.Get(fmt.Appendf(nil, "k%02d", i))
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{byte(i)}, 1000), v)
	}
	require.NoError(t, d.Close())
}

// TestReservationEnds has writes to the log fail: what they were promised in the
// memtable is free again.
func TestReservationEnds(t *testing.T) {
	in := vfs.NewInjector(vfs.NewMem())
	var full atomic.Bool
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); full.Load() && kind == filename.Log && c.Op == vfs.OpWrite {
			return &vfs.Fault{Err: syscall.ENOSPC}
		}
		return nil
	})
	d := mustOpen(t, small(in))
	full.Store(true)
	for range 100 {
		require.ErrorIs(t, d.Put([]byte("k"), make([]byte, 1000)), syscall.ENOSPC)
	}
	full.Store(false)
	require.Zero(t, d.mem.reserved)
	require.NoError(t, d.Put([]byte("k"), make([]byte, 1000)))
	require.Zero(t, d.Stats().Flushes, "there was room")
	require.NoError(t, d.Close())
}
