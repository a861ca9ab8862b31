package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/bits"
	"os"

	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/tlb"
)

const tlbDescription = `
Runs a trace of memory references through TLBs and counts their misses. Every
page is mapped; fetches (I) ask the instruction side, loads, stores and modifies
(L, S, M: one reference each) the data side.

A SPEC is 64x4 (entries × ways, LRU), 64x4,1536x12 (two levels),
split:64x8/64x4,1536x12 (instructions and data, then a shared second level), a
JSON file, or the name of a processor (-list shows them). 64 alone is fully
associative; :lru, :plru, :fifo, :random or :lfu behind an array chooses what is
replaced.

TRACE is lackey text as valgrind prints it, a .vmt file, or a list of page
numbers as OSTEP has it, gzipped or not; - for standard input; or a generated one
as gen:zipf:n=1000000. With a -pagesize of its own a list is one of byte addresses.`

// specList is a flag that may be given several times.
type specList []string

func (s *specList) String() string     { return fmt.Sprint([]string(*s)) }
func (s *specList) Set(v string) error { *s = append(*s, v); return nil }

// tlbRun is one TLB and its name on the command line.
type tlbRun struct {
	spec string
	tlb  *tlb.TLB
}

// runTLB is memlab tlb.
func runTLB(ctx context.Context, e *env, args []string) int {
	fs := cli.Flags(e.err, "tlb", "TRACE", tlbDescription,
		"memlab tlb -tlb 64x4 -tlb split:64x8/64x4,1536x12 sqlite3.vmt.gz")
	var specs specList
	fs.Var(&specs, "tlb", "`SPEC` of a TLB; may be given several times (default 64x4,1536x12)")
	pageSize := fs.Uint64("pagesize", 0, "`bytes` of a page, a power of two (default 4096; 1 for lists)")
	lenient := fs.Bool("lenient", false, "skip malformed records of the trace and count them")
	list := fs.Bool("list", false, "list the processors that a SPEC may name, as JSON configurations")
	asJSON := fs.Bool("json", false, "write a JSON array")
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	err := checkTLB(fs, *list, *pageSize)
	switch {
	case err != nil:
	case *list:
		err = cli.WriteJSON(e.out, tlb.Presets())
	default:
		var runs []tlbRun
		if runs, err = makeTLBs(specs); err != nil {
			break
		}
		if err = feedTLBs(ctx, e, runs, fs.Arg(0), *lenient, *pageSize); err != nil {
			break
		}
		if *asJSON {
			err = cli.WriteJSON(e.out, tlbResults(runs))
		} else {
			err = writeTLBTable(e.out, runs)
		}
	}
	if err != nil {
		complain(e, "tlb", err)
	}
	return exitCode(err)
}

// checkTLB says what makes no sense on the command line.
func checkTLB(fs *flag.FlagSet, list bool, pageSize uint64) error {
	if list {
		if fs.NArg() != 0 {
			return badUsage("-list takes no TRACE, got %q", fs.Arg(0))
		}
		return useless(given(fs), "with -list", "tlb", "pagesize", "lenient")
	}
	if fs.NArg() != 1 {
		return badUsage("want one TRACE, got %d operands (flags stand before it)", fs.NArg())
	}
	if pageSize != 0 && (bits.OnesCount64(pageSize) != 1 || pageSize > 1<<62) {
		return badUsage("-pagesize %d is not a power of two up to 2^62", pageSize)
	}
	return nil
}

// makeTLBs makes an empty TLB for each SPEC.
func makeTLBs(specs []string) ([]tlbRun, error) {
	if len(specs) == 0 {
		specs = []string{"64x4,1536x12"}
	}
	var runs []tlbRun
	for _, s := range specs {
		c, err := tlb.Load(s, os.ReadFile)
		if err != nil {
			return nil, usageError{err}
		}
		t, err := tlb.New(c)
		if err != nil {
			return nil, usageError{err}
		}
		runs = append(runs, tlbRun{s, t})
	}
	return runs, nil
}

