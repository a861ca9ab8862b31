package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A result is one workload on one engine. A C++ engine leaves out what it does
// not have.
type result struct {
	Engine   string  `json:"engine"`
	Workload string  `json:"workload"`
	Ops      int64   `json:"ops"`
	OpsPerS  float64 `json:"ops_per_s"`
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	P999     float64 `json:"p999_us"`
	Found    int64   `json:"found"`
	AllocB   float64 `json:"alloc_bytes_per_op"`
	GCShare  float64 `json:"gc_cpu_share"`
	CPU      float64 `json:"cpu_us_per_op"` // of all threads, user and system; -1 where the system does not say
	WriteAmp float64 `json:"write_amp"`     // bytes towards the disk for each byte the user wrote; -1: none written
	ReadAmp  float64 `json:"read_amp"`      // bytes read from files for each byte the user got; -1: none, or files are mapped
}

// A run is the state of one engine while its workloads go by.
type run struct {
	name   string
	root   string
	dir    string
	c      config
	e      engine
	values *valueSource
	user   int64  // bytes of keys and values written
	got    int64  // bytes of keys and values that reads returned
	heap   int64  // largest live Go heap seen
	writes uint64 // workloads of writes so far
}

// workloadFuncs returns the workloads by name. Each returns how many operations it did.
func workloadFuncs() map[string]func(*run, *hist) (ops, found int64, err error) {
	m := map[string]func(*run, *hist) (int64, int64, error){
		"fillseq":          func(r *run, h *hist) (int64, int64, error) { return r.write(h, true, false) },
		"fillrandom":       func(r *run, h *hist) (int64, int64, error) { return r.write(h, false, false) },
		"overwrite":        func(r *run, h *hist) (int64, int64, error) { return r.write(h, false, false) },
		"deleterandom":     func(r *run, h *hist) (int64, int64, error) { return r.write(h, false, true) },
		"compact":          func(r *run, h *hist) (int64, int64, error) { return 1, 0, r.e.Compact() },
		"readrandom":       func(r *run, h *hist) (int64, int64, error) { return r.read(h, r.c.N, "") },
		"readmissing":      func(r *run, h *hist) (int64, int64, error) { return r.read(h, r.c.N, ".") },
		"readhot":          func(r *run, h *hist) (int64, int64, error) { return r.read(h, max(1, r.c.N/100), "") },
		"readseq":          func(r *run, h *hist) (int64, int64, error) { return r.scan(false) },
		"readreverse":      func(r *run, h *hist) (int64, int64, error) { return r.scan(true) },
		"seekrandom":       (*run).seek,
		"readwhilewriting": (*run).readWhileWriting,
		"ycsb-load":        func(r *run, h *hist) (int64, int64, error) { return r.write(h, false, false) },
	}
	for _, mix := range ycsbMixes() {
		m[mix.name] = func(r *run, h *hist) (int64, int64, error) { return r.ycsb(h, mix) }
	}
	return m
}

// do runs one workload. Those that fill start with an empty directory.
func (r *run) do(workload string) (result, error) {
	f := workloadFuncs()[workload]
	if f == nil {
		return result{}, fmt.Errorf("unknown workload %q", workload)
	}
	if workload == "fillseq" || workload == "fillrandom" || workload == "ycsb-load" || r.e == nil {
		if err := r.reopen(); err != nil {
			return result{}, err
		}
	}
	runtime.GC()
	before, user, got := sample(), r.user, r.got
	var h hist
	start := time.Now()
	ops, found, err := f(r, &h)
	sec := time.Since(start).Seconds()
	after := sample()
	r.heap = max(r.heap, after.heap)
	if ops == 0 {
		ops = 1
	}
	return result{Engine: r.name, Workload: workload, Ops: ops, Found: found, OpsPerS: float64(ops) / sec,
		P50: h.us(.5), P99: h.us(.99), P999: h.us(.999),
		CPU:      cpuPerOp(after.cpu-before.cpu, ops),
		WriteAmp: amplification(after.wrote-before.wrote, r.user-user, false),
		ReadAmp:  amplification(after.read-before.read, r.got-got, mapsFiles(r.name)),
		AllocB:   float64(after.alloc-before.alloc) / float64(ops),
		GCShare:  (after.gc - before.gc) / (sec * float64(runtime.GOMAXPROCS(0)))}, err
}

func cpuPerOp(seconds float64, ops int64) float64 {
	if seconds < 0 {
		return -1
	}
	return seconds * 1e6 / float64(ops)
}

// amplification returns moved/user, -1 where that says nothing.
func amplification(moved float64, user int64, unknown bool) float64 {
	if user == 0 || moved < 0 || unknown {
		return -1
	}
	return moved / float64(user)
}

func (r *run) reopen() (err error) {
	if r.e != nil {
		if err := r.e.Close(); err != nil {
			return err
		}
		if err := os.RemoveAll(r.dir); err != nil {
			return err
		}
	}
	if r.dir, err = os.MkdirTemp(r.root, r.name); err != nil {
		return err
	}
	r.e, err = openEngine(r.name, r.dir, r.c)
	return err
}

