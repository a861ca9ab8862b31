//go:build unix

package vm

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/memlab-go/memlab/vm/tlb"
)

// extra names traces to be measured beside those that are always there.
var extra = flag.String("traces", "", "comma-separated traces to measure as well")

// An input is a trace as both sides take it.
type input struct {
	name string
	accs []replace.Access
	file string // the same for the C program
}

// inputs reads or makes the traces: a real program's, a zipf one, and extra ones.
func inputs(b *testing.B) []input {
	names := []string{"../../../vm/replace/testdata/perl-pages.vmt.gz", "gen:zipf:n=2000000,pages=20000,seed=1"}
	if *extra != "" {
		names = append(names, strings.Split(*extra, ",")...)
	}
	var out []input
	for i, name := range names {
		f, err := trace.OpenRefs(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		short, _, _ := strings.Cut(filepath.Base(name), ".")
		if strings.HasPrefix(name, "gen:") {
			short = strings.Split(name, ":")[1]
		}
		s := input{name: short, file: filepath.Join(b.TempDir(), fmt.Sprint(i))}
		err = trace.EachBatch(f, func(refs []trace.Ref) error {
			for _, r := range refs {
				s.accs = append(s.accs, replace.MakeAccess(r.Addr>>12, r.Kind.Writes()))
			}
			return nil
		})
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
		raw := make([]byte, 0, 8*len(s.accs))
		for _, a := range s.accs {
			raw = binary.NativeEndian.AppendUint64(raw, uint64(a))
		}
		if err := os.WriteFile(s.file, raw, 0o600); err != nil {
			b.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// compile builds a reference program, or skips the benchmark.
func compile(b *testing.B, source string) string {
	bin := filepath.Join(b.TempDir(), source)
	out, err := exec.Command("gcc", "-O2", "-o", bin, filepath.Join("testdata", source+".c")).CombinedOutput()
	if err != nil {
		b.Skipf("no reference: %v %s", err, out)
	}
	return bin
}

// runC runs a reference program once and returns what it printed.
func runC(b *testing.B, bin string, args ...string) map[string]float64 {
	out, err := exec.Command(bin, args...).Output()
	if err != nil {
		b.Fatal(err)
	}
	got := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		var name string
		var v float64
		if _, err := fmt.Sscan(line, &name, &v); err == nil {
			got[name] = v
		}
	}
	return got
}

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReplace runs each policy from raw page numbers to counts, numbering
// included, and the C program beside it for FIFO, LRU and CLOCK; counts must
// agree. go/ref is the ratio of times.
func BenchmarkReplace(b *testing.B) {
	bin := compile(b, "page")
	for _, s := range inputs(b) {
		for _, frames := range []int{64, 512, 4096} {
			for _, info := range replace.Catalog() {
				if info.Compat {
					continue
				}
				b.Run(fmt.Sprintf("trace=%s/policy=%s/frames=%d", s.name, info.Name, frames), func(b *testing.B) {
					measurePolicy(b, bin, s, info.Name, frames)
				})
			}
		}
	}
}

func measurePolicy(b *testing.B, bin string, s input, policy string, frames int) {
	inC := policy == "FIFO" || policy == "LRU" || policy == "CLOCK"
	ours, ref := 1e18, 1e18
	for range rounds {
		counts, ns := simulate(b, s.accs, policy, frames)
		ours = min(ours, ns)
		if !inC {
			continue
		}
		got := runC(b, bin, strings.ToLower(policy), fmt.Sprint(frames), s.file, "1")
		ref = min(ref, got["ns"])
		if int64(got["misses"]) != counts.Misses || int64(got["writebacks"]) != counts.Writebacks {
			b.Fatalf("reference counts %v, ours %+v", got, counts)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours, "ns/ref")
	if inC {
		b.ReportMetric(ref, "c-ns/ref")
		b.ReportMetric(ref/ours, "speed/c")
	}
}

// simulate runs one policy and returns counts and nanoseconds a reference.
func simulate(b *testing.B, accs []replace.Access, policy string, frames int) (replace.Counts, float64) {
	const batch = 2048
	var pages replace.Pages
	start := cpu()
	if policy == "OPT" {
		refs := make([]replace.Ref, len(accs))
		pages.Refs(accs, refs)
		fut, err := replace.NewFuture(refs)
		if err != nil {
			b.Fatal(err)
		}
		sim := replace.NewSim(replace.NewOPT(fut), frames)
		if err := sim.Run(refs); err != nil {
			b.Fatal(err)
		}
		return sim.Counts(), float64(cpu()-start) / float64(len(accs))
	}
	p, err := replace.New(policy, replace.Config{Frames: frames})
	if err != nil {
		b.Fatal(err)
	}
	sim := replace.NewSim(p, frames)
	for at := 0; at < len(accs); at += batch {
		if err := sim.RunAccesses(&pages, accs[at:min(at+batch, len(accs))]); err != nil {
			b.Fatal(err)
		}
	}
	return sim.Counts(), float64(cpu()-start) / float64(len(accs))
}

// BenchmarkTLBRun runs a trace through a TLB and the C program beside it; misses
// must agree. speed/c is the ratio of times.
func BenchmarkTLBRun(b *testing.B) {
	bin := compile(b, "tlbrun")
	for _, s := range inputs(b) {
		refs := make([]tlb.Ref, len(s.accs))
		for i, a := range s.accs {
			refs[i] = tlb.Ref(a>>1) << 12
		}
		for _, shape := range []string{"64x4", "64x64", "128x8", "1536x12"} {
			b.Run(fmt.Sprintf("trace=%s/tlb=%s", s.name, shape), func(b *testing.B) {
				measureTLB(b, bin, s, refs, shape)
			})
		}
	}
}

func measureTLB(b *testing.B, bin string, s input, refs []tlb.Ref, shape string) {
	entries, ways, _ := strings.Cut(shape, "x")
	conf, err := tlb.ParseSpec(shape)
	if err != nil {
		b.Fatal(err)
	}
	ours, ref := 1e18, 1e18
	for range rounds {
		t, err := tlb.New(conf)
		if err != nil {
			b.Fatal(err)
		}
		start := cpu()
		t.Run(1, refs, 12)
		ours = min(ours, float64(cpu()-start)/float64(len(refs)))
		got := runC(b, bin, entries, ways, s.file, "1")
		ref = min(ref, got["ns"])
		if int64(got["misses"]) != t.Stats().Levels[0].Misses() {
			b.Fatalf("reference misses %v, ours %d", got["misses"], t.Stats().Levels[0].Misses())
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours, "ns/ref")
	b.ReportMetric(ref, "c-ns/ref")
	b.ReportMetric(ref/ours, "speed/c")
}
