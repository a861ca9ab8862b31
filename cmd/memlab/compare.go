package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/paging"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
)

const compareHelp = `
Replays allocation traces of real programs on every allocator, and on Go's own
heap, and compares: peak utilisation (live payload over resident memory of a
process that does nothing else), time of a call, committed and resident bytes.
Every block is checked by an oracle. A table goes to standard output, a report
with pictures to a file.

With -vm each allocator also runs inside a simulated address space: what it and
the program touch goes through a TLB, page tables, page faults and swap. How the
program uses its blocks is a model, the same for every allocator; Go's heap, which
reports no accesses, is left out.

Traces are .rep files, plain or gzipped, or names of embedded or generated
traces. Without any, the embedded ones are taken, of each the first 200000
operations.`

const compareExample = `
memlab compare
memlab compare -vm -alloc segregated,tlsf,buddy git-log
memlab compare -alloc segregated,fit-best,go -ops 0 sqlite-sql my.rep.gz`

// compareFlags is what the command line of compare says.
type compareFlags struct {
	alloc, html, picture string
	json, bench          bool
	ops, reps, limit     int
	patience             time.Duration
	seed                 uint64
	vm                   vmFlags
}

func (f *compareFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.alloc, "alloc", "", "comma-separated `names` of allocators; all if empty, an unknown one lists them")
	fs.StringVar(&f.html, "html", "memlab-report.html", "the report's `file`, none if empty")
	fs.StringVar(&f.picture, "picture", "", "`name` of the trace that the report's pictures show; the first if empty")
	fs.BoolVar(&f.json, "json", false, "write JSON ("+compareSchema+") instead of the table")
	fs.BoolVar(&f.bench, "bench", false, "write Go benchmark lines instead of the table, for benchstat")
	fs.IntVar(&f.ops, "ops", -1, "stop after so many operations of each trace, 0 for all; by default 200000 of embedded traces and all of files")
	fs.IntVar(&f.reps, "reps", 3, "repetitions of the timed runs; the least counts")
	fs.IntVar(&f.limit, "limit", 0, "most `bytes` a heap may commit, 0 for no limit")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of generated traces")
	fs.DurationVar(&f.patience, "patience", 2*time.Second, "end a measurement that takes more processor time than this and leave its figures out, 0 for never")
	f.vm.define(fs)
}

// comparison is one run of the command.
type comparison struct {
	flags   compareFlags
	entries []replay.Entry
	traces  []comparedTrace
	cells   []cell // by trace, then by entry
}

// A comparedTrace is one trace and how a child process finds it again.
type comparedTrace struct {
	*trace.Trace
	operand string
	ops     int // for -ops
}

// A cell is one allocator on one trace.
type cell struct {
	entry  replay.Entry
	trace  *comparedTrace
	result *replay.Result

	vm    *paging.Result // nil: not measured, see vmErr
	vmErr error
}

// runCompare is the command: exit 1 if a trace is malformed, an oracle finds
// something wrong, or memory runs out.
func runCompare(ctx context.Context, e *env, args []string) int {
	var c comparison
	fs := cli.Flags(e.err, "compare", "[TRACE…]", compareHelp, compareExample)
	c.flags.define(fs)
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	err := c.check(fs)
	if err == nil {
		err = c.run(ctx, e, fs.Args())
	}
	if err != nil {
		complain(e, "compare", err)
		return exitCode(err)
	}
	return c.verdict(e)
}

// run reads the traces, measures and reports.
func (c *comparison) run(ctx context.Context, e *env, operands []string) error {
	if err := c.open(operands); err != nil {
		return err
	}
	if err := checkHTML(c.flags.html); err != nil {
		return err
	}
	if err := c.measure(ctx, e); err != nil {
		return err
	}
	if c.flags.vm.on {
		if err := c.measureVM(ctx, e); err != nil {
			return err
		}
	}
	return c.report(ctx, e)
}

// check says what makes no sense on the command line.
func (c *comparison) check(fs *flag.FlagSet) (err error) {
	f := &c.flags
	fs.Visit(func(set *flag.Flag) {
		if strings.HasPrefix(set.Name, "vm-") && !f.vm.on {
			err = badUsage("-%s means nothing without -vm", set.Name)
		}
	})
	if err != nil {
		return err
	}
	switch {
	case f.reps < 1:
		return badUsage("-reps is %d, want at least 1", f.reps)
	case f.ops < -1:
		return badUsage("-ops is %d, want 0 for all or more", f.ops)
	case f.limit < 0:
		return badUsage("-limit is %d, want 0 for none or more", f.limit)
	case f.patience < 0:
		return badUsage("-patience is %v, want 0 for no end or more", f.patience)
	case f.json && f.bench:
		return badUsage("-json and -bench exclude each other")
	case f.html == "-":
		return checkHTML(f.html)
	case f.html == "" && f.picture != "":
		return badUsage("-picture means nothing without -html")
	}
	if err := f.vm.check(); err != nil {
		return usageError{err}
	}
	if c.entries, err = replay.Find(replay.Known(), cli.List(f.alloc)...); err != nil {
		return usageError{err}
	}
	return nil
}

