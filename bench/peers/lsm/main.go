package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A plan is what the command line asks for.
type plan struct {
	c         config
	engines   []string
	workloads []string
	rounds    int
	base      string
	dir       string
	jsonFile  string
	profile   string // file for a CPU profile of the child's workloads
	child     string // this process measures one engine and prints JSON lines
}

const defaultWorkloads = "fillseq,fillrandom,overwrite,compact,readrandom,readmissing,readhot,readseq,readreverse,seekrandom," +
	"readwhilewriting,deleterandom,ycsb-load,compact,ycsb-A,ycsb-B,ycsb-C,ycsb-D,ycsb-E,ycsb-F"

func main() {
	if err := mainErr(); err != nil {
		fmt.Fprintln(os.Stderr, "lsm:", err)
		os.Exit(1)
	}
}

func mainErr() error {
	p, err := parse()
	if err != nil {
		return err
	}
	if p.child != "" {
		return p.runChild(os.Stdout)
	}
	return p.compare()
}

func parse() (*plan, error) {
	p := &plan{}
	engines := flag.String("engines", "memlab,memlab-buffered,pebble,goleveldb,badger,bbolt,leveldb-c++", "comma-separated; leveldb-c++ needs g++ and libleveldb-dev")
	workloads := flag.String("workloads", defaultWorkloads, "comma-separated, in order")
	flag.IntVar(&p.c.N, "n", 1_000_000, "entries")
	flag.IntVar(&p.c.ValueSize, "value", 100, "bytes of a value")
	flag.IntVar(&p.c.Memtable, "memtable", 64<<20, "bytes")
	flag.IntVar(&p.c.Cache, "cache", 64<<20, "bytes of block cache")
	flag.IntVar(&p.c.BloomBits, "bloom", 10, "bits per key")
	flag.BoolVar(&p.c.Snappy, "snappy", true, "compress blocks")
	flag.IntVar(&p.c.Goroutines, "readers", 2, "goroutines of readwhilewriting")
	flag.IntVar(&p.rounds, "rounds", 1, "interleaved rounds; the best counts")
	flag.StringVar(&p.base, "base", "pebble", "engine the ratios refer to")
	flag.StringVar(&p.dir, "dir", "", "where databases are made; the system's temporary directory by default")
	flag.StringVar(&p.jsonFile, "json", "", "write the results of every round to this file")
	flag.StringVar(&p.profile, "cpuprofile", "", "with -child: write a CPU profile of the last workload to this file")
	flag.StringVar(&p.child, "child", "", "measure this engine in this process and print JSON lines")
	flag.Parse()
	p.engines, p.workloads = strings.Split(*engines, ","), strings.Split(*workloads, ",")
	if p.c.N < 100 || p.c.ValueSize < 1 || p.rounds < 1 || p.c.Goroutines < 1 || flag.NArg() > 0 {
		return nil, errors.New("bad arguments: -n ≥ 100, -value, -rounds and -readers ≥ 1, no operands")
	}
	known := workloadFuncs()
	for _, w := range p.workloads {
		if known[w] == nil {
			return nil, fmt.Errorf("unknown workload %q", w)
		}
	}
	return p, nil
}

// runChild measures p.child and prints a result a line, then the footprint.
func (p *plan) runChild(out *os.File) error {
	root, err := os.MkdirTemp(p.dir, "lsm-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	r := &run{name: p.child, root: root, c: p.c, values: newValues(p.c.ValueSize)}
	var anon atomic.Int64
	go func() { // dies with the process
		for ; ; time.Sleep(20 * time.Millisecond) {
			anon.Store(max(anon.Load(), int64(procField("status", "RssAnon:"))))
		}
	}()
	enc := json.NewEncoder(out)
	space := 0.0
	for i, w := range p.workloads {
		if p.profile != "" && i == len(p.workloads)-1 {
			f, err := os.Create(p.profile)
			if err != nil {
				return err
			}
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer pprof.StopCPUProfile()
		}
		res, err := r.do(w)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", p.child, w, err)
		}
		if err := enc.Encode(res); err != nil {
			return err
		}
		if w == "overwrite" || space == 0 {
			space = float64(dirSize(r.dir)) / float64(p.c.N*(16+p.c.ValueSize))
		}
	}
	if err := r.e.Close(); err != nil {
		return err
	}
	return enc.Encode(footprint{Engine: p.child, PeakRSS: procField("status", "VmHWM:") / 1024,
		PeakAnon: float64(anon.Load()) / 1024, GoHeap: float64(r.heap) / mib,
		WriteAmp: wroteBytes() / float64(max(1, r.user)), SpaceAmp: space})
}

// compare runs every engine in every round and prints the table.
func (p *plan) compare() error {
	cpp, cleanup := p.buildCpp()
	defer cleanup()
	t := newTable(p)
	defer t.print(os.Stdout) // what there is, also when an engine fails
	for round := range p.rounds {
		for _, name := range p.engines {
			if name == cppName && cpp == "" {
				continue
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, p.rounds, name)
			if err := p.start(name, cpp, t); err != nil {
				return err
			}
		}
	}
	if p.jsonFile != "" {
		b, err := json.MarshalIndent(t.report(), "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(p.jsonFile, append(b, '\n'), 0o644)
	}
	return nil
}

// start measures one engine in a process of its own.
func (p *plan) start(name, cpp string, t *table) error {
	var cmd *exec.Cmd
	if name == cppName {
		dir, err := os.MkdirTemp(p.dir, "lsm-bench-cpp")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		cmd = exec.Command(cpp, append([]string{dir}, p.cppArgs()...)...)
	} else {
		cmd = exec.Command(os.Args[0], append(slices.Clone(os.Args[1:]), "-child", name)...)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := errors.Join(t.read(out), cmd.Wait()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// read takes in the results of a child, and says on standard error what has come.
func (t *table) read(out io.Reader) error {
	sc := bufio.NewScanner(out)
	seen := map[string]int{}
	for sc.Scan() {
		var res result
		if err := json.Unmarshal(sc.Bytes(), &res); err != nil {
			return err
		}
		if res.Workload != "" {
			fmt.Fprintf(os.Stderr, "  %s %s: %.0f ops/s\n", res.Engine, res.Workload, res.OpsPerS)
			seen[res.Workload]++
			if n := seen[res.Workload]; n > 1 {
				res.Workload = fmt.Sprintf("%s#%d", res.Workload, n)
			}
			t.add(res)
			continue
		}
		var f footprint
		if err := json.Unmarshal(sc.Bytes(), &f); err != nil {
			return err
		}
		t.addFootprint(f)
	}
	return sc.Err()
}
