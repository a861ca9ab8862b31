package lsm

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/lsm/vfs"
)

// TestIteratorVersions walks few keys with very many versions, tombstones and range
// tombstones, as several snapshots saw them, in both directions, and compares with
// maps.
func TestIteratorVersions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := small(vfs.NewMem())
		o.WriteBufferSize = 1 << 20
		d, err := Open("db", o)
		require.NoError(t, err)
		type moment struct {
			s     *Snapshot
			model map[string]string
		}
		model := map[string]string{}
		var moments []moment
		keep := func() {
			s, err := d.NewSnapshot()
			require.NoError(t, err)
			m := map[string]string{}
			for k, v := range model {
				m[k] = v
			}
			moments = append(moments, moment{s, m})
		}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				require.NoError(t, d.DeleteRange([]byte(k), []byte(k+"\xff")))
				delete(model, k)
			case 1:
				require.NoError(t, d.Delete([]byte(k)))
				delete(model, k)
			case 2:
				require.NoError(t, d.Flush())
			case 3:
				keep()
			default:
				for i := range rapid.IntRange(1, 40).Draw(t, "versions") {
					v := fmt.Sprintf("%s-%d-%d", k, i, len(moments))
					require.NoError(t, d.Put([]byte(k), []byte(v)))
					model[k] = v
				}
			}
		}
		keep()
		require.NoError(t, d.Put([]byte("a"), []byte("too new")))
		for _, m := range moments {
			it, err := m.s.NewIter(nil)
			require.NoError(t, err)
			var want []string
			for _, k := range []string{"a", "b", "c", "d"} {
				if v, ok := m.model[k]; ok {
					want = append(want, k+"="+v)
				}
			}
			var got, back []string
			for k, v := range it.All() {
				got = append(got, string(k)+"="+string(v))
			}
			for ok := it.Last(); ok; ok = it.Prev() {
				back = append([]string{string(it.Key()) + "=" + string(it.Value())}, back...)
			}
			require.Equal(t, want, got)
			require.Equal(t, want, back)
			// Turning round on every key.
			for i, ok := 0, it.First(); ok; i, ok = i+1, it.Next() {
				require.Equal(t, want[i], string(it.Key())+"="+string(it.Value()))
				require.Equal(t, i > 0, it.Prev())
				require.True(t, it.Next())
				require.Equal(t, want[i], string(it.Key())+"="+string(it.Value()))
			}
			require.NoError(t, it.Close())
			require.NoError(t, m.s.Close())
		}
		require.NoError(t, d.Close())
	})
}

// TestPrevPassesNewerVersions turns round on a key that was written thousands of times
// since: the step back is a seek.
func TestPrevPassesNewerVersions(t *testing.T) {
	o := small(vfs.NewMem())
	var compared atomic.Int64
	b := BytewiseComparer()
	o.Comparer = &Comparer{Name: "counted", Compare: func(x, y []byte) int {
		compared.Add(1)
		return b.Compare(x, y)
	}}
	o.WriteBufferSize = 4 << 20
	d := mustOpen(t, o)
	for _, key := range []string{"a", "b"} {
		require.NoError(t, d.Put([]byte(key), nil))
	}
	it, err := d.NewIter(nil)
	require.NoError(t, err)
	require.True(t, it.SeekGE([]byte("b")))
	for range 10_000 {
		require.NoError(t, d.Put([]byte("b"), nil))
	}
	compared.Store(0)
	require.True(t, it.Prev())
	require.Equal(t, "a", string(it.Key()))
	require.Less(t, compared.Load(), int64(500))
	require.NoError(t, it.Close())
	require.NoError(t, d.Close())
}
