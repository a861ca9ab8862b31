package lsm

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
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

// benchFill writes n scattered entries of 16+100 bytes.
func benchFill(b testing.TB, d *DB, n int) {
	b.Helper()
	var batch Batch
	var key []byte
	value := make([]byte, 100)
	for i := range n {
		key = benchKey(key, i, "random")
		batch.Put(key, value)
		if batch.Len() == 1000 || i == n-1 {
			require.NoError(b, d.Apply(&batch, nil))
			batch.Reset()
		}
	}
}

// BenchmarkApply writes batches of scattered entries from several goroutines at once;
// the times are for one entry.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 100} {
		for _, writers := range []int{1, 4} {
			b.Run(fmt.Sprintf("batch=%d/writers=%d", size, writers), func(b *testing.B) {
				d := benchDB(b, nil)
				b.SetBytes(116)
				b.ReportAllocs()
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range writers {
					wg.Go(func() {
						var batch Batch
						key, value := make([]byte, 0, 16), make([]byte, 100)
						for {
							end := int(next.Add(int64(size)))
							for i := end - size; i < min(end, b.N); i++ {
								key = benchKey(key, i, "random")
								batch.Put(key, value)
							}
							if batch.Len() == 0 {
								return
							}
							if err := d.Apply(&batch, nil); err != nil {
								b.Error(err)
								return
							}
							batch.Reset()
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// BenchmarkGet reads keys that a memtable has, that a table has, and that no
// table has within bounds of those there are.
func BenchmarkGet(b *testing.B) {
	const n = 200_000
	for _, where := range []string{"memtable", "table", "nowhere"} {
		b.Run("where="+where, func(b *testing.B) {
			d := benchDB(b, nil)
			benchFill(b, d, n)
			if where != "memtable" {
				require.NoError(b, d.CompactRange(nil, nil))
			}
			key, buf := make([]byte, 0, 17), make([]byte, 0, 128)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				key = benchKey(key, i*7919%n, "random")
				if where == "nowhere" {
					key = append(key, '.')
				}
				var err error
				if buf, err = d.AppendTo(buf[:0], key); (err != nil) != (where == "nowhere") {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(d.Stats().ReadAmplification, "read-amp")
		})
	}
}

// BenchmarkSeek seeks a key and reads the ten entries from there on, with one
// iterator for all seeks and with one for each.
func BenchmarkSeek(b *testing.B) {
	const n = 200_000
	d := benchDB(b, nil)
	benchFill(b, d, n)
	require.NoError(b, d.CompactRange(nil, nil))
	for _, iter := range []string{"kept", "new"} {
		b.Run("iter="+iter, func(b *testing.B) {
			it, err := d.NewIter(nil)
			require.NoError(b, err)
			key := make([]byte, 0, 16)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if iter == "new" {
					if err := it.Close(); err != nil {
						b.Fatal(err)
					}
					if it, err = d.NewIter(nil); err != nil {
						b.Fatal(err)
					}
				}
				key = benchKey(key, i*7919%n, "random")
				ok := it.SeekGE(key)
				for j := 0; ok && j < 10; j++ {
					ok = it.Next()
				}
				i++
			}
			require.NoError(b, it.Close())
		})
	}
}

func BenchmarkScan(b *testing.B) {
	const n = 200_000
	d := benchDB(b, nil)
	benchFill(b, d, n)
	require.NoError(b, d.CompactRange(nil, nil))
	for _, dir := range []string{"forward", "backward"} {
		b.Run("direction="+dir, func(b *testing.B) {
			it, err := d.NewIter(nil)
			require.NoError(b, err)
			first, next := it.First, it.Next
			if dir == "backward" {
				first, next = it.Last, it.Prev
			}
			b.SetBytes(116)
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

// BenchmarkCompact merges the tables of three flushes; the times are for one entry.
func BenchmarkCompact(b *testing.B) {
	const n = 100_000
	b.SetBytes(116)
	for range b.N/(3*n) + 1 {
		b.StopTimer()
		d := benchDB(b, &Options{MaxCompactions: -1})
		for range 3 {
			benchFill(b, d, n)
			require.NoError(b, d.Flush())
		}
		b.StartTimer()
		require.NoError(b, d.CompactRange(nil, nil))
	}
}

// BenchmarkForcedGC collects with nothing live, with a map of the entries on the
// heap, and with the entries in a store.
func BenchmarkForcedGC(b *testing.B) {
	const n = 200_000
	for _, data := range []string{"none", "map", "store"} {
		b.Run("data="+data, func(b *testing.B) {
			keep := benchData(b, data, n)
			for b.Loop() {
				runtime.GC()
			}
			b.ReportMetric(float64(scannable())/(1<<20), "scan-MiB")
			runtime.KeepAlive(keep)
		})
	}
}

// benchData keeps n entries in a map, whose keys and values lie on the Go heap, or
// in a store, or nowhere. The map is the caller's to keep alive.
func benchData(b *testing.B, where string, n int) map[string][]byte {
	switch where {
	case "map":
		keep := make(map[string][]byte, n)
		for i := range n {
			keep[string(benchKey(nil, i, "random"))] = make([]byte, 100)
		}
		return keep
	case "store":
		benchFill(b, benchDB(b, nil), n)
	}
	runtime.GC()
	return nil
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
			keep := benchData(b, c.data, n)
			if c.gc == "limit" {
				defer debug.SetGCPercent(debug.SetGCPercent(-1))
				defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			gcBefore := gcSeconds()
			var sink [64][]byte
			i := 0
			for b.Loop() { // the program's own work: short-lived garbage
				sink[i%len(sink)] = make([]byte, 8<<10)
				i++
			}
			runtime.ReadMemStats(&after)
			gib := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 30)
			b.ReportMetric(float64(after.NumGC-before.NumGC)/gib, "gcs/GiB")
			b.ReportMetric((gcSeconds()-gcBefore)*1e3/gib, "gc-cpu-ms/GiB")
			b.ReportMetric(float64(after.HeapAlloc)/(1<<20), "heap-MiB")
			runtime.KeepAlive(keep)
		})
	}
}

// gcSeconds returns the processor time that the collector has taken, without idle
// processors that helped. It is brought up to date by each collection.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64()
}
