package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/memlab-go/memlab/internal/chart"
	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

// How finely the plots are sampled.
const (
	curveSizes  = 14  // memory sizes at which policies without a one-pass curve are simulated
	timeSamples = 240 // points of a plot over time
	pageMapRows = 64  // rows of the map of resident pages
	pageMapCols = 120
)

// writeHTML writes the plots to the file that -html names.
func (j *pageJob) writeHTML(ctx context.Context, e *env, fut *replace.Future) error {
	line := cli.NewProgress(e.err, e.terminal, time.Now)
	defer line.Done()
	curves, err := j.curves(ctx, fut, line)
	if err != nil {
		return err
	}
	faults, residents, err := j.overTime(ctx, fut)
	if err != nil {
		return err
	}
	heat, err := j.residentMap(fut)
	if err != nil {
		return err
	}
	frames := j.frames[0]
	page := chart.Page{
		Title: "Page replacement: " + j.name(),
		Lead:  fmt.Sprintf("%s references to %s pages of %s.", cli.Count(j.total), cli.Count(int64(j.pages.Len())), cli.Bytes(1<<j.shift)),
		Parts: []chart.Part{
			j.resultTable(),
			chart.Figure{Title: "Miss ratio by memory size",
				Caption: "LRU and OPT are exact for every size, from one pass each; the others are simulated at the sizes in the table. Nothing lies below OPT.",
				Chart:   curves},
			chart.Figure{Title: "Faults over time", Caption: fmt.Sprintf("Page faults so far, with %d frames. The scale is logarithmic where the policies lie far apart. A steep part is a change of phase or a memory too small for it.", frames),
				Chart: faults},
			chart.Figure{Title: "Frames over time",
				Caption: fmt.Sprintf("Resident pages with at most %d frames: working set and page fault frequency give frames back. Beside them the working set of the last %d references.", frames, j.tau()),
				Chart:   residents},
			chart.Figure{Title: "Which pages are resident", Caption: fmt.Sprintf("Pages by address (upwards) over time under %s with %d frames; the darker, the more of the pages of a cell are resident.", j.specs[0], frames),
				Chart: heat},
			chart.Heading("Regions"),
			chartTable(j.regionTable()),
		},
	}
	return cli.WriteFile(j.flags.html, func(w io.Writer) error {
		_, err := page.WriteTo(w)
		return err
	})
}

// name names the trace.
func (j *pageJob) name() string {
	switch {
	case j.flags.refs != "":
		return "references given"
	case j.flags.path == "":
		return fmt.Sprintf("OSTEP references, seed %d", j.flags.seed)
	}
	return refsName(j.flags.path)
}

func chartTable(t *cli.Table) chart.Table { return chart.Table{Head: t.Head, Rows: t.Rows} }

// resultTable is the table of all runs.
func (j *pageJob) resultTable() chart.Table {
	t := chart.Table{Caption: "Page faults", Head: []string{"policy", "frames", "misses", "miss %", "write-backs"}}
	for _, r := range j.results() {
		t.Rows = append(t.Rows, []string{r.Policy, fmt.Sprint(r.Frames), cli.Count(r.Misses),
			fmt.Sprintf("%.3f", 100*float64(r.Misses)/float64(max(r.Refs, 1))), cli.Count(r.Writebacks)})
	}
	return t
}

// tau is the window of the working set that is plotted.
func (j *pageJob) tau() int { return max(8*j.frames[0], 1) }

// curves makes the miss-ratio curves of all policies.
func (j *pageJob) curves(ctx context.Context, fut *replace.Future, line *cli.Progress) (*chart.Lines, error) {
	pages := max(j.pages.Len(), 1)
	sizes := spacedSizes(pages)
	l := &chart.Lines{X: chart.Axis{Label: "frames", Log: pages > 64}, Y: chart.Axis{Label: "miss ratio", Unit: chart.Percent, Log: true}, Height: 420}
	for i, s := range j.specs {
		line.Step(int64(i), int64(len(j.specs)), "miss-ratio curve of "+s.String())
		var curve []int64
		switch s.Info.Name {
		case "LRU":
			c := replace.NewLRUCurve()
			c.Add(j.refs)
			curve = c.Histogram().Curve()
		case "OPT":
			c := replace.NewOPTCurve()
			c.Add(j.refs)
			curve = c.Histogram().Curve()
		}
		series := chart.Series{Name: s.String()}
		at := sizes
		if curve != nil {
			at = exactSizes(len(curve) - 1)
		}
		for _, n := range at {
			misses, err := j.missesAt(ctx, s, n, curve, fut)
			if err != nil {
				return nil, err
			}
			series.X = append(series.X, float64(n))
			series.Y = append(series.Y, float64(misses)/float64(max(j.total, 1)))
		}
		l.Series = append(l.Series, series)
	}
	return l, nil
}

