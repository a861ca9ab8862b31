// Command record writes down what a program asks of malloc, as a trace to replay:
//
//	go run ./cmd/record -o sort.rep.gz sort /usr/share/dict/words
//	go run ./cmd/peers -traces sort.rep.gz
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
	"io"
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
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	t, lost, err := record.Run(ctx, cmd, calls)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d operations, %d blocks, %d bytes live at most\n", t.Name, len(t.Ops), t.IDs, t.PeakLive())
	if lost != (record.Lost{}) {
		fmt.Fprintf(os.Stderr, "%d frees of unknown blocks left out, %d frees put in\n", lost.Frees, lost.Mallocs)
	}
	return write(out, t)
}

// write writes t to the file called name.
func write(name string, t *trace.Trace) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(name, ".gz") {
		return errors.Join(trace.WriteRep(f, t), f.Close())
	}
	z := gzip.NewWriter(io.Writer(f))
	return errors.Join(trace.WriteRep(z, t), z.Close(), f.Close())
}
