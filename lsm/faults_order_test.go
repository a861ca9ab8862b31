package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/lsm/vfs"
)

func testTombstones(t *testing.T) {
	o := small(vfs.NewMem())
	d := mustOpen(t, o)
	key := []byte("k")
	require.NoError(t, d.Put(key, []byte("old")))
	require.NoError(t, d.CompactRange(nil, nil)) // to level 1
	require.NoError(t, d.Put([]byte("a"), nil))
	require.NoError(t, d.Put([]byte("z"), nil))
	s1, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, d.Delete(key))
	s2, err := d.NewSnapshot()
	require.NoError(t, err)
	require.NoError(t, d.Put(key, []byte("new")))
	require.NoError(t, d.DeleteRange([]byte("j"), []byte("l")))
	check := func() {
		t.Helper()
		v, err := s1.Get(key)
		require.NoError(t, err)
		require.Equal(t, "old", string(v))
		_, err = s2.Get(key)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = d.Get(key)
		require.ErrorIs(t, err, ErrNotFound)
	}
	check()
	require.NoError(t, d.Flush())
	check()
	require.NoError(t, d.CompactRange(nil, nil))
	check()
	require.NoError(t, s1.Close())
	require.NoError(t, s2.Close())
	require.NoError(t, d.CompactRange(nil, nil))
	_, err = d.Get(key)
	require.ErrorIs(t, err, ErrNotFound, "the deleted key came back")
	require.NoError(t, d.Close())
	d = mustOpen(t, o)
	_, err = d.Get(key)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, d.Close())
}

func testClock(t *testing.T) {
	dir := t.TempDir()
	h := crashHistory()
	for round := range 4 {
		o := small(nil)
		d, err := Open(dir, o)
		require.NoError(t, err)
		require.Equal(t, 30*round, h.check(t, d))
		for i := 30*round + 1; i <= 30*round+30; i++ {
			require.NoError(t, h.step(d, i, OS))
		}
		require.NoError(t, d.Close())
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for i, f := range files { // every file from another year, newer ones older
			at := time.Date(2040-10*round-i, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600*i%40000))
			require.NoError(t, os.Chtimes(filepath.Join(dir, f.Name()), at, at))
		}
	}
}

func testConcurrentClose(t *testing.T) {
	for range 20 {
		mem := vfs.NewMem()
		o := small(mem)
		o.Backing = arena.GoHeap
		d := mustOpen(t, o)
		makeTable(t, mem, "a", map[string]string{"in 1": "a", "in 2": "b"})
		var wg sync.WaitGroup
		fine := func(err error) bool {
			return err == nil || errors.Is(err, ErrNotFound)
		}
		busy, closed := make(chan bool), make(chan bool)
		for g := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					k := fmt.Appendf(nil, "%d", (i*7+g)%50)
					var err error
					switch g {
					case 0:
						err = d.Put(k, bytes.Repeat(k, 20))
					case 1:
						_, err = d.Get(k)
					case 2: // open iterators hold Close up: none are made once it has met one
						select {
						case <-busy:
							<-closed
						default:
						}
						var it *Iterator
						if it, err = d.NewIter(nil); err == nil {
							it.SeekGE(k)
							it.Next()
							err = it.Close()
						}
					case 3:
						err = d.Flush()
					case 4:
						err = d.CompactRange(nil, nil)
					case 5:
						err = d.IngestTable("in/a")
					case 6:
						err = d.Checkpoint(fmt.Sprintf("copy %d", i))
					case 7:
						err = d.Check()
						_ = d.Stats()
					}
					if !fine(err) {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		err := d.Close()
		if errors.Is(err, ErrBusy) {
			close(busy)
			for ; errors.Is(err, ErrBusy); err = d.Close() {
				time.Sleep(time.Millisecond)
			}
		}
		close(closed)
		require.NoError(t, err)
		wg.Wait()
	}
}
