package lsm

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestInPlaceRange overwrites what a range deletion hides: the new value is not hidden.
func TestInPlaceRange(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.InPlaceUpdate = true
	d := mustOpen(t, o)
	k := []byte("k")
	want := func(want string) {
		t.Helper()
		v, err := d.Get(k)
		require.NoError(t, err)
		require.Equal(t, want, string(v))
		require.NoError(t, d.Check())
	}
	require.NoError(t, d.Put(k, []byte("v1")))
	require.NoError(t, d.DeleteRange([]byte("a"), []byte("z")))
	require.NoError(t, d.Put(k, []byte("v2")))
	want("v2")
	used := d.mem.arena.Size()
	require.NoError(t, d.Put(k, []byte("v3")))
	require.Equal(t, used, d.mem.arena.Size(), "what is newer than the deletion is overwritten")
	want("v3")
	var b Batch
	b.DeleteRange([]byte("a"), []byte("z"))
	b.Put(k, []byte("v4"))
	require.NoError(t, d.Apply(&b, nil))
	want("v4")
	require.NoError(t, d.Close())
	d = mustOpen(t, o)
	want("v4")
	require.NoError(t, d.Close())
}

// queueUp starts an Apply for each batch and lets them go on once all wait, in this
// order, so that they are one group.
func queueUp(t *testing.T, d *DB, batches []*Batch) []error {
	t.Helper()
	errs := make([]error, len(batches))
	waiting := func() int {
		d.commits.mu.Lock()
		defer d.commits.mu.Unlock()
		return len(d.commits.pending)
	}
	var wg sync.WaitGroup
	require.NoError(t, d.exclusive(func() error {
		for i, b := range batches {
			wg.Go(func() { errs[i] = d.Apply(b, nil) })
			for waiting() <= i {
				time.Sleep(10 * time.Microsecond)
			}
		}
		return nil
	}))
	wg.Wait()
	return errs
}

// TestInPlaceGroup has groups so large that their members would insert at once: of the
// values of a key the last one stays.
func TestInPlaceGroup(t *testing.T) {
	d := mustOpen(t, &Options{FS: vfs.NewMem(), InPlaceUpdate: true, WriteBufferSize: 8 << 20, Backing: arena.GoHeap,
		BlockCacheSize: 1 << 20, TablesSize: 1 << 20})
	for range 10 {
		var batches []*Batch
		for i := range 6 {
			b := new(Batch)
			b.Put([]byte("k"), bytes.Repeat([]byte{'0' + byte(i)}, parallelGroup/4))
			batches = append(batches, b)
		}
		for _, err := range queueUp(t, d, batches) {
			require.NoError(t, err)
		}
		v, err := d.Get([]byte("k"))
		require.NoError(t, err)
		require.Equal(t, "5", string(v[:1]), "the last one's")
	}
	require.Zero(t, d.Stats().Flushes)
	require.NoError(t, d.Close())
}
