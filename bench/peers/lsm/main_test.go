package main

import (
	"strings"
	"testing"
)

// TestWorkloads runs every workload on every engine, small, and compares what
// they found: all get the same keys, so all must find the same.
func TestWorkloads(t *testing.T) {
	c := config{Memtable: 16 << 20, Cache: 4 << 20, BloomBits: 10, ValueSize: 100, N: 300, Goroutines: 2, Snappy: true}
	found := map[string]int64{}
	for _, name := range engineNames() {
		t.Run(name, func(t *testing.T) {
			r := &run{name: name, root: t.TempDir(), c: c, values: newValues(c.ValueSize)}
			for _, w := range strings.Split(defaultWorkloads, ",") {
				res, err := r.do(w)
				if err != nil {
					t.Fatalf("%s: %v", w, err)
				}
				if res.OpsPerS <= 0 || res.Ops < 1 {
					t.Errorf("%s: %+v", w, res)
				}
				if w == "readwhilewriting" {
					continue // depends on how far the writer came
				}
				if want, ok := found[w]; ok && want != res.Found {
					t.Errorf("%s: found %d, another engine found %d", w, res.Found, want)
				}
				found[w] = res.Found
			}
			if err := r.e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestKey(t *testing.T) {
	if got := string(key(nil, 1234567, ".")); got != "0000000001234567." {
		t.Errorf("key is %q", got)
	}
}

func TestHist(t *testing.T) {
	var h hist
	for i := 1; i <= 1000; i++ {
		h.add(1000 * 1000)
	}
	h.add(1 << 40)
	if p := h.us(.5); p < 900 || p > 1000 {
		t.Errorf("p50 of 1 ms is %v µs", p)
	}
	if p := h.us(.9999); p < 1e9/1e3 {
		t.Errorf("the outlier is at %v µs", p)
	}
}
