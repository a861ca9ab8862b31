package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
)

// A usage is what the process has used so far.
type usage struct {
	alloc uint64  // bytes the Go heap gave out
	heap  int64   // live bytes at the last collection
	cpu   float64 // processor seconds of the process, user and system
	gc    float64 // processor seconds of the collector, without idle processors that helped
	read  float64 // bytes read by system calls
	wrote float64 // bytes of the files' pages made dirty, mapped ones included
}

func sample() usage {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	metrics.Read(s)
	return usage{alloc: s[0].Value.Uint64(), heap: int64(s[1].Value.Uint64()), cpu: cpuSeconds(),
		gc: s[2].Value.Float64() - s[3].Value.Float64(), read: procField("io", "rchar:"), wrote: wroteBytes()}
}

// wroteBytes returns what the process has sent towards the disk: pages that it made
// dirty, which counts mapped files too, or, on file systems without a disk, what
// it has handed to write(2).
func wroteBytes() float64 {
	if v := procField("io", "write_bytes:"); v > 0 {
		return v
	}
	return procField("io", "wchar:")
}

// ticksPerSecond is the unit of /proc/self/stat on every Linux.
const ticksPerSecond = 100

// cpuSeconds returns what all threads have used so far, 0 where /proc does not
// say.
func cpuSeconds() float64 {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, uerr := strconv.ParseFloat(f[11], 64)
	system, serr := strconv.ParseFloat(f[12], 64)
	if uerr != nil || serr != nil {
		return 0
	}
	return (user + system) / ticksPerSecond
}

// A footprint is what an engine took over all its workloads. Fields are -1
// where the system does not say.
type footprint struct {
	Engine   string  `json:"engine"`
	PeakRSS  float64 `json:"peak_rss_mib"`
	PeakAnon float64 `json:"peak_anon_mib"`
	GoHeap   float64 `json:"go_heap_mib"`
	WriteAmp float64 `json:"write_amplification"`
	SpaceAmp float64 `json:"space_amplification"`
}

const mib = 1 << 20

// procField reads a number from a file of /proc/self, -1 when it is not there.
func procField(file, name string) float64 {
	b, err := os.ReadFile(filepath.Join("/proc/self", file))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == name {
			if v, err := strconv.ParseFloat(f[1], 64); err == nil {
				return v
			}
		}
	}
	return -1
}

func dirSize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go while an engine is open
		}
		if info, err := d.Info(); err == nil {
			size += diskSize(info)
		}
		return nil
	})
	return size
}
