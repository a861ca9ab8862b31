package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
)

const replayHelp = `
Replays an allocation trace on one allocator. Every block is checked by an
oracle, twice, each time on a fresh heap; then time and memory are measured.

TRACE is a .rep file, plain or gzipped, or the name of an embedded trace, or of a
generated one: binary, coalescing, realloc, random, needle, larson, xmalloc,
cache, …
Throughput is wall time an operation: warm in a heap that has run the trace
before, cold in a fresh one. Utilisation is peak live payload over the peak
growth of the process's resident memory, in a process of its own.`

const replayExample = `
memlab replay -alloc segregated git-log
memlab replay -alloc go -mode throughput -reps 7 -json trace.rep.gz`

// replayFlags is what the command line of replay says.
type replayFlags struct {
	alloc, mode      string
	reps, ops, limit int
	json, bench      bool
	points           bool
	inProcess        bool
	noVerify         bool
	patience         time.Duration
	seed             uint64
	trace            string
}

func (f *replayFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.alloc, "alloc", "segregated", "the allocator; an unknown `name` lists the known ones")
	fs.StringVar(&f.mode, "mode", "", "what to measure: throughput or utilisation, both if empty")
	fs.IntVar(&f.reps, "reps", 5, "repetitions of the timed runs; the least counts")
	fs.IntVar(&f.ops, "ops", 0, "stop after so many operations of the trace, 0 for all")
	fs.IntVar(&f.limit, "limit", 0, "most `bytes` the heap may commit, 0 for no limit")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of a generated trace")
	fs.DurationVar(&f.patience, "patience", 0, "end a measurement that takes more processor time than this, 0 for never")
	fs.BoolVar(&f.json, "json", false, "write JSON ("+replay.ResultSchema+")")
	fs.BoolVar(&f.bench, "bench", false, "write Go benchmark lines, for benchstat")
	fs.BoolVar(&f.points, "points", false, "with -json: include the 300 readings of live, resident and committed bytes")
	fs.BoolVar(&f.inProcess, "in-process", false, "measure utilisation in this process instead of one of its own")
	fs.BoolVar(&f.noVerify, "no-verify", false, "leave the oracle out; valid then only means that no call failed")
}

// runReplay is the command: exit 1 if the trace is malformed, the oracle finds
// something wrong, or memory runs out.
func runReplay(ctx context.Context, e *env, args []string) int {
	var f replayFlags
	fs := cli.Flags(e.err, "replay", "TRACE", replayHelp, replayExample)
	f.define(fs)
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	entry, err := f.check(fs)
	if err != nil {
		complain(e, "replay", err)
		return exitUsage
	}
	t, err := openTrace(f.trace, f.ops, f.seed)
	if err != nil {
		complain(e, "replay", err)
		return exitFound
	}
	r, err := f.measure(ctx, entry, t)
	if ctx.Err() != nil {
		complain(e, "replay", ctx.Err())
		return exitFound
	}
	if err != nil {
		r.Fail(err)
		fmt.Fprintf(e.err, "memlab replay: %s: %v\n", f.alloc, err)
	}
	if err := f.print(e, r); err != nil {
		complain(e, "replay", err)
		return exitFound
	}
	if !r.Valid {
		return exitFound
	}
	return exitOK
}

// check completes f from the operands and says what makes no sense.
func (f *replayFlags) check(fs *flag.FlagSet) (replay.Entry, error) {
	if fs.NArg() != 1 {
		return replay.Entry{}, fmt.Errorf("want one trace, got %d operands (flags stand before it)", fs.NArg())
	}
	f.trace = fs.Arg(0)
	switch {
	case f.mode != "" && f.mode != "throughput" && f.mode != "utilisation":
		return replay.Entry{}, fmt.Errorf("unknown mode %q; known are throughput and utilisation", f.mode)
	case f.reps < 1:
		return replay.Entry{}, fmt.Errorf("-reps is %d, want at least 1", f.reps)
	case f.ops < 0:
		return replay.Entry{}, fmt.Errorf("-ops is %d, want 0 for all or more", f.ops)
	case f.limit < 0:
		return replay.Entry{}, fmt.Errorf("-limit is %d, want 0 for none or more", f.limit)
	case f.patience < 0:
		return replay.Entry{}, fmt.Errorf("-patience is %v, want 0 for no end or more", f.patience)
	case f.json && f.bench:
		return replay.Entry{}, errors.New("-json and -bench exclude each other")
	case f.points && !f.json:
		return replay.Entry{}, errors.New("-points means nothing without -json")
	}
	found, err := replay.Find(replay.Known(), f.alloc)
	if err != nil {
		return replay.Entry{}, err
	}
	return found[0], nil
}

