package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
)

// A table collects the results of all rounds.
type table struct {
	p          *plan
	engines    []string // in order of appearance
	workloads  []string
	results    map[[2]string][]result // by engine and workload
	footprints map[string][]footprint
}

func newTable(p *plan) *table {
	return &table{p: p, results: map[[2]string][]result{}, footprints: map[string][]footprint{}}
}

func (t *table) add(r result) {
	if !slices.Contains(t.engines, r.Engine) {
		t.engines = append(t.engines, r.Engine)
	}
	if !slices.Contains(t.workloads, r.Workload) {
		t.workloads = append(t.workloads, r.Workload)
	}
	k := [2]string{r.Engine, r.Workload}
	t.results[k] = append(t.results[k], r)
}

func (t *table) addFootprint(f footprint) {
	t.footprints[f.Engine] = append(t.footprints[f.Engine], f)
}

// best returns the fastest round, with the least processor time of all: what
// disturbs a machine only adds.
func (t *table) best(engine, workload string) (result, bool) {
	rs := t.results[[2]string{engine, workload}]
	if len(rs) == 0 {
		return result{}, false
	}
	b := slices.MaxFunc(rs, func(a, b result) int { return cmp.Compare(a.OpsPerS, b.OpsPerS) })
	for _, r := range rs {
		b.CPU = min(b.CPU, r.CPU)
	}
	return b, true
}

// or writes a figure, or a dash where there is none.
func or(format string, v float64) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "%d entries of 16+%d B, memtable %d MiB, cache %d MiB, bloom %d, snappy %v, no fsync, %d round(s), %s, %d processors\n\n",
		t.p.c.N, t.p.c.ValueSize, t.p.c.Memtable/mib, t.p.c.Cache/mib, t.p.c.BloomBits, t.p.c.Snappy, t.p.rounds,
		runtime.Version(), runtime.NumCPU())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "workload\tengine\tops/s\tvs %s\tcpu µs/op\tvs %s\tp50 µs\tp99\tp99.9\tB/op\tgc%%\tw-amp\tr-amp\tfound\n", t.p.base, t.p.base)
	for _, wl := range t.workloads {
		base, hasBase := t.best(t.p.base, wl)
		for _, e := range t.engines {
			r, ok := t.best(e, wl)
			if !ok {
				continue
			}
			ratio, cpuRatio := "-", "-"
			if hasBase {
				ratio = fmt.Sprintf("%.2f", r.OpsPerS/base.OpsPerS)
			}
			if hasBase && r.CPU > 0 && base.CPU > 0 {
				cpuRatio = fmt.Sprintf("%.2f", base.CPU/r.CPU)
			}
			fmt.Fprintf(tw, "%s\t%s\t%.0f\t%s\t%.2f\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.1f\t%s\t%s\t%d\n",
				wl, e, r.OpsPerS, ratio, r.CPU, cpuRatio, r.P50, r.P99, r.P999, r.AllocB, 100*r.GCShare,
				or("%.2f", r.WriteAmp), or("%.2f", r.ReadAmp), r.Found)
		}
	}
	fmt.Fprintln(tw)
	fmt.Fprintln(tw, "engine\tpeak RSS MiB\tanonymous\tGo heap\twrite amp\tspace amp")
	for _, e := range t.engines {
		if fs := t.footprints[e]; len(fs) > 0 {
			fs = slices.Clone(fs)
			slices.SortFunc(fs, func(a, b footprint) int { return cmp.Compare(a.PeakRSS, b.PeakRSS) })
			f := fs[len(fs)/2]
			fmt.Fprintf(tw, "%s\t%.0f\t%s\t%.1f\t%s\t%s\n", e, f.PeakRSS, or("%.0f", f.PeakAnon), f.GoHeap,
				or("%.2f", f.WriteAmp), or("%.2f", f.SpaceAmp))
		}
	}
	_ = tw.Flush() // of a terminal or a pipe: nobody is left to tell
}

// A report is the -json file.
type report struct {
	Schema     string      `json:"schema"`
	Config     config      `json:"config"`
	Results    []result    `json:"results"`
	Footprints []footprint `json:"footprints"`
}

func (t *table) report() report {
	r := report{Schema: "memlab/lsm-peers/v1", Config: t.p.c}
	for _, wl := range t.workloads {
		for _, e := range t.engines {
			r.Results = append(r.Results, t.results[[2]string{e, wl}]...)
		}
	}
	for _, e := range t.engines {
		r.Footprints = append(r.Footprints, t.footprints[e]...)
	}
	return r
}
