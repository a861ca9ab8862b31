package table

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/lsm/internal/filter"
	"github.com/memlab-go/memlab/lsm/internal/keys"
	"github.com/memlab-go/memlab/lsm/vfs"
)

const benchEntries = 200_000

// benchTable writes a table of 16-byte keys and half-compressible values of 100
// bytes to a real file and opens it with a cache of the given size.
func benchTable(b *testing.B, comp Compression, budget int, mmap bool) *Reader {
	b.Helper()
	d, err := vfs.OS().OpenDir(b.TempDir(), false)
	require.NoError(b, err)
	f, err := d.Create("000001.ldb")
	require.NoError(b, err)
	w := NewWriter(f, &WriterOptions{Compression: comp, BitsPerKey: 10})
	rng := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 100)
	for i := range benchEntries {
		for j := range value {
			value[j] = ' '
			if j%2 == 0 {
				value[j] = byte(rng.Uint32())
			}
		}
		for j := range 50 {
			value[50+j] = value[j]
		}
		require.NoError(b, w.Add(keys.Make(benchKey(nil, i), keys.SeqNum(i+1), keys.KindSet), value))
	}
	_, err = w.Finish()
	require.NoError(b, err)
	require.NoError(b, f.Close())
	rf, err := d.Open("000001.ldb")
	require.NoError(b, err)
	r, err := Open(rf, &ReaderOptions{Cache: newCache(b, budget), FileName: filepath.Base("000001.ldb"), Mmap: mmap})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, r.Close()) })
	return r
}

func benchKey(dst []byte, i int) []byte { return fmt.Appendf(dst[:0], "%016d", i) }

func BenchmarkGet(b *testing.B) {
	for _, comp := range []Compression{Snappy, None} {
		for _, cfg := range []struct {
			name   string
			budget int
			mmap   bool
		}{{"hit", 64 << 20, false}, {"miss", 1 << 20, false}, {"mmap", 1 << 20, true}} {
			r := benchTable(b, comp, cfg.budget, cfg.mmap)
			for _, absent := range []bool{false, true} {
				b.Run(fmt.Sprintf("comp=%v/cache=%s/absent=%v", comp, cfg.name, absent), func(b *testing.B) {
					benchGet(b, r, absent)
				})
			}
		}
	}
}

func benchGet(b *testing.B, r *Reader, absent bool) {
	rng := rand.New(rand.NewPCG(2, 2))
	probes := make([][]byte, 1<<14)
	for i := range probes {
		user := benchKey(nil, rng.IntN(benchEntries))
		if absent {
			user = append(user, '.')
		}
		probes[i] = keys.Make(user, keys.MaxSeqNum, keys.KindSeek)
	}
	for _, p := range probes {
		var res Result
		_, err := r.Get(p, 0, &res)
		require.NoError(b, err)
		res.Release()
	}
	b.ReportAllocs()
	var res Result
	i := 0
	for b.Loop() {
		p := probes[i&(len(probes)-1)]
		i++
		ok, err := r.Get(p, filter.Hash(keys.User(p)), &res)
		if err != nil || ok == absent {
			b.Fatal(ok, err)
		}
		res.Release()
	}
}

func BenchmarkIter(b *testing.B) {
	for _, budget := range []int{64 << 20, 1 << 20} {
		r := benchTable(b, Snappy, budget, false)
		b.Run(fmt.Sprintf("op=next/cache=%d", budget), func(b *testing.B) {
			b.ReportAllocs()
			it := r.NewIter(nil)
			for b.Loop() {
				if !it.Next() && !it.First() {
					b.Fatal(it.Err())
				}
			}
			require.NoError(b, it.Close())
		})
		b.Run(fmt.Sprintf("op=prev/cache=%d", budget), func(b *testing.B) {
			b.ReportAllocs()
			it := r.NewIter(nil)
			for b.Loop() {
				if !it.Prev() && !it.Last() {
					b.Fatal(it.Err())
				}
			}
			require.NoError(b, it.Close())
		})
		b.Run(fmt.Sprintf("op=seek/cache=%d", budget), func(b *testing.B) {
			b.ReportAllocs()
			it := r.NewIter(nil)
			rng := rand.New(rand.NewPCG(2, 2))
			key := keys.Make(benchKey(nil, 0), keys.MaxSeqNum, keys.KindSeek)
			for b.Loop() {
				copy(key, benchKey(nil, rng.IntN(benchEntries)))
				if !it.SeekGE(key) {
					b.Fatal(it.Err())
				}
			}
			require.NoError(b, it.Close())
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, comp := range []Compression{Snappy, None, Zstd} {
		b.Run(fmt.Sprintf("comp=%v", comp), func(b *testing.B) {
			value := make([]byte, 100)
			w := NewWriter(discard{}, &WriterOptions{Compression: comp, BitsPerKey: 10})
			b.SetBytes(116)
			i := 0
			key := keys.Make(benchKey(nil, 0), 1, keys.KindSet)
			for b.Loop() {
				i++
				for j, x := 15, i; j >= 0; j, x = j-1, x/10 {
					key[j] = byte('0' + x%10)
				}
				if err := w.Add(key, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