// feedTLBs reads the trace once and runs every TLB on it. The numbers of a list
// are pages, unless there is a page size.
func feedTLBs(ctx context.Context, e *env, runs []tlbRun, path string, lenient bool, pageSize uint64) error {
	file, err := openRefs(e, path, lenient)
	if err != nil {
		return err
	}
	defer file.Close()
	if pageSize == 0 {
		pageSize = defaultPageSize(file.IsList())
	}
	shift, up := uint8(bits.TrailingZeros64(pageSize)), 0
	if shift == 0 {
		shift, up = 1, 1 // the lowest bit of a tlb.Ref says what it is
	}
	refs := make([]tlb.Ref, trace.BatchRefs)
	n := int64(0)
	return eachRefs(ctx, e, "tlb", refsName(path), file, func(batch []trace.Ref) error {
		for i, r := range batch {
			if up > 0 && r.Addr >= 1<<63 {
				return longPage(refsName(path), n+int64(i), r.Addr)
			}
			refs[i] = tlb.Ref(r.Addr<<up) &^ 1
			if r.Kind == trace.RefInstr {
				refs[i] |= 1
			}
		}
		n += int64(len(batch))
		for _, run := range runs {
			run.tlb.Run(vm.ASID(0), refs[:len(batch)], shift)
		}
		return nil
	})
}

// defaultPageSize is the page size when none is given: a list has page numbers.
func defaultPageSize(list bool) uint64 {
	if list {
		return 1
	}
	return 4096
}

// longPage is the error about a page number that does not fit, of the i-th
// reference.
func longPage(name string, i int64, page uint64) error {
	return fmt.Errorf("%s: reference %d: page number %#x has more than 63 bits", name, i+1, page)
}

// tlbResult is one element of the JSON array. A field that does not apply is
// absent.
type tlbResult struct {
	Spec       string `json:"spec"`
	Refs       int64  `json:"refs"`
	Misses     int64  `json:"misses"`
	L2Misses   *int64 `json:"l2_misses,omitempty"`
	ITLBMisses *int64 `json:"itlb_misses,omitempty"`
	DTLBMisses *int64 `json:"dtlb_misses,omitempty"`
}

// tlbResults makes the JSON array.
func tlbResults(runs []tlbRun) []tlbResult {
	out := make([]tlbResult, 0, len(runs))
	for _, run := range runs {
		s := run.tlb.Stats()
		r := tlbResult{Spec: run.spec, Refs: s.Refs(), Misses: s.Levels[0].Misses()}
		if len(s.Levels) > 1 {
			n := s.Levels[1].Misses()
			r.L2Misses = &n
		}
		if run.tlb.Config().Levels[0].Instr != nil {
			r.ITLBMisses, r.DTLBMisses = &s.Levels[0].Instr.Misses, &s.Levels[0].Data.Misses
		}
		out = append(out, r)
	}
	return out
}

// writeTLBTable writes the results for people, with cycles at the TLB's own cost
// or, if it has none, the default one.
func writeTLBTable(w io.Writer, runs []tlbRun) error {
	t := cli.Table{Head: []string{"tlb", "refs", "misses", "miss %", "itlb", "dtlb", "l2 misses", "cycles/ref"}}
	cell := func(n *int64) string {
		if n == nil {
			return "–"
		}
		return cli.Count(*n)
	}
	for i, r := range tlbResults(runs) {
		cost := runs[i].tlb.Config().Cost
		if cost.Step == 0 && cost.Levels == nil {
			cost = tlb.DefaultCost()
		}
		refs := max(r.Refs, 1)
		t.Add(r.Spec, cli.Count(r.Refs), cli.Count(r.Misses), fmt.Sprintf("%.3f", 100*float64(r.Misses)/float64(refs)),
			cell(r.ITLBMisses), cell(r.DTLBMisses), cell(r.L2Misses), float64(cost.Cycles(runs[i].tlb.Stats()))/float64(refs))
	}
	_, err := t.WriteTo(w)
	return err
}