// config returns the configuration of one measurement that starts now.
func (f *replayFlags) config(ctx context.Context) replay.Config {
	return replay.Config{Limit: f.limit, Stop: stopAfter(ctx, f.patience)}
}

// stopAfter returns a function that says whether ctx has ended or patience,
// processor time of this process unless it is 0, has run out.
func stopAfter(ctx context.Context, patience time.Duration) func() bool {
	start := cpuTime()
	return func() bool {
		return ctx.Err() != nil || patience > 0 && cpuTime()-start > patience
	}
}

// measure does what the mode asks for. The result is worth printing also when
// there is an error.
func (f *replayFlags) measure(ctx context.Context, entry replay.Entry, t *trace.Trace) (*replay.Result, error) {
	r := &replay.Result{Schema: replay.ResultSchema, Alloc: f.alloc, Trace: t.Name, Ops: len(t.Ops), PeakLive: t.PeakLive(), Prefix: t.Prefix, FullOps: t.FullOps}
	p, err := replay.Compile(t)
	if err != nil {
		return r, err
	}
	if f.mode != "throughput" {
		if err := f.utilisation(ctx, p, entry, r); err != nil {
			return r, err
		}
	}
	if f.mode != "utilisation" {
		timing, err := replay.Throughput(p, entry, f.config(ctx), f.reps, time.Now)
		if err != nil {
			return r, err
		}
		r.AddTiming(timing)
	}
	if !f.noVerify {
		if err := replay.Verify(t, entry, f.config(ctx)); err != nil {
			return r, err
		}
	}
	r.Valid = true
	return r, nil
}

// utilisation measures in this process or, which is the rule, has a fresh one
// of the same program do it.
func (f *replayFlags) utilisation(ctx context.Context, p *replay.Program, entry replay.Entry, r *replay.Result) error {
	if f.inProcess {
		u, err := replay.Utilisation(p, entry, f.config(ctx))
		if err != nil {
			return err
		}
		r.AddUsage(u)
	} else {
		child, err := replayInChild(ctx, []string{"-no-verify", "-points", "-mode", "utilisation", "-patience", f.patience.String(),
			"-alloc", f.alloc, "-ops", strconv.Itoa(f.ops), "-limit", strconv.Itoa(f.limit), "-seed", strconv.FormatUint(f.seed, 10), f.trace})
		if err != nil {
			return err
		}
		if err := child.Err(); err != nil {
			return err
		}
		r.TakeUsage(child)
	}
	if !f.points {
		r.Points = nil
	}
	return nil
}

// replayInChild has a fresh process of this program replay with args, and
// returns what it found. The error is about the process: what the replay itself
// failed of is in the result.
func replayInChild(ctx context.Context, args []string) (*replay.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{"replay", "-in-process", "-json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := new(replay.Result)
	if jsonErr := json.Unmarshal(stdout.Bytes(), r); jsonErr != nil {
		if err == nil {
			err = jsonErr
		}
		why, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n") // of a crash the words, not the stacks
		return nil, fmt.Errorf("measuring process (-in-process shows more): %w: %s", err, why)
	}
	return r, nil
}

func (f *replayFlags) print(e *env, r *replay.Result) error {
	switch {
	case f.json:
		return cli.WriteJSON(e.out, r)
	case f.bench:
		fmt.Fprint(e.out, replay.BenchHeader)
		return r.WriteBench(e.out)
	default:
		_, err := fmt.Fprint(e.out, r)
		return err
	}
}
