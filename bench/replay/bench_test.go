package replay

import (
	"testing"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/trace"
)

// BenchmarkReplay runs a trace in a heap that has run it before; compare the
// allocators with benchstat -col /alloc. The slowest policies are left out.
func BenchmarkReplay(b *testing.B) {
	var traces []*trace.Trace
	for _, name := range []string{"git-log", "xmllint-xpath"} {
		t, err := corpus.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		traces = append(traces, t)
	}
	for _, name := range []string{"random", "larson"} {
		t, err := trace.Generate(name, 1, 50_000)
		if err != nil {
			b.Fatal(err)
		}
		traces = append(traces, t)
	}
	for _, e := range Known() {
		if e.Name == "fit-worst" || e.Name == "fit-best" {
			continue
		}
		for _, t := range traces {
			b.Run("alloc="+e.Name+"/trace="+t.Name, func(b *testing.B) { benchmarkProgram(b, e, t) })
		}
	}
}

func benchmarkProgram(b *testing.B, e Entry, t *trace.Trace) {
	p, err := Compile(t)
	if err != nil {
		b.Fatal(err)
	}
	h, err := e.New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close() // its error tells of the blocks left, on purpose
	tab, cfg := make(table, p.Slots), &Config{raw: !e.Collected}
	for b.Loop() {
		if err := p.run(h, tab, cfg, nil); err != nil {
			b.Fatal(err)
		}
		p.freeLeft(h, tab)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*p.Ops), "ns/op")
}
