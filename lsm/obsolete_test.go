package lsm

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestObsoleteAfterIterator has an iterator hold tables that a compaction replaces:
// they are removed once it is closed, though nothing else happens then.
func TestObsoleteAfterIterator(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.MaxCompactions = -1
	d := mustOpen(t, o)
	for range 3 {
		require.NoError(t, d.Put([]byte("a"), []byte("b")))
		require.NoError(t, d.Flush())
	}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.NoError(t, d.CompactRange(nil, nil))
	time.Sleep(10 * time.Millisecond) // what is free already is removed
	require.Len(t, names(t, mem, filename.Table), 4)
	require.NoError(t, it.Close())
	require.Eventually(t, func() bool { return len(names(t, mem, filename.Table)) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, d.Close())
}
