// Command record writes down what a program asks of malloc, as a trace to replay:
//
//	go run ./cmd/record -o log.rep.gz git --no-pager log --stat
//	go run ./cmd/peers -traces log.rep.gz
//
// Run it in the module bench/peers, under Linux, with gcc. The program keeps its input and
// output. What is said of the trace goes to the standard error.
package main

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/memlab-go/memlab/bench/peers/record"
	"github.com/memlab-go/memlab/bench/trace"
)

func main() {
	out := flag.String("o", "", "the `file` to write, packed if its name ends in .gz")
	calls := flag.Int("calls", 0, "record so many calls at most; 0: all")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: record -o FILE [-calls N] PROGRAM [ARGUMENT ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *out == "" || flag.NArg() == 0 || *calls < 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *calls, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, calls int, args []string) error {
	f, err := os.Create(out) // first: a recording may take long
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	t, lost, err := record.Run(ctx, cmd, calls)
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(out))
	}
	fmt.Fprintf(os.Stderr, "%s: %d operations, %d blocks, %d bytes live at most\n", t.Name, len(t.Ops), t.IDs, t.PeakLive())
	if lost != (record.Lost{}) {
		fmt.Fprintf(os.Stderr, "%d frees of unknown blocks left out, %d frees put in\n", lost.Frees, lost.Mallocs)
	}
	return errors.Join(write(f, t), f.Close())
}

// write writes t to f, packed if its name says so.
func write(f *os.File, t *trace.Trace) error {
	if !strings.HasSuffix(f.Name(), ".gz") {
		return trace.WriteRep(f, t)
	}
	z := gzip.NewWriter(f)
	return errors.Join(trace.WriteRep(z, t), z.Close())
}
