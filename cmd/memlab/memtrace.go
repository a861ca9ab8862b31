package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
)

// openRefs opens the memory trace at path: "-" is standard input, "gen:…" a
// generated one.
func openRefs(e *env, path string, lenient bool) (*trace.RefFile, error) {
	if path == "-" {
		return trace.ReadFrom(e.in, &trace.RefOptions{Name: refsName(path), Lenient: lenient})
	}
	return trace.OpenRefs(path, &trace.RefOptions{Lenient: lenient})
}

// eachRefs reads r to its end, hands its references to f in batches, and tells of
// malformed records that were skipped. On a terminal there is a progress line. A
// trace without references is an error, which calls it name.
func eachRefs(ctx context.Context, e *env, command, name string, r *trace.RefFile, f func([]trace.Ref) error) error {
	line := cli.NewProgress(e.err, e.terminal, time.Now)
	defer line.Done()
	refs := int64(0)
	err := trace.EachBatch(r, func(batch []trace.Ref) error {
		refs += int64(len(batch))
		done, total := r.Progress()
		line.Step(done, total, cli.Count(refs)+" references")
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(batch)
	})
	if err != nil {
		return err
	}
	switch skipped := r.Skipped(); {
	case refs == 0 && skipped > 0:
		return fmt.Errorf("%s: no references, %d malformed records skipped", name, skipped)
	case refs == 0:
		return fmt.Errorf("%s: no references", name)
	}
	line.Done()
	reportSkipped(e.err, command, r.Skipped())
	return nil
}

// refsName is what messages call the trace at path.
func refsName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// reportSkipped tells of records that a lenient reader left out.
func reportSkipped(w io.Writer, command string, skipped int64) {
	if skipped > 0 {
		fmt.Fprintf(w, "memlab %s: %d malformed records skipped\n", command, skipped)
	}
}