// open reads the traces that the operands name, or the embedded ones.
func (c *comparison) open(operands []string) error {
	if len(operands) == 0 {
		operands = slices.DeleteFunc(corpus.Names(), func(n string) bool { return n == "python-store" }) // one CPython is enough
	}
	for _, name := range operands {
		ops := c.flags.ops
		if ops < 0 {
			ops = 0
			if slices.Contains(corpus.Names(), name) {
				ops = defaultOps
			}
		}
		t, err := openTrace(name, ops, c.flags.seed)
		if err != nil {
			return err
		}
		c.traces = append(c.traces, comparedTrace{t, name, ops})
	}
	for i := range c.traces {
		for _, en := range c.entries {
			c.cells = append(c.cells, cell{entry: en, trace: &c.traces[i]})
		}
	}
	if c.flags.picture != "" && c.pictured() == nil {
		return fmt.Errorf("-picture %s: not among the traces compared", c.flags.picture)
	}
	return nil
}

// pictured returns the trace that the pictures show, nil if it is not there.
func (c *comparison) pictured() *comparedTrace {
	for i := range c.traces {
		if t := &c.traces[i]; c.flags.picture == "" || c.flags.picture == t.Name || c.flags.picture == t.operand {
			return t
		}
	}
	return nil
}

// of returns the cells of one trace, in the order of the entries.
func (c *comparison) of(t *comparedTrace) []cell {
	i := slices.IndexFunc(c.cells, func(x cell) bool { return x.trace == t })
	return c.cells[i:][:len(c.entries)]
}

// report writes the figures, and then the HTML file: a disk that is full by now
// must not cost what was measured.
func (c *comparison) report(ctx context.Context, e *env) error {
	if err := c.writeFigures(e.out); err != nil {
		return err
	}
	if c.flags.html == "" {
		return nil
	}
	page, err := c.page(ctx, e)
	if err != nil {
		return err
	}
	if err := cli.WriteFile(c.flags.html, func(w io.Writer) error {
		_, err := page.WriteTo(w)
		return err
	}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if !c.flags.json && !c.flags.bench {
		fmt.Fprintf(e.out, "\nThe report with pictures is %s.\n", c.flags.html)
	}
	return nil
}

// writeFigures writes what was asked for: tables, JSON or benchmark lines.
func (c *comparison) writeFigures(w io.Writer) error {
	switch {
	case c.flags.json:
		return cli.WriteJSON(w, c.json())
	case c.flags.bench:
		return c.writeBench(w)
	default:
		if err := c.writeTables(w); err != nil || !c.flags.vm.on {
			return err
		}
		return c.writeVM(w)
	}
}

// writeBench writes benchmark lines of all cells.
func (c *comparison) writeBench(w io.Writer) error {
	fmt.Fprint(w, replay.BenchHeader)
	if c.flags.vm.on {
		fmt.Fprint(w, paging.BenchHeader)
	}
	for _, x := range c.cells {
		if err := x.result.WriteBench(w); err != nil {
			return err
		}
		if x.vm == nil {
			continue
		}
		if err := x.vm.WriteBench(w, x.result.Alloc, x.result.Trace); err != nil {
			return err
		}
	}
	return nil
}

// verdict lists what went wrong and returns the exit code. A measurement that
// took too long is not wrong.
func (c *comparison) verdict(e *env) int {
	code := exitOK
	for _, x := range c.cells {
		if err := x.result.Err(); err != nil && !errors.Is(err, replay.ErrStopped) {
			fmt.Fprintf(e.err, "memlab compare: %s: %v\n", x.entry.Name, err)
			code = exitFound
		} else if x.vmErr != nil && !errors.Is(x.vmErr, replay.ErrStopped) && !errors.Is(x.vmErr, paging.ErrNoSink) && x.result.Valid {
			fmt.Fprintf(e.err, "memlab compare: %s in the simulated address space: %v\n", x.entry.Name, x.vmErr)
			code = exitFound
		}
	}
	return code
}

// machine says on what the figures were measured.
func machine() string {
	return strings.Join([]string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, fmt.Sprintf("%d CPUs", runtime.NumCPU())}, ", ")
}