// key writes the n-th key into dst: 16 digits, and a suffix.
func key(dst []byte, n uint64, suffix string) []byte {
	var d [16]byte
	for i := 15; i >= 0; i-- {
		d[i] = byte('0' + n%10)
		n /= 10
	}
	return append(append(dst[:0], d[:]...), suffix...)
}

// A valueSource gives values of which one half repeats the other.
type valueSource struct {
	data []byte
	pos  int
	size int
}

func newValues(size int) *valueSource {
	rng := rand.New(rand.NewPCG(1, 2))
	v := &valueSource{size: size}
	for len(v.data) < max(1<<20, 4*size) {
		half := make([]byte, 50)
		for i := range half {
			half[i] = byte(' ' + rng.IntN(95))
		}
		v.data = append(append(v.data, half...), half...)
	}
	return v
}

func (v *valueSource) next() []byte {
	if v.pos+v.size > len(v.data) {
		v.pos = 0
	}
	b := v.data[v.pos : v.pos+v.size]
	v.pos += v.size
	return b
}

func (r *run) write(h *hist, seq, del bool) (int64, int64, error) {
	r.writes++
	rng := rand.New(rand.NewPCG(7, r.writes)) // other keys than the workload before
	var k []byte
	last := time.Now()
	for i := range r.c.N {
		n := uint64(i)
		if !seq {
			n = rng.Uint64N(uint64(r.c.N))
		}
		k = key(k, n, "")
		var err error
		if del {
			err = r.e.Delete(k)
		} else {
			v := r.values.next()
			err = r.e.Put(k, v)
			r.user += int64(len(v))
		}
		if err != nil {
			return int64(i), 0, err
		}
		r.user += int64(len(k))
		now := time.Now()
		h.add(now.Sub(last))
		last = now
	}
	return int64(r.c.N), 0, nil
}

func (r *run) read(h *hist, among int, suffix string) (int64, int64, error) {
	rng := rand.New(rand.NewPCG(13, uint64(among)))
	var k, v []byte
	var found int64
	last := time.Now()
	for i := range r.c.N {
		k = key(k, rng.Uint64N(uint64(among)), suffix)
		var ok bool
		var err error
		if v, ok, err = r.e.Get(v[:0], k); err != nil {
			return int64(i), found, err
		}
		if ok {
			found++
			r.got += int64(len(k) + len(v))
		}
		now := time.Now()
		h.add(now.Sub(last))
		last = now
	}
	return int64(r.c.N), found, nil
}

func (r *run) scan(reverse bool) (ops, size int64, err error) {
	it, err := r.e.Iter()
	if err != nil {
		return 0, 0, err
	}
	start, step := it.First, it.Next
	if reverse {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		ops++
		size += int64(len(it.Key()) + len(it.Value()))
	}
	r.got += size
	return ops, ops, it.Close()
}

func (r *run) seek(h *hist) (ops, found int64, err error) {
	it, err := r.e.Iter()
	if err != nil {
		return 0, 0, err
	}
	rng := rand.New(rand.NewPCG(17, 1))
	var k []byte
	last := time.Now()
	for range r.c.N / 4 {
		k = key(k, rng.Uint64N(uint64(r.c.N)), "")
		ok := it.SeekGE(k)
		if ok {
			found++
		}
		for j := 0; ok && j < 10; j++ {
			r.got += int64(len(it.Key()) + len(it.Value()))
			ok = it.Next()
		}
		ops++
		now := time.Now()
		h.add(now.Sub(last))
		last = now
	}
	return ops, found, it.Close()
}

// readWhileWriting reads in several goroutines while another one writes as fast
// as it can; only the reads count.
func (r *run) readWhileWriting(h *hist) (ops, found int64, err error) {
	var stop atomic.Bool
	var wg, writer sync.WaitGroup
	errs := make([]error, r.c.Goroutines+1)
	writer.Go(func() {
		rng := rand.New(rand.NewPCG(19, 1))
		var k []byte
		for !stop.Load() && errs[0] == nil {
			k = key(k, rng.Uint64N(uint64(r.c.N)), "")
			v := r.values.next()
			errs[0] = r.e.Put(k, v)
			r.user += int64(len(k) + len(v))
		}
	})
	hists := make([]hist, r.c.Goroutines)
	var hits, got atomic.Int64
	for g := range r.c.Goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(23, uint64(g)))
			var k, v []byte
			last := time.Now()
			for range r.c.N / r.c.Goroutines / 2 {
				k = key(k, rng.Uint64N(uint64(r.c.N)), "")
				var ok bool
				if v, ok, errs[g+1] = r.e.Get(v[:0], k); errs[g+1] != nil {
					return
				}
				if ok {
					hits.Add(1)
					got.Add(int64(len(k) + len(v)))
				}
				now := time.Now()
				hists[g].add(now.Sub(last))
				last = now
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	writer.Wait()
	r.got += got.Load()
	for i := range hists {
		h.merge(&hists[i])
	}
	for _, e := range errs {
		if e != nil {
			err = e
		}
	}
	return h.n, hits.Load(), err
}
