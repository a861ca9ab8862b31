package lsm

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// fickle is a comparer of its own name that panics while it is told to.
func fickle(panics *atomic.Bool) *Comparer {
	return &Comparer{Name: "test.Fickle", Compare: func(a, b []byte) int {
		if panics.Load() {
			panic("fickle")
		}
		return bytes.Compare(a, b)
	}}
}

// TestComparerPanics: a Comparer that panics, which somebody recovers from, leaves no write half done
// behind which others go on, and holds up nobody.
func TestComparerPanics(t *testing.T) {
	calls := map[string]func(d *DB) error{
		"put": func(d *DB) error { return d.Put([]byte("k3"), nil) },
		"delete range": func(d *DB) error {
			var b Batch
			b.DeleteRange([]byte("a"), []byte("b"))
			return d.Apply(&b, nil)
		},
		"get": func(d *DB) error { _, err := d.Get([]byte("k2")); return err },
		"seek": func(d *DB) error {
			it, err := d.NewIter(nil)
			if err != nil {
				return err
			}
			defer it.Close()
			it.SeekGE([]byte("k2"))
			return it.Err()
		},
	}
	for name, call := range calls {
		for _, flushed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/flushed=%t", name, flushed), func(t *testing.T) {
				var panics atomic.Bool
				o := small(vfs.NewMem())
				o.Comparer = fickle(&panics)
				d := mustOpen(t, o)
				for i := range 5 {
					require.NoError(t, d.Put([]byte(fmt.Sprint("k", i)), []byte("v")))
				}
				if flushed {
					require.NoError(t, d.Flush())
					require.NoError(t, d.Put([]byte("k9"), []byte("v")))
				}
				panics.Store(true)
				require.PanicsWithValue(t, "fickle", func() { _ = call(d) })
				panics.Store(false)
				err := d.Put([]byte("k7"), nil)
				if name == "put" || name == "delete range" {
					require.ErrorIs(t, err, ErrReadOnly)
				} else {
					require.NoError(t, err)
				}
				_, err = d.Get([]byte("k2"))
				require.NoError(t, err, "reads go on")
				closed := make(chan struct{})
				go func() { _ = d.Close(); close(closed) }()
				select {
				case <-closed:
				case <-time.After(20 * time.Second):
					t.Fatal("Close waits for ever")
				}
				d = mustOpen(t, o)
				for i := range 5 {
					_, err := d.Get([]byte(fmt.Sprint("k", i)))
					require.NoError(t, err)
				}
				require.NoError(t, d.Close())
			})
		}
	}
}

// TestComparerPanicsInOpen: an Open that ends so has let go of everything and can be repeated.
func TestComparerPanicsInOpen(t *testing.T) {
	mem := vfs.NewMem()
	var left atomic.Int64 // calls until one panics
	o := small(mem)
	o.Comparer = &Comparer{Name: "test.Fickle", Compare: func(a, b []byte) int {
		if left.Add(-1) == 0 {
			panic("fickle")
		}
		return bytes.Compare(a, b)
	}}
	d := mustOpen(t, o)
	for i := range 40 {
		require.NoError(t, d.Put(fmt.Appendf(nil, "k%d", i), make([]byte, 200)))
		if i%10 == 5 {
			require.NoError(t, d.Flush())
		}
	}
	require.NoError(t, d.DeleteRange([]byte("k3"), []byte("k4")))
	crashed := mem.CrashClone(1, 0)
	require.NoError(t, d.Close())
	for k := int64(1); ; k++ {
		fs := crashed.CrashClone(1, 0)
		o := *o
		o.FS, o.MaxCompactions = fs, -1
		left.Store(k)
		opened := false
		func() {
			defer func() { _ = recover() }()
			d, err := Open("db", &o)
			require.NoError(t, err)
			opened = left.Load() > 0
			left.Store(0)
			require.NoError(t, d.Close())
		}()
		left.Store(0)
		d := mustOpen(t, &o)
		for i := range 40 {
			_, err := d.Get(fmt.Appendf(nil, "k%d", i))
			if i == 3 || i/10 == 3 {
				require.ErrorIs(t, err, ErrNotFound)
				continue
			}
			require.NoError(t, err)
		}
		require.NoError(t, d.Close())
		if opened {
			require.Greater(t, k, int64(30))
			return
		}
	}
}

// TestComparerPanicsInGroup is the same for batches so large that each is inserted by its own
// goroutine.
func TestComparerPanicsInGroup(t *testing.T) {
	var panics atomic.Bool
	o := small(vfs.NewMem())
	o.Comparer, o.WriteBufferSize = fickle(&panics), 8<<20
	d := mustOpen(t, o)
	require.NoError(t, d.Put([]byte("k"), nil))
	var mu sync.Mutex
	var acked []string
	for round := range 8 {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				defer func() { _ = recover() }()
				var b Batch
				for i := range 100 {
					b.Put(fmt.Appendf(nil, "%d %d %d", round, g, i), make([]byte, 1000))
				}
				if d.Apply(&b, nil) == nil {
					mu.Lock()
					acked = append(acked, fmt.Sprintf("%d %d", round, g))
					mu.Unlock()
				}
			})
		}
		if round == 4 {
			panics.Store(true)
		}
		wg.Wait()
	}
	panics.Store(false)
	require.ErrorIs(t, d.Put([]byte("k"), nil), ErrReadOnly)
	require.NotEmpty(t, acked)
	for _, batch := range acked {
		for _, i := range []int{0, 99} {
			_, err := d.Get(fmt.Appendf(nil, "%s %d", batch, i))
			require.NoError(t, err, batch)
		}
	}
	_ = d.Close() // it says why
}
