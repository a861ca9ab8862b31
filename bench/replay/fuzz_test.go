package replay

import (
	"strings"
	"testing"

	"github.com/memlab-go/memlab/bench/trace"
)

// FuzzVerify runs whatever trace the reader accepts on the heaps: the oracle
// must find nothing wrong, and the compiled program must ask for the same.
func FuzzVerify(f *testing.F) {
	f.Add("1000\n4\n5\n1\na 0 100\nr 0 300\nc 1 3 8\nf 0\na 2 0\n")
	f.Add("1000\n4\n5\n1\nr 0 5000\nr 0 0\nf 0\na 0 70000\nf -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := trace.Read(strings.NewReader(text), "fuzz", &trace.Limits{MaxOps: 200, MaxIDs: 200, MaxBytes: 1 << 14})
		if err != nil {
			return
		}
		for _, o := range tr.Ops {
			if o.Bytes() > 1<<20 {
				return
			}
		}
		p, err := Compile(tr)
		if err != nil {
			t.Fatal(err)
		}
		if p.PeakLive != tr.PeakLive() {
			t.Fatalf("the program's peak is %d, the trace's %d", p.PeakLive, tr.PeakLive())
		}
		for _, e := range Known() {
			if e.Collected {
				continue // slow to begin again
			}
			if err := Verify(tr, e, Config{}); err != nil {
				t.Fatalf("%s: %v", e.Name, err)
			}
		}
	})
}
