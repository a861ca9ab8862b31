package paging

import (
	"fmt"
	"io"
	"strings"
)

// BenchHeader tells benchstat how to treat the lines of WriteBench: less is better,
// and every run counts the same.
const BenchHeader = "Unit TLB-misses better=lower assume=exact\nUnit walks better=lower assume=exact\n" +
	"Unit page-faults better=lower assume=exact\nUnit peak-pages better=lower assume=exact\nUnit mean-pages better=lower assume=exact\n" +
	"Unit swap-ins better=lower assume=exact\nUnit swap-outs better=lower assume=exact\n"

// WriteBench writes r as a line in the format of Go benchmarks for each machine:
// that with as much memory as is wanted, that which swaps, and that with huge pages,
// if there was one. The names are those that the allocator and the trace go by.
func (r *Result) WriteBench(w io.Writer, alloc, trace string) error {
	var sb strings.Builder
	line := func(machine, format string, args ...any) {
		fmt.Fprintf(&sb, "BenchmarkPaging/alloc=%s/trace=%s/machine=%s %d %s\n", alloc, trace, machine, r.Ops, fmt.Sprintf(format, args...))
	}
	line("ample", "%d TLB-misses %d walks %d page-faults %d peak-pages %.1f mean-pages", r.TLBMisses, r.Walks, r.PageFaults, r.PeakResident, r.MeanResident)
	line("tight", "%d TLB-misses %d page-faults %d swap-ins %d swap-outs", r.Tight.TLBMisses, r.Tight.PageFaults, r.Tight.SwapIns, r.Tight.SwapOuts)
	if r.Huge != nil {
		line("huge", "%d TLB-misses %d walks", r.Huge.TLBMisses, r.Huge.Walks)
	}
	_, err := io.WriteString(w, sb.String())
	return err
}
