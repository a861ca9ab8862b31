package lsm

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/arena/arenatest"
	"github.com/memlab-go/memlab/lsm/internal/filename"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestListenerEnds has a listener that ends the goroutine of a write, or panics, while
// other writes wait behind it or in its group: they come to an end, later ones work,
// and the store can be closed.
func TestListenerEnds(t *testing.T) {
	for name, end := range map[string]func(){"goexit": runtime.Goexit, "panic": func() { panic("listener") }} {
		t.Run(name, func(t *testing.T) {
			var d *DB
			behind := make(chan error, 3)
			left := 1
			o := small(vfs.NewMem())
			o.L0CompactionTrigger, o.L0SlowdownTrigger, o.L0StopTrigger = 100, 1, 200
			o.Events = func(e Event) {
				if e.Kind != StallBegin || left == 0 {
					return
				}
				left--
				for i := range cap(behind) {
					go func() { behind <- d.Put([]byte{'0' + byte(i)}, []byte("later")) }()
				}
				for waiting := 0; waiting < cap(behind); time.Sleep(time.Millisecond) {
					d.commits.mu.Lock()
					waiting = len(d.commits.pending)
					d.commits.mu.Unlock()
				}
				end()
			}
			d = mustOpen(t, o)
			require.NoError(t, d.Put([]byte("a"), []byte("1")))
			require.NoError(t, d.Flush())
			ended := make(chan bool)
			go func() {
				defer close(ended)
				defer func() { _ = recover() }()
				_ = d.Put([]byte("a"), []byte("2"))
				t.Error("Put returned")
			}()
			<-ended
			closed := make(chan error)
			go func() {
				for range cap(behind) {
					if err := <-behind; err != nil {
						t.Error(err)
					}
				}
				closed <- d.Close()
			}()
			select {
			case err := <-closed:
				require.NoError(t, err)
			case <-time.After(10 * time.Second):
				t.Fatal("the store hangs")
			}
			d = mustOpen(t, o)
			v, err := d.Get([]byte("a"))
			require.NoError(t, err)
			require.Equal(t, "1", string(v))
			require.NoError(t, d.Close())
		})
	}
}

// TestListenerEndsGroup has the leader of a group end: the members fail.
func TestListenerEndsGroup(t *testing.T) {
	o := small(vfs.NewMem())
	o.L0CompactionTrigger, o.L0SlowdownTrigger, o.L0StopTrigger = 100, 1, 200
	left := 1
	o.Events = func(e Event) {
		if e.Kind == StallBegin && left > 0 {
			left--
			runtime.Goexit()
		}
	}
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("a"), nil))
	require.NoError(t, d.Flush())
	var batches []*Batch
	for i := range 3 {
		batches = append(batches, new(Batch))
		batches[i].Put([]byte{'0' + byte(i)}, nil)
	}
	errs := queueUp(t, d, batches)
	require.NoError(t, errs[0], "it did not come back")
	require.ErrorIs(t, errs[1], errAbandoned)
	require.ErrorIs(t, errs[2], errAbandoned)
	require.NoError(t, d.Put([]byte("b"), nil))
	_, err := d.Get([]byte("1"))
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, d.Close())
}

// TestListenerEndsLate has the listener end a write when it has a new memtable, and
// when the store latches: nothing stays mapped after Close.
func TestListenerEndsLate(t *testing.T) {
	for _, kind := range []EventKind{StallEnd, Latched} {
		t.Run(kind.String(), func(t *testing.T) {
			in := vfs.NewInjector(vfs.NewMem())
			in.Decide(func(c vfs.Call) *vfs.Fault {
				if k, _ := filename.Parse(c.Name); c.Op != vfs.OpSync {
					return nil
				} else if k == filename.Table {
					time.Sleep(2 * time.Millisecond) // flushes are slow
				} else if k == filename.Log && kind == Latched {
					return &vfs.Fault{Err: syscall.EIO}
				}
				return nil
			})
			p := arenatest.New()
			o := small(in)
			o.Backing, o.guard, o.pager, o.MaxCompactions = arena.Mmap, false, p, -1
			o.Events = func(e Event) {
				if e.Kind == kind {
					runtime.Goexit()
				}
			}
			d := mustOpen(t, o)
			var wg sync.WaitGroup
			returned := false
			wg.Go(func() {
				for i := range 100 {
					_ = d.Put([]byte{byte(i)}, make([]byte, 1500))
				}
				returned = true
			})
			wg.Wait()
			require.False(t, returned, "there was no such event")
			require.NoError(t, d.Close())
			require.NoError(t, p.Check())
		})
	}
}

// TestListenerEndsCompaction has the listener end a CompactRange: the next one does it.
func TestListenerEndsCompaction(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxCompactions = -1
	left := 1
	o.Events = func(e Event) {
		if e.Kind == CompactionBegin && left > 0 {
			left--
			runtime.Goexit()
		}
	}
	d := mustOpen(t, o)
	for range 2 {
		require.NoError(t, d.Put([]byte("a"), nil))
		require.NoError(t, d.Flush())
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = d.CompactRange(nil, nil) })
	wg.Wait()
	require.Zero(t, left)
	require.NoError(t, d.CompactRange(nil, nil))
	require.Empty(t, d.version.levels[0])
	require.NoError(t, d.Close())
}
