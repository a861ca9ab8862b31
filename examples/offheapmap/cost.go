package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"time"
)

// A cost is what filling a map took.
type cost struct {
	fill   time.Duration
	gc     time.Duration // a collection while the data is alive
	cpu    time.Duration // processor time of the collector while filling
	cycles uint32        // collections while filling
	pause  time.Duration // the longest time that all goroutines stood still
	heap   int64         // bytes by which Go's live heap grew
}

// measure runs f, which returns a checksum and what must stay alive.
func measure(f func() (uint64, any)) (cost, uint64) {
	var before, filled, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, start := collectorTime(), time.Now()
	sum, keep := f()
	c := cost{fill: time.Since(start), cpu: collectorTime() - cpu}
	runtime.ReadMemStats(&filled)
	c.cycles = filled.NumGC - before.NumGC
	start = time.Now()
	runtime.GC()
	c.gc = time.Since(start)
	runtime.ReadMemStats(&after)
	for i := before.NumGC; i < after.NumGC; i++ {
		c.pause = max(c.pause, time.Duration(after.PauseNs[i%uint32(len(after.PauseNs))]))
	}
	c.heap = int64(after.HeapAlloc) - int64(before.HeapAlloc)
	runtime.KeepAlive(keep)
	return c, sum
}

// collectorTime returns the processor time that the collector has used, idle
// time left out. The runtime brings the figure up to date at each collection.
func collectorTime() time.Duration {
	s := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * float64(time.Second))
}

// report prints the costs side by side.
func report(w io.Writer, goMap, table cost) {
	fmt.Fprintln(w, "\nOn this machine, this time:")
	fmt.Fprintf(w, "%-44s %12s %12s\n", "", "Go map", "off heap")
	row := func(what string, a, b any) { fmt.Fprintf(w, "%-44s %12v %12v\n", what, a, b) }
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
	row("insert, update, delete, look up", ms(goMap.fill), ms(table.fill))
	row("one collection with the data alive", ms(goMap.gc), ms(table.gc))
	row("longest pause", ms(goMap.pause), ms(table.pause))
	row("collections while filling", goMap.cycles, table.cycles)
	row("processor time of the collector meanwhile", ms(goMap.cpu), ms(table.cpu))
	row("growth of Go's live heap", fmt.Sprintf("%.1f MiB", float64(goMap.heap)/(1<<20)),
		fmt.Sprintf("%.1f MiB", float64(table.heap)/(1<<20)))
	fmt.Fprintln(w, "\nWith the data gone from it, Go's heap is small and GOGC=100 collects it often in a program that")
	fmt.Fprintln(w, "allocates elsewhere; raise GOGC or set GOMEMLIMIT to what the machine has beside the data.")
}
