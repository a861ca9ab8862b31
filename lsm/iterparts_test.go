package lsm

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestIteratorParts makes iterators one after the other over stores of different
// shapes, whose parts are used again: each sees its own moment, a closed one stays
// closed, and one costs one allocation.
func TestIteratorParts(t *testing.T) {
	d := mustOpen(t, small(vfs.NewMem()))
	defer func() { require.NoError(t, d.Close()) }()
	count := func(it *Iterator) (n int) {
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		require.NoError(t, it.Err())
		return n
	}
	var closed []*Iterator
	for n := 1; n <= 300; n++ {
		require.NoError(t, d.Put(fmt.Appendf(nil, "key%05d", n), make([]byte, 100)))
		switch {
		case n%40 == 0:
			require.NoError(t, d.CompactRange(nil, nil))
		case n%7 == 0:
			require.NoError(t, d.Flush())
		}
		a, err := d.NewIter(nil)
		require.NoError(t, err)
		b, err := d.NewIter(&IterOptions{LowerBound: []byte("key00002")})
		require.NoError(t, err)
		require.Equal(t, n, count(a))
		require.Equal(t, n-1, count(b))
		require.True(t, a.Last())
		require.Equal(t, fmt.Sprintf("key%05d", n), string(a.Key()))
		require.NoError(t, a.Close())
		require.Equal(t, n-1, count(b))
		require.NoError(t, b.Close())
		closed = append(closed, a, b)
	}
	live, err := d.NewIter(nil)
	require.NoError(t, err)
	require.True(t, live.First())
	for _, it := range closed {
		require.False(t, it.First() || it.Next() || it.Prev() || it.SeekGE([]byte("key00001")) || it.Valid())
		require.Nil(t, it.Key())
		require.Nil(t, it.Value())
		require.ErrorIs(t, it.Err(), ErrClosed)
	}
	require.Equal(t, "key00001", string(live.Key()))
	require.NoError(t, live.Close())
	if raceEnabled {
		return // the detector makes pools forget
	}
	allocs := testing.AllocsPerRun(100, func() {
		it, err := d.NewIter(nil)
		require.NoError(t, err)
		it.SeekGE([]byte("key00100"))
		it.Next()
		require.NoError(t, it.Close())
	})
	require.LessOrEqual(t, allocs, 2.0)
}

// TestIteratorPartsConcurrent makes and closes iterators in many goroutines.
func TestIteratorPartsConcurrent(t *testing.T) {
	d := mustOpen(t, small(vfs.NewMem()))
	defer func() { require.NoError(t, d.Close()) }()
	const n = 200
	for i := range n {
		require.NoError(t, d.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 100)))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				it, err := d.NewIter(nil)
				if err != nil {
					t.Error(err)
					return
				}
				k := fmt.Sprintf("key%05d", (g*100+i)%n)
				if !it.SeekGE([]byte(k)) || string(it.Key()) != k {
					t.Errorf("sought %s, found %q", k, it.Key())
				}
				if err := it.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
