package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/internal/cli"
)

// fitFlags are the flags of memlab fit.
type fitFlags struct {
	policy, order, coalesce string
	ops                     string
	heap                    string // "list", "implicit", "tlsf", "buddy"
	header, align, size     int
	base                    int
	seed                    uint64
	n                       int
	answers                 bool
	ostep, json             bool
	cases, html             string
}

const fitDescription = `
Walks through a list of allocations on a textbook heap and shows the free list
after each one, in the manner of OSTEP, chapter 17.

Operations are +SIZE (allocate), -K (free the K-th allocation, from 0) and
~K:SIZE (change its size), separated by commas. Without -ops they are drawn from
-seed, and the results are hidden unless -answers is given.

The heap is a real one, with tags and start bits in its memory. With -ostep it
is the one of OSTEP's malloc.py, oddities included. With -cases FILE the cases of
a JSON file (an array) are answered in that mode.`

func (f *fitFlags) flagSet(w io.Writer) *flag.FlagSet {
	fs := cli.Flags(w, "fit", "", fitDescription,
		"memlab fit -policy best -order address -ops +24,+100,+40,-1,+90")
	fs.StringVar(&f.policy, "policy", "first", "which free block is taken: first, next, best, worst")
	fs.StringVar(&f.order, "order", "front", "where a freed block goes: front, back, address, size+, size-")
	fs.StringVar(&f.coalesce, "coalesce", "immediate", "when free neighbours are joined: immediate, deferred, never")
	fs.StringVar(&f.heap, "heap", "list", "how free blocks are found: list, implicit, tlsf, buddy")
	fs.StringVar(&f.ops, "ops", "", "operations, as in +24,+100,-0,~1:50")
	fs.IntVar(&f.header, "header", -1, "header in `bytes` (default 8; 0 with -ostep)")
	fs.IntVar(&f.align, "align", -1, "alignment in `bytes` (default 16; none with -ostep)")
	fs.IntVar(&f.size, "size", 0, "`bytes` of the heap (default 1024 for all of it; 100 with -ostep)")
	fs.IntVar(&f.base, "base", 1000, "with -ostep: `address` of the first byte")
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the operations when -ops is not given")
	fs.IntVar(&f.n, "n", 10, "number of operations when -ops is not given")
	fs.BoolVar(&f.answers, "answers", false, "show the results of operations drawn from -seed")
	fs.BoolVar(&f.ostep, "ostep", false, "behave as OSTEP's malloc.py, oddities included")
	fs.BoolVar(&f.json, "json", false, "write JSON")
	fs.StringVar(&f.cases, "cases", "", "answer the cases of this JSON `file` as OSTEP's malloc.py does (needs -json)")
	fs.StringVar(&f.html, "html", "", "also write the walk as pictures to this HTML `file`")
	return fs
}

// runFit is memlab fit.
func runFit(ctx context.Context, e *env, args []string) int {
	var f fitFlags
	fs := f.flagSet(e.err)
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	fail := func(code int, err error) int {
		fmt.Fprintln(e.err, "memlab fit:", err)
		return code
	}
	if fs.NArg() > 0 {
		return fail(exitUsage, fmt.Errorf("unexpected operand %q", fs.Arg(0)))
	}
	if f.cases != "" {
		if !f.json {
			return fail(exitUsage, fmt.Errorf("-cases needs -json"))
		}
		if err := answerCases(e.out, f.cases); err != nil {
			return fail(exitFound, err)
		}
		return exitOK
	}
	w, err := f.newWalk()
	if err != nil {
		return fail(exitUsage, err)
	}
	if err := w.run(); err != nil {
		return fail(exitUsage, err)
	}
	if err := w.write(e.out, &f); err != nil {
		return fail(exitFound, err)
	}
	return exitOK
}

// newWalk turns the flags into a walk that has not begun.
func (f *fitFlags) newWalk() (*fitWalk, error) {
	var o fit.Options
	var err error
	if o.Policy, err = fit.ParsePolicy(f.policy); err != nil {
		return nil, err
	}
	if o.Order, err = fit.ParseOrder(f.order); err != nil {
		return nil, err
	}
	if o.Coalesce, err = fit.ParseCoalesce(f.coalesce); err != nil {
		return nil, err
	}
	w := &fitWalk{hidden: f.ops == "" && !f.answers}
	if f.ops == "" {
		w.ops = randomFitOps(f.seed, f.n)
	} else if w.ops, err = parseFitOps(f.ops); err != nil {
		return nil, err
	}
	if f.ostep {
		w.heap, err = newOSTEPHeap(f, o)
	} else {
		w.heap, err = newRealHeap(f, o)
	}
	return w, err
}

// answerCases writes the answers to the cases of the file name as one array.
func answerCases(w io.Writer, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	answers, err := solveFitCases(file)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return cli.WriteJSON(w, answers)
}
