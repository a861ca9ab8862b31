package lsm

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestCloseIsDecidedOnce has a Close wait for a flush. Meanwhile no iterator and no
// snapshot is opened, which would outlive the store, and another Close ends when the
// first one does.
func TestCloseIsDecidedOnce(t *testing.T) {
	in := vfs.NewInjector(vfs.NewMem())
	o := small(in)
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("a"), []byte("1")))
	flushing, goOn := make(chan bool), make(chan bool)
	var once sync.Once
	in.Decide(func(c vfs.Call) *vfs.Fault {
		if kind, _ := filename.Parse(c.Name); kind == filename.Table && c.Op == vfs.OpSync {
			once.Do(func() { close(flushing); <-goOn })
		}
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.Flush() })
	<-flushing
	snap, err := d.NewSnapshot()
	require.NoError(t, err)
	require.ErrorIs(t, d.Close(), ErrBusy)
	it, err := snap.NewIter(nil)
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	require.ErrorIs(t, d.Close(), ErrBusy)
	_, err = d.NewIter(&IterOptions{LowerBound: []byte("b"), UpperBound: []byte("a")})
	require.ErrorIs(t, err, ErrBadRange)
	require.NoError(t, it.Close())

	ended := make(chan error, 2)
	go func() { ended <- d.Close() }()
	<-d.closeCh
	go func() { ended <- d.Close() }()
	require.ErrorIs(t, d.Put([]byte("b"), nil), ErrClosed)
	_, err = d.NewSnapshot()
	require.ErrorIs(t, err, ErrClosed)
	_, err = d.NewIter(nil)
	require.ErrorIs(t, err, ErrClosed)
	require.Zero(t, d.openIters.Load())
	require.Empty(t, ended, "the flush goes on")
	close(goOn)
	require.NoError(t, <-ended)
	d2, err := Open("db", o)
	require.NoError(t, err, "the directory is free, whichever Close it was")
	require.NoError(t, <-ended)
	wg.Wait()
	require.NoError(t, d2.Close())
}
