package peers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
)

// patternOps is the length of generated traces.
const patternOps = 500_000

// OpenTrace reads the trace in a file, or the embedded one of that name, or
// generates the pattern of that name with seed 1.
func OpenTrace(name string) (*trace.Trace, error) {
	t, err := trace.Open(name, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	t, err = corpus.Open(name)
	if err == nil {
		return t, nil
	}
	generated, noPattern := trace.Generate(name, 1, patternOps)
	if noPattern != nil {
		return nil, fmt.Errorf("%s: no such file; %w; %w", name, err, noPattern)
	}
	return generated, nil
}

// Child runs one measurement of the Go peer called name in this process, with
// the arguments that creplay takes, except that time and memory are given a
// trace instead of a program. It writes figures as "name value" lines to w.
func Child(w io.Writer, name string, args []string) error {
	var p *Peer
	for _, k := range goPeers() {
		if k.Name == name {
			p = &k
		}
	}
	if p == nil || len(args) == 0 {
		return fmt.Errorf("peers: no Go allocator %q, or nothing to do", name)
	}
	report := func(what string, v float64) { fmt.Fprintf(w, "%s %.6f\n", what, v) }
	number := func(i int) int {
		if i >= len(args) {
			return 0
		}
		n, _ := strconv.Atoi(args[i])
		return n
	}
	switch args[0] {
	case "time", "memory":
		return p.program(args, max(number(2), 1), report)
	case "pair", "random", "misuse":
		h, err := p.Go.New(replay.Config{})
		if err != nil {
			return err
		}
		switch args[0] {
		case "pair":
			return pair(h, number(1), number(2), report)
		case "random":
			return randomOrder(h, number(1), number(2), report)
		}
		what, err := misuse(h, args[1])
		fmt.Fprintln(w, what, 1)
		return err
	}
	if p.Shared == nil {
		return fmt.Errorf("peers: %s is not for many goroutines", name)
	}
	c, err := p.Shared()
	if err != nil {
		return err
	}
	switch args[0] {
	case "larson", "large":
		larson(c, number(1), number(2), args[0] == "large", report)
	default:
		handover(c, number(1), report)
	}
	return nil
}

// program times a trace or measures its memory.
func (p *Peer) program(args []string, reps int, report func(string, float64)) error {
	if len(args) < 2 {
		return errors.New("peers: which trace?")
	}
	t, err := OpenTrace(args[1])
	if err != nil {
		return err
	}
	prog, err := replay.Compile(t)
	if err != nil {
		return err
	}
	if args[0] == "memory" {
		u, err := replay.Utilisation(prog, *p.Go, replay.Config{})
		if err != nil {
			return err
		}
		report("resident", float64(u.PeakResident))
		report("utilisation", u.PeakOverResident())
		report("mean", u.MeanLiveOverResident)
		return nil
	}
	timing, err := replay.Throughput(prog, *p.Go, replay.Config{}, reps, time.Now)
	for _, v := range timing.Cold {
		report("cold", v)
	}
	for _, v := range timing.Warm {
		report("warm", v)
	}
	return err
}
