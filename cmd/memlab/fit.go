package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/internal/cli"
)

// fitFlags are the flags of memlab fit.
type fitFlags struct {
	policy, order, coalesce string
	ops                     string
	heap                    string // "list", "implicit", "tlsf", "buddy"
	header, align, size     int    // 0: the default
	base                    int
	seed                    uint64
	n                       int
	most, percent           int // of the operations that malloc.py draws
	answers                 bool
	ostep, json             bool
	cases, html             string
}

// The limits of the flags.
const (
	maxFitOps    = 1000    // to draw; each keeps a picture of the heap
	maxFitSize   = 1 << 24 // bytes of a heap with memory
	maxOSTEPSize = 1 << 30
	maxFitDraw   = math.MaxInt32 // bytes of one request, as in -ops
)

const fitDescription = `
Walks through a list of allocations on a textbook heap and shows the free list
after each one, in the manner of OSTEP, chapter 17.

Operations are +SIZE (allocate), -K (free the K-th allocation, from 0) and
~K:SIZE (change its size), separated by commas. Without -ops they are drawn from
-seed, and the results are hidden unless -answers is given.

The heap is a real one, with tags and start bits in its memory. With -ostep it
is the one of OSTEP's malloc.py, oddities included, with that program's defaults,
and its seeds draw its operations. Its -n, -s, -S, -b, -H, -a, -r and -P are -n,
-seed, -size, -base, -header, -align, -range and -percent; its -p, -l and -A are
-policy, -order and -ops; its -C is -coalesce immediate, its -c is -answers. As
there, addresses of a list that is given are without the header, and a free is
skipped if no more allocations than its number have succeeded.

With -cases FILE the cases of a JSON file (an array) are answered in that mode.`

func (f *fitFlags) flagSet(w io.Writer) *flag.FlagSet {
	fs := cli.Flags(w, "fit", "", fitDescription,
		"memlab fit -policy best -order address -ops +24,+100,+40,-1,+90\nmemlab fit -ostep -seed 3 -answers")
	fs.StringVar(&f.policy, "policy", "", "which free block is taken: first, next, best, worst (default first; best with -ostep)")
	fs.StringVar(&f.order, "order", "", "where a freed block goes: front, back, address, size+, size- (default front; address with -ostep)")
	fs.StringVar(&f.coalesce, "coalesce", "", "when free neighbours are joined: immediate, deferred, never (default immediate; never with -ostep)")
	fs.StringVar(&f.heap, "heap", "list", "how free blocks are found: list, implicit, tlsf, buddy")
	fs.StringVar(&f.ops, "ops", "", "operations, as in +24,+100,-0,~1:50")
	fs.IntVar(&f.header, "header", 0, "header in `bytes` (default 8; 0 with -ostep)")
	fs.IntVar(&f.align, "align", 0, "alignment in `bytes` (default 16; with -ostep -1, which is none)")
	fs.IntVar(&f.size, "size", 0, "`bytes` of the heap (default 1024 for all of it; 100 with -ostep)")
	fs.IntVar(&f.base, "base", 1000, "with -ostep: `address` of the first byte")
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the operations when -ops is not given")
	fs.IntVar(&f.n, "n", 10, fmt.Sprintf("number of operations when -ops is not given, 1 to %d", maxFitOps))
	fs.IntVar(&f.most, "range", 10, "with -ostep, when -ops is not given: most `bytes` of an allocation")
	fs.IntVar(&f.percent, "percent", 50, "with -ostep, when -ops is not given: `percentage` of allocations")
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
		complain(e, "fit", err)
		return code
	}
	if err := f.check(fs); err != nil {
		return fail(exitUsage, err)
	}
	if err := checkHTML(f.html); err != nil {
		return fail(exitCode(err), err)
	}
	if f.cases != "" {
		if err := answerCases(ctx, e.out, f.cases); err != nil {
			return fail(exitFound, err)
		}
		return exitOK
	}
	w, err := f.newWalk()
	if err != nil {
		return fail(exitUsage, err)
	}
	if err := w.run(ctx); err != nil {
		if ctx.Err() != nil {
			return fail(exitFound, err)
		}
		return fail(exitUsage, err)
	}
	if err := w.write(e.out, &f); err != nil {
		return fail(exitFound, err)
	}
	return exitOK
}

// check says what makes no sense on the command line, and fills in the defaults
// that depend on -ostep.
func (f *fitFlags) check(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected operand %q", fs.Arg(0))
	}
	if f.cases != "" && !f.json {
		return fmt.Errorf("-cases needs -json")
	}
	set := given(fs)
	if f.cases != "" {
		if err := useless(set, "with -cases, which says all itself", "ops", "n", "seed", "range", "percent", "answers", "html"); err != nil {
			return err
		}
	}
	if !f.ostep {
		if err := useless(set, "without -ostep", "base", "range", "percent"); err != nil {
			return err
		}
	}
	if f.ops != "" {
		if err := useless(set, "with -ops", "range", "percent"); err != nil {
			return err
		}
	}
	err := cmp.Or(between("n", f.n, 1, maxFitOps), between("range", f.most, 1, maxFitDraw), between("percent", f.percent, 1, 100))
	if err != nil {
		return err
	}
	if f.ostep {
		return f.checkOSTEP(set)
	}
	return f.checkReal(set)
}

// checkReal is check for a heap with memory. What a header and an alignment may
// be apart from not being there is for package fit to say.
func (f *fitFlags) checkReal(given map[string]bool) error {
	f.policy, f.order, f.coalesce = cmp.Or(f.policy, "first"), cmp.Or(f.order, "front"), cmp.Or(f.coalesce, "immediate")
	if !given["size"] {
		f.size = 1024
	}
	switch {
	case given["header"] && f.header < 1:
		return fmt.Errorf("-header %d: want 8 bytes or more", f.header)
	case given["align"] && f.align < 1:
		return fmt.Errorf("-align %d: want 8 bytes or more", f.align)
	}
	return between("size", f.size, 1, maxFitSize)
}

// checkOSTEP is check for malloc.py.
func (f *fitFlags) checkOSTEP(given map[string]bool) error {
	f.policy, f.order, f.coalesce = cmp.Or(f.policy, "best"), cmp.Or(f.order, "address"), cmp.Or(f.coalesce, "never")
	if !given["size"] {
		f.size = 100
	}
	if err := between("size", f.size, 1, maxOSTEPSize); err != nil {
		return err
	}
	if given["align"] && f.align != -1 && (f.align < 1 || f.align > f.size) {
		return fmt.Errorf("-align %d: want 1 to %d, the size of the heap, or -1 for none", f.align, f.size)
	}
	f.align = max(f.align, 0)
	return cmp.Or(between("header", f.header, 0, f.size), between("base", f.base, 0, math.MaxInt-f.size))
}

// between returns an error if the flag name has a value that is not lo to hi.
func between(name string, value, lo, hi int) error {
	if value < lo || value > hi {
		return fmt.Errorf("-%s %d: want %d to %d", name, value, lo, hi)
	}
	return nil
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
	if f.ops != "" {
		if w.ops, err = parseFitOps(f.ops, f.ostep); err != nil {
			return nil, err
		}
	}
	if f.ostep {
		err = f.ostepWalk(w, o)
	} else {
		err = f.realWalk(w, o)
	}
	return w, err
}

// answerCases writes the answers to the cases of the file name as one array.
func answerCases(ctx context.Context, w io.Writer, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	answers, err := solveFitCases(ctx, file)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return cli.WriteJSON(w, answers)
}
