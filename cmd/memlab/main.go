// Command memlab replays allocation and memory traces, walks page tables, and
// serves the store from the shell. Run it without arguments for the list of
// commands, and "memlab COMMAND -h" for one of them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
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

// run finds the subcommand that args name and runs it.
func run(ctx context.Context, e *env, args []string) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		usage(e.err)
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, e, args[1:])
		}
	}
	fmt.Fprintf(e.err, "memlab: unknown command %q\n\n", args[0])
	usage(e.err)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Usage: memlab COMMAND [flags] [operands]")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(w, "\nmemlab COMMAND -h explains a command and gives an example.")
}

// isTerminal reports whether f is a character device, which is what decides
// whether progress is drawn.
func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