// missesAt reads a curve, or simulates where there is none.
func (j *pageJob) missesAt(ctx context.Context, s replace.Spec, frames int, curve []int64, fut *replace.Future) (int64, error) {
	if curve != nil {
		return curve[min(frames, len(curve)-1)], nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	sim := j.newSim(s, frames, fut)
	err := sim.Run(j.refs)
	return sim.Counts().Misses, err
}

// spacedSizes returns sizes from 1 to pages at equal ratios.
func spacedSizes(pages int) []int {
	var out []int
	for i := range curveSizes {
		n := int(math.Round(math.Pow(float64(pages), float64(i)/(curveSizes-1))))
		if len(out) == 0 || n > out[len(out)-1] {
			out = append(out, n)
		}
	}
	return out
}

// exactSizes returns sizes for a curve that is known everywhere: all small ones,
// then ever larger steps.
func exactSizes(last int) []int {
	var out []int
	for n := 1; n < last; n += 1 + n/24 {
		out = append(out, n)
	}
	return append(out, max(last, 1))
}

// overTime runs every policy with the first number of frames and samples faults
// and resident pages.
func (j *pageJob) overTime(ctx context.Context, fut *replace.Future) (faults, residents *chart.Lines, err error) {
	faults = &chart.Lines{X: chart.Axis{Label: "references"}, Y: chart.Axis{Label: "faults so far"}, Height: 340}
	residents = &chart.Lines{X: chart.Axis{Label: "references"}, Y: chart.Axis{Label: "pages"}}
	step := max(len(j.refs)/timeSamples, 1)
	for _, s := range j.specs {
		sim := j.newSim(s, j.frames[0], fut)
		f, r := chart.Series{Name: s.String()}, chart.Series{Name: s.String()}
		for at := 0; at < len(j.refs); at += step {
			end := min(at+step, len(j.refs))
			if err := sim.Run(j.refs[at:end]); err != nil {
				return nil, nil, err
			}
			f.X, f.Y = append(f.X, float64(end)), append(f.Y, float64(sim.Counts().Misses))
			r.X, r.Y = append(r.X, float64(end)), append(r.Y, float64(sim.Used()))
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		faults.Series = append(faults.Series, f)
		if _, ok := sim.Policy().(vm.Trimmer); ok || len(residents.Series) == 0 {
			if !ok {
				r.Name = "filled (" + r.Name + ")"
			}
			residents.Series = append(residents.Series, r)
		}
	}
	residents.Series = append(residents.Series, j.workingSet(step))
	faults.Y.Log = spread(faults.Series) > 30
	return faults, residents, nil
}

// spread returns the ratio of the largest to the smallest last value.
func spread(series []chart.Series) float64 {
	lo, hi := math.Inf(1), 1.0
	for _, s := range series {
		if n := len(s.Y); n > 0 {
			lo, hi = min(lo, max(s.Y[n-1], 1)), max(hi, s.Y[n-1])
		}
	}
	return hi / lo
}

// workingSet samples the size of the working set.
func (j *pageJob) workingSet(step int) chart.Series {
	ws := replace.NewWorkingSetSize(j.tau())
	s := chart.Series{Name: "working set"}
	for i, r := range j.refs {
		size := ws.Add(r)
		if (i+1)%step == 0 {
			s.X, s.Y = append(s.X, float64(i+1)), append(s.Y, float64(size))
		}
	}
	return s
}

// residentMap draws which pages are resident over time, pages by address.
func (j *pageJob) residentMap(fut *replace.Future) (*chart.Heat, error) {
	order := make([]vm.PageID, j.pages.Len())
	for i := range order {
		order[i] = vm.PageID(i)
	}
	slices.SortFunc(order, func(a, b vm.PageID) int {
		if j.pages.Page(a) < j.pages.Page(b) {
			return -1
		}
		return 1
	})
	rows := min(pageMapRows, len(order))
	columns := min(pageMapCols, len(j.refs))
	h := &chart.Heat{X: chart.Axis{Label: "references"}, Y: chart.Axis{Label: "pages by address"}, XMax: float64(len(j.refs)), YMax: float64(len(order)), Width: 720, Height: 320}
	h.Cells = make([][]uint8, rows)
	for r := range h.Cells {
		h.Cells[r] = make([]uint8, columns)
	}
	sim := j.newSim(j.specs[0], j.frames[0], fut)
	h.Rows = chart.Table{Head: []string{"references", "resident pages"}}
	for c := range columns {
		from, to := len(j.refs)*c/columns, len(j.refs)*(c+1)/columns
		if err := sim.Run(j.refs[from:to]); err != nil {
			return nil, err
		}
		for r := range rows {
			ids := order[len(order)*r/rows : len(order)*(r+1)/rows]
			n := 0
			for _, id := range ids {
				if sim.Contains(id) {
					n++
				}
			}
			if n > 0 {
				h.Cells[r][c] = chart.HeatOf(float64(n) / float64(len(ids)))
			}
		}
		if c%max(columns/12, 1) == 0 {
			h.Rows.Rows = append(h.Rows.Rows, []string{fmt.Sprint(to), fmt.Sprint(sim.Used())})
		}
	}
	return h, nil
}
