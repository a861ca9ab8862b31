package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
)

// eachRefs reads the memory trace at path ("-" is standard input, "gen:…" a
// generated one) and hands its references to f in batches, with a progress line
// on a terminal. It returns how many malformed records were skipped.
func eachRefs(ctx context.Context, e *env, path string, lenient bool, f func([]trace.Ref) error) (skipped int64, err error) {
	opt := &trace.RefOptions{Lenient: lenient}
	var r trace.RefReader
	progress := func() (done, total int64) { return 0, 0 }
	if path == "-" {
		opt.Name = "standard input"
		if r, err = trace.NewRefReader(e.in, opt); err != nil {
			return 0, err
		}
	} else {
		file, err := trace.OpenRefs(path, opt)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		r, progress = file, file.Progress
	}
	line := cli.NewProgress(e.err, e.terminal, time.Now)
	defer line.Done()
	refs := 0
	err = trace.EachBatch(r, func(batch []trace.Ref) error {
		if refs += len(batch); refs&(1<<16-1) < len(batch) {
			done, total := progress()
			line.Step(done, total, fmt.Sprintf("%s references", cli.Count(int64(refs))))
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return f(batch)
	})
	return r.Skipped(), err
}

// reportSkipped tells of records that a lenient reader left out.
func reportSkipped(w io.Writer, command string, skipped int64) {
	if skipped > 0 {
		fmt.Fprintf(w, "memlab %s: %d malformed records skipped\n", command, skipped)
	}
}
