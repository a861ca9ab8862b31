// Command memlab replays allocation and memory traces, walks page tables, and
// serves the store from the shell. Run it without arguments for the list of
// commands, and "memlab COMMAND -h" for one of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/memlab-go/memlab/internal/cli"
)

// Exit codes.
const (
	exitOK    = 0 // fine
	exitFound = 1 // something wrong was found: bad input, a difference, damage
	exitUsage = 2 // the command line makes no sense
)

// A command is one subcommand. Its run function parses args with a flag set of
// its own and returns an exit code; it writes results to e.out and everything
// else to e.err.
type command struct {
	name    string
	summary string // one line for the list
	run     func(ctx context.Context, e *env, args []string) int
}

// env is the outside world of a command, so that tests can supply their own.
type env struct {
	in       io.Reader
	out      io.Writer
	err      io.Writer
	terminal bool // err is a terminal: progress lines may be drawn there
}

// commands lists the subcommands in the order of the help text.
func commands() []command {
	return []command{
		{"compare", "every allocator on real traces: memory, time, a report with pictures", runCompare},
		{"replay", "one allocation trace on one allocator: validity, memory, time", runReplay},
		{"fit", "walk through a free list, in the manner of OSTEP", runFit},
		{"lsm", "the store from the shell: put, get, scan, load, dump, check, …", runLsm},
		{"translate", "addresses to translate by hand, and walks drawn step by step", runTranslate},
		{"dump", "page tables in memory, and what an MMU must make of them", runDump},
		{"tlb", "misses of TLBs on a trace of memory references", runTLB},
		{"page", "page faults of replacement policies on a trace", runPage},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends even what waits for input
	e := &env{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: isTerminal(os.Stderr)}
	os.Exit(run(ctx, e, os.Args[1:]))
}

// run finds the subcommand that args name and runs it. Help that was asked for
// goes to standard output. Output that got lost is an error of every command.
func run(ctx context.Context, e *env, args []string) int {
	if len(args) == 0 {
		usage(e.err)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		if args[0] == "help" && len(args) > 1 {
			return run(ctx, e, append(slices.Clip(args[1:]), "-h"))
		}
		usage(e.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return runCommand(ctx, e, c, args[1:])
		}
	}
	fmt.Fprintf(e.err, "memlab: unknown command %q\n\n", args[0])
	usage(e.err)
	return exitUsage
}

func runCommand(ctx context.Context, e *env, c command, args []string) int {
	out := &output{w: e.out}
	own := *e
	own.out, own.err = out, cli.Stderr{Writer: e.err, Out: out}
	code := c.run(ctx, &own, args)
	if code == exitOK && out.err != nil {
		fmt.Fprintf(e.err, "memlab %s: %v\n", c.name, out.err)
		return exitFound
	}
	return code
}

// An output keeps the first error of writing to w, so that a command that does
// not look at each of its writes cannot lose one.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// errInterrupted is what a user who pressed Ctrl-C is told.
var errInterrupted = errors.New("interrupted")

// complain reports an error of a command, named as in the help.
func complain(e *env, name string, err error) {
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	fmt.Fprintf(e.err, "memlab %s: %v\n", name, err)
}

// A usageError says that the command line makes no sense.
type usageError struct{ error }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is the exit code that goes with an error.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		return exitUsage
	}
	return exitFound
}

// checkHTML says what is wrong with the value of -html before anything is
// measured for it.
func checkHTML(name string) error {
	switch name {
	case "":
		return nil
	case "-":
		return badUsage("-html -: want the name of a file")
	}
	if err := cli.CheckFile(name); err != nil {
		return fmt.Errorf("-html: %w", err)
	}
	return nil
}

// given returns the flags that are on the command line.
func given(fs *flag.FlagSet) map[string]bool {
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	return set
}

// useless refuses the first of names that was given: why says what it would need.
func useless(set map[string]bool, why string, names ...string) error {
	for _, name := range names {
		if set[name] {
			return badUsage("-%s means nothing %s", name, why)
		}
	}
	return nil
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Usage: memlab COMMAND [flags] [operands]")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(w, "\nmemlab COMMAND -h, or memlab help COMMAND, explains a command and gives an example.")
}

// isTerminal reports whether f is a character device, which is what decides
// whether progress is drawn.
func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
