package lsm

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchDB opens a store in a directory of its own and closes it at the end.
func benchDB(b testing.TB, o *Options) *DB {
	b.Helper()
	d, err := Open(b.TempDir(), o)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close()) })
	return d
}

// benchKey makes a key of 16 bytes: i itself, or scattered.
func benchKey(key []byte, i int, order string) []byte {
	n := uint64(i)
	if order == "random" {
		n *= 0x9e3779b97f4a7c15
	}
	return binary.BigEndian.AppendUint64(append(key[:0], "bench:id"...), n)
}

func BenchmarkPut(b *testing.B) {
	for _, level := range []Durability{OS, Buffered} {
		for _, order := range []string{"seq", "random"} {
			b.Run(fmt.Sprintf("durability=%v/order=%s", level, order), func(b *testing.B) {
				d := benchDB(b, &Options{Durability: level})
				key, value := make([]byte, 0, 16), make([]byte, 100)
				b.SetBytes(116)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					key = benchKey(key, i, order)
					if err := d.Put(key, value); err != nil {
						b.Fatal(err)
					}
					i++
				}
				b.ReportMetric(d.Stats().WriteAmplification, "write-amp")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	const n = 200_000
	for _, where := range []string{"memtable", "table"} {
		b.Run("where="+where, func(b *testing.B) {
			d := benchDB(b, nil)
			var batch Batch
			key, buf := make([]byte, 0, 16), make([]byte, 0, 128)
			for i := range n {
				batch.Put(benchKey(key, i, "random"), make([]byte, 100))
			}
			require.NoError(b, d.Apply(&batch, nil))
			if where == "table" {
				require.NoError(b, d.CompactRange(nil, nil))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				var err error
				if buf, err = d.AppendTo(buf[:0], benchKey(key, i*7919%n, "random")); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	const n = 200_000
	d := benchDB(b, nil)
	var batch Batch
	for i := range n {
		batch.Put(benchKey(nil, i, "random"), make([]byte, 100))
	}
	require.NoError(b, d.Apply(&batch, nil))
	require.NoError(b, d.CompactRange(nil, nil))
	for _, dir := range []string{"forward", "backward"} {
		b.Run("direction="+dir, func(b *testing.B) {
			it, err := d.NewIter(nil)
			require.NoError(b, err)
			first, next := it.First, it.Next
			if dir == "backward" {
				first, next = it.Last, it.Prev
			}
			b.ReportAllocs()
			ok := false
			for b.Loop() {
				if ok = ok && next(); !ok {
					ok = first()
				}
			}
			require.NoError(b, it.Close())
		})
	}
}

// BenchmarkGCTrap shows what moving data off the Go heap does to a program that
// goes on allocating. With a map of the data on the heap the live heap is large and
// collections are few and long. With the data in a store the live heap is small, so
// GOGC=100 collects at every few megabytes: more often by the ratio of the heaps.
// A memory limit with GOGC=off makes collections few and short.
func BenchmarkGCTrap(b *testing.B) {
	const n = 200_000
	for _, c := range []struct {
		data, gc string
	}{{"map", "100"}, {"store", "100"}, {"store", "limit"}} {
		b.Run(fmt.Sprintf("data=%s/gogc=%s", c.data, c.gc), func(b *testing.B) {
			var keep map[string][]byte
			if c.data == "map" {
				keep = make(map[string][]byte, n)
				for i := range n {
					keep[string(benchKey(nil, i, "random"))] = make([]byte, 100)
				}
			} else {
				d := benchDB(b, nil)
				for i := range n {
					require.NoError(b, d.Put(benchKey(nil, i, "random"), make([]byte, 100)))
				}
			}
			if c.gc == "limit" {
				defer debug.SetGCPercent(debug.SetGCPercent(-1))
				defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var sink [64][]byte
			i := 0
			for b.Loop() { // the program's own work: short-lived garbage
				sink[i%len(sink)] = make([]byte, 8<<10)
				i++
			}
			runtime.ReadMemStats(&after)
			gib := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 30)
			b.ReportMetric(float64(after.NumGC-before.NumGC)/gib, "gcs/GiB")
			b.ReportMetric(float64(after.HeapAlloc)/(1<<20), "heap-MiB")
			runtime.KeepAlive(keep)
		})
	}
}
