package main

import (
	"context"
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

TRACE is lackey text as valgrind prints it, a .vmt file, a list of numbers,
gzipped or not, - for standard input, or a generated one as gen:zipf:n=1000000.`

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
	pageSize := fs.Uint64("pagesize", 4096, "`bytes` of a page, a power of two")
	lenient := fs.Bool("lenient", false, "skip malformed records of the trace and count them")
	list := fs.Bool("list", false, "list the processors that a SPEC may name, as JSON configurations")
	asJSON := fs.Bool("json", false, "write a JSON array")
	if code, ok := cli.Parse(fs, args); !ok {
		return code
	}
	fail := func(code int, err error) int {
		fmt.Fprintln(e.err, "memlab tlb:", err)
		return code
	}
	if *list {
		if err := cli.WriteJSON(e.out, tlb.Presets()); err != nil {
			return fail(exitFound, err)
		}
		return exitOK
	}
	if fs.NArg() != 1 {
		return fail(exitUsage, fmt.Errorf("want one TRACE, got %d operands (flags stand before it)", fs.NArg()))
	}
	if bits.OnesCount64(*pageSize) != 1 || *pageSize < 2 || *pageSize > 1<<62 {
		return fail(exitUsage, fmt.Errorf("-pagesize %d is not a power of two from 2 to 2^62", *pageSize))
	}
	if len(specs) == 0 {
		specs = specList{"64x4,1536x12"}
	}
	runs, err := makeTLBs(specs)
	if err != nil {
		return fail(exitUsage, err)
	}
	skipped, err := feedTLBs(ctx, e, runs, fs.Arg(0), *lenient, uint8(bits.TrailingZeros64(*pageSize)))
	if err != nil {
		return fail(exitFound, err)
	}
	reportSkipped(e.err, "tlb", skipped)
	if *asJSON {
		err = cli.WriteJSON(e.out, tlbResults(runs))
	} else {
		err = writeTLBTable(e.out, runs)
	}
	if err != nil {
		return fail(exitFound, err)
	}
	return exitOK
}

// makeTLBs makes an empty TLB for each SPEC.
func makeTLBs(specs []string) ([]tlbRun, error) {
	var runs []tlbRun
	for _, s := range specs {
		c, err := tlb.Load(s, os.ReadFile)
		if err != nil {
			return nil, err
		}
		t, err := tlb.New(c)
		if err != nil {
			return nil, err
		}
		runs = append(runs, tlbRun{s, t})
	}
	return runs, nil
}

// feedTLBs reads the trace once and runs every TLB on it.
func feedTLBs(ctx context.Context, e *env, runs []tlbRun, path string, lenient bool, shift uint8) (int64, error) {
	refs := make([]tlb.Ref, trace.BatchRefs)
	return eachRefs(ctx, e, path, lenient, func(batch []trace.Ref) error {
		for i, r := range batch {
			refs[i] = tlb.Ref(r.Addr) &^ 1
			if r.Kind == trace.RefInstr {
				refs[i] |= 1
			}
		}
		for _, run := range runs {
			run.tlb.Run(vm.ASID(0), refs[:len(batch)], shift)
		}
		return nil
	})
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
