package lsm

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestCompactionsFail has a table that cannot be read, so that compactions fail again
// and again: writes, which wait for slow flushes, and Flush go on.
func TestCompactionsFail(t *testing.T) {
	in := vfs.NewInjector(vfs.NewMem())
	var bad atomic.Pointer[string]
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if name := bad.Load(); name != nil && c.Op == vfs.OpRead && c.Name == *name {
			return &vfs.Fault{Err: syscall.EIO}
		}
		if kind, _ := filename.Parse(c.Name); kind == filename.Table && c.Op == vfs.OpSync {
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	})
	o := small(in)
	o.L0CompactionTrigger, o.L0SlowdownTrigger, o.L0StopTrigger = 4, 900, 1000
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("a"), make([]byte, 3000)))
	require.NoError(t, d.Flush())
	name := d.version.levels[0][0].name()
	bad.Store(&name)
	put := func(i int) error { return d.Put(fmt.Appendf(nil, "a%d", i), make([]byte, 1500)) }
	for i := range 10 {
		require.NoError(t, put(i))
		require.NoError(t, d.Flush())
	}
	require.Eventually(t, func() bool { return d.failures(errCompaction) > 0 }, 5*time.Second, time.Millisecond)
	for i := range 40 {
		require.NoError(t, put(i))
	}
	require.NoError(t, d.Flush())
	require.Error(t, d.backgroundError(), "compactions still fail")
	require.NotEmpty(t, d.Stats().Warnings)
	bad.Store(nil)
	require.Eventually(t, func() bool { return d.CompactRange(nil, nil) == nil }, 5*time.Second, time.Millisecond)
	require.NoError(t, d.Check())
	require.NoError(t, d.Close())
}
