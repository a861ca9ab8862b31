package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm/replace"
)

// pageFlags are the flags of memlab page.
type pageFlags struct {
	policies, frames     string
	pageSize             uint64
	json, lenient        bool
	html, cases          string
	step, ostep, regions bool
	seed                 int64
	refs                 string
	n, maxPage, bits     int
	path                 string // the operand
}

const pageDescription = `
Runs a trace of memory references through page replacement policies and counts
page faults and write-backs, for each policy and number of frames.

TRACE is lackey text as valgrind prints it, a .vmt file, or a list of page
numbers as OSTEP has it, gzipped or not; - for standard input; or a generated one
as gen:zipf:n=1000000,pages=20000. Without TRACE the references are those of -refs,
or those that OSTEP's paging-policy.py draws from -seed, -n and -maxpage.

Policies are %s,
with parameters as in LRU-K:k=3 or WS:tau=500; "all" means all. Frames may be
given as 4,8,16 or 1-10.

With -ostep the policies CLOCK and RAND are those of OSTEP's simulator, with
Python's random numbers. With -cases FILE the cases of a JSON file (an array) are
answered in that mode.`

func (f *pageFlags) flagSet(w io.Writer) *flag.FlagSet {
	var names []string
	for _, p := range replace.Catalog() {
		if !p.Compat {
			names = append(names, p.Name)
		}
	}
	fs := cli.Flags(w, "page", "[TRACE]", fmt.Sprintf(pageDescription, strings.Join(names, ", ")),
		"memlab page -policy FIFO,LRU,CLOCK,OPT -frames 64,256 sqlite3.vmt.gz\nmemlab page -ostep -step -policy CLOCK -frames 3 -seed 6")
	fs.StringVar(&f.policies, "policy", "FIFO,LRU,CLOCK,LFU,OPT", "comma-separated `policies`, or all")
	fs.StringVar(&f.frames, "frames", "", "comma-separated numbers of `frames` (default 64,256; 3 for lists)")
	fs.Uint64Var(&f.pageSize, "pagesize", 0, "`bytes` of a page, a power of two (default 4096; 1 for lists)")
	fs.BoolVar(&f.json, "json", false, "write a JSON array")
	fs.BoolVar(&f.lenient, "lenient", false, "skip malformed records of the trace and count them")
	fs.StringVar(&f.html, "html", "", "also write plots to this HTML `file`")
	fs.StringVar(&f.cases, "cases", "", "answer the cases of this JSON `file` as OSTEP does (needs -json)")
	fs.BoolVar(&f.step, "step", false, "show memory after each reference, as OSTEP prints it")
	fs.BoolVar(&f.ostep, "ostep", false, "CLOCK and RAND as in OSTEP's simulator")
	fs.BoolVar(&f.regions, "regions", false, "also count references and pages by region: program and heap, mapped, stack")
	fs.Int64Var(&f.seed, "seed", 0, "seed of random policies, and of the references when none are given")
	fs.StringVar(&f.refs, "refs", "", "the references, as `8,7,4,2`, in place of TRACE")
	fs.IntVar(&f.n, "n", 10, "number of references to draw when none are given")
	fs.IntVar(&f.maxPage, "maxpage", 10, "page numbers drawn are below this")
	fs.IntVar(&f.bits, "clockbits", 2, "with -ostep: most that CLOCK counts for a page")
	return fs
}

// runPage is memlab page.
func runPage(ctx context.Context, e *env, args []string) int {
	var f pageFlags
	fs := f.flagSet(e.err)
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	f.path = fs.Arg(0)
	err := f.check(fs)
	if err == nil {
		if f.cases != "" {
			err = writePageCases(e.out, f.cases)
		} else {
			err = f.run(ctx, e)
		}
	}
	if err != nil {
		complain(e, "page", err)
	}
	return exitCode(err)
}

// check reports what is wrong with the flags.
func (f *pageFlags) check(fs *flag.FlagSet) error {
	operands := fs.NArg()
	switch {
	case operands > 1:
		return badUsage("want one TRACE, got %d operands (flags stand before it)", operands)
	case operands == 1 && (f.refs != "" || f.cases != ""):
		return badUsage("TRACE %q beside -refs or -cases", f.path)
	case f.cases != "" && !f.json:
		return badUsage("-cases needs -json")
	case f.pageSize != 0 && (bits.OnesCount64(f.pageSize) != 1 || f.pageSize > 1<<62):
		return badUsage("-pagesize %d is not a power of two up to 2^62", f.pageSize)
	case f.n < 1 || f.n > 1<<24:
		return badUsage("-n %d: want 1 to %d", f.n, 1<<24)
	case f.maxPage < 1:
		return badUsage("-maxpage %d: want at least 1", f.maxPage)
	case f.step && f.json:
		return badUsage("-step and -json exclude each other")
	case f.step && f.html != "":
		return badUsage("-step and -html exclude each other")
	}
	if err := f.checkUseless(given(fs)); err != nil {
		return err
	}
	return checkHTML(f.html)
}

// checkUseless refuses flags that would change nothing.
func (f *pageFlags) checkUseless(set map[string]bool) error {
	var errs []error
	if f.cases != "" {
		errs = append(errs, useless(set, "with -cases, which says all itself",
			"policy", "frames", "pagesize", "lenient", "html", "step", "regions", "refs", "n", "maxpage", "clockbits"))
	}
	if set["frames"] && len(cli.List(f.frames)) == 0 {
		errs = append(errs, badUsage("-frames %q: no number of frames", f.frames))
	}
	if f.path != "" || f.refs != "" {
		errs = append(errs, useless(set, "when the references are given", "n", "maxpage"))
	}
	if !f.ostep {
		errs = append(errs, useless(set, "without -ostep", "clockbits"))
	}
	return cmp.Or(errs...)
}

// specs parses the policies.
func (f *pageFlags) specs() ([]replace.Spec, error) {
	names := cli.List(f.policies)
	if strings.EqualFold(f.policies, "all") {
		names = nil
		for _, p := range replace.Catalog() {
			if !p.Compat {
				names = append(names, p.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil, badUsage("no policy")
	}
	var specs []replace.Spec
	for _, name := range names {
		if f.ostep {
			switch strings.ToUpper(name) {
			case "CLOCK":
				name = "OSTEP-CLOCK:bits=" + strconv.Itoa(f.bits)
			case "RAND", "RANDOM":
				name = "OSTEP-RAND"
			}
		}
		s, err := replace.ParseSpec(name)
		if err != nil {
			return nil, usageError{err}
		}
		specs = append(specs, s)
	}
	return specs, nil
}

// maxPageFrames bounds -frames.
const maxPageFrames = 1 << 30

// frameCounts parses -frames: numbers and ranges.
func (f *pageFlags) frameCounts(list bool) ([]int, error) {
	text := f.frames
	if text == "" {
		text = "64,256"
		if list {
			text = "3"
		}
	}
	var out []int
	for _, part := range cli.List(text) {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		lo, err1 := strconv.Atoi(from)
		hi, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || lo < 1 || hi > maxPageFrames || hi < lo || hi-lo > 1<<16 {
			return nil, badUsage("-frames: bad number of frames %q", part)
		}
		for n := lo; n <= hi; n++ {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nil, badUsage("-frames: no number of frames")
	}
	return out, nil
}
