package main

import (
	"fmt"
	"io"
	"math"
	"runtime"

	"github.com/memlab-go/memlab/bench/paging"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/internal/cli"
)

const compareSchema = "memlab/compare/v1"

// compareJSON is the JSON form of a comparison.
type compareJSON struct {
	Schema  string          `json:"schema"`
	Go      string          `json:"go"`
	OS      string          `json:"os"`
	Arch    string          `json:"arch"`
	CPUs    int             `json:"cpus"`
	Summary []summary       `json:"summary"`
	VM      []vmSummary     `json:"vm_summary,omitempty"` // with -vm
	Results []compareResult `json:"results"`
}

// compareResult is one allocator on one trace.
type compareResult struct {
	*replay.Result
	VM *paging.Result `json:"vm,omitempty"` // with -vm, if the allocator reports events and was not too slow
}

func (c *comparison) json() compareJSON {
	out := compareJSON{Schema: compareSchema, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Summary: c.summaries()}
	for _, x := range c.cells {
		r := *x.result
		r.Points = nil
		out.Results = append(out.Results, compareResult{&r, x.vm})
	}
	if c.flags.vm.on {
		out.VM = c.vmSummaries()
	}
	return out
}

// A summary is the geometric mean of one allocator's figures over the traces it
// finished. Utilisations are shares, times nanoseconds an operation; figures
// that are missing for every trace are absent.
type summary struct {
	Alloc           string   `json:"alloc"`
	Traces          int      `json:"traces"` // finished
	Utilisation     *float64 `json:"utilisation,omitempty"`
	MeanUtilisation *float64 `json:"mean_utilisation,omitempty"`
	NsPerOp         *float64 `json:"ns_per_op,omitempty"`
	ColdNsPerOp     *float64 `json:"cold_ns_per_op,omitempty"`
	PeakCommitted   *float64 `json:"peak_committed_bytes,omitempty"`
	PeakResident    *float64 `json:"peak_resident_bytes,omitempty"`
}

// geomean collects the logarithms of positive values.
type geomean struct {
	sum float64
	n   int
}

func (g *geomean) add(v *float64) {
	if v != nil && *v > 0 {
		g.sum += math.Log(*v)
		g.n++
	}
}

func (g *geomean) value() *float64 {
	if g.n == 0 {
		return nil
	}
	v := math.Exp(g.sum / float64(g.n))
	return &v
}

func (c *comparison) summaries() []summary {
	var out []summary
	for _, en := range c.entries {
		s := summary{Alloc: en.Name}
		var util, mean, warm, cold, committed, resident geomean
		for _, x := range c.cells {
			if x.entry.Name != en.Name || !x.result.Valid {
				continue
			}
			r := x.result
			s.Traces++
			util.add(r.Utilisation)
			mean.add(r.MeanUtilisation)
			warm.add(warmOrCold(r))
			cold.add(r.ColdNsPerOp)
			committed.add(float(r.PeakCommitted))
			resident.add(float(r.PeakResident))
		}
		s.Utilisation, s.MeanUtilisation = util.value(), mean.value()
		s.NsPerOp, s.ColdNsPerOp = warm.value(), cold.value()
		s.PeakCommitted, s.PeakResident = committed.value(), resident.value()
		out = append(out, s)
	}
	return out
}

// warmOrCold returns the warm time, or the cold one where a pass took so long
// that there was no second.
func warmOrCold(r *replay.Result) *float64 {
	if r.NsPerOp == nil {
		return r.ColdNsPerOp
	}
	return r.NsPerOp
}

func float(v *int64) *float64 {
	if v == nil {
		return nil
	}
	f := float64(*v)
	return &f
}

// tableHead names the columns of the tables.
func tableHead(first string) []string {
	return []string{first, "peak util %", "mean util %", "warm ns/op", "cold ns/op", "committed", "resident", "valid"}
}

// row returns the cells of x after its name.
func (x *cell) row() []string {
	r := x.result
	valid := "yes"
	switch {
	case r.Stopped:
		valid = "too slow"
	case !r.Valid:
		valid = "NO"
	}
	return []string{percent(r.Utilisation), percent(r.MeanUtilisation), decimal(warmOrCold(r)), decimal(r.ColdNsPerOp),
		bytesOf(float(r.PeakCommitted)), bytesOf(float(r.PeakResident)), valid}
}

func (s *summary) row(traces int) []string {
	return []string{percent(s.Utilisation), percent(s.MeanUtilisation), decimal(s.NsPerOp), decimal(s.ColdNsPerOp),
		bytesOf(s.PeakCommitted), bytesOf(s.PeakResident), fmt.Sprintf("%d of %d", s.Traces, traces)}
}

const missing = "–"

func percent(v *float64) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf("%.1f", 100**v)
}

func decimal(v *float64) string {
	switch {
	case v == nil:
		return missing
	case *v >= 1000:
		return fmt.Sprintf("%.0f", *v)
	default:
		return fmt.Sprintf("%.1f", *v)
	}
}

func bytesOf(v *float64) string {
	if v == nil {
		return missing
	}
	return cli.Bytes(int64(math.Round(*v)))
}

// writeTables writes a table for each trace and the geometric means.
func (c *comparison) writeTables(w io.Writer) error {
	for i := range c.traces {
		t := &c.traces[i]
		fmt.Fprintf(w, "%s: %s ops, peak live payload %s\n", t.Label(), cli.Count(int64(len(t.Ops))), cli.Bytes(t.PeakLive()))
		tab := cli.Table{Head: tableHead("allocator")}
		for _, x := range c.of(t) {
			tab.Rows = append(tab.Rows, append([]string{x.entry.Name}, x.row()...))
		}
		if _, err := tab.WriteTo(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Geometric means over the traces that each allocator finished (%s):\n", machine())
	tab := cli.Table{Head: tableHead("allocator")}
	for _, s := range c.summaries() {
		tab.Rows = append(tab.Rows, append([]string{s.Alloc}, s.row(len(c.traces))...))
	}
	_, err := tab.WriteTo(w)
	return err
}
