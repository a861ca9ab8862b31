package main

import (
	"context"
	"fmt"
	"io"
	"math/bits"
	"os"
	"strings"
	"time"

	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm/replace"
)

// A pageRun is one policy with one number of frames.
type pageRun struct {
	spec replace.Spec
	sim  *replace.Sim
}

// A pageJob is what memlab page does: a trace, numbered, and what runs on it.
type pageJob struct {
	flags   *pageFlags
	specs   []replace.Spec
	frames  []int
	shift   uint8
	pages   replace.Pages
	refs    []replace.Ref // the whole trace, if something must look ahead
	regions *trace.RegionCounts
	runs    []pageRun
	draws   int // OSTEP: random numbers used up by the references
	total   int64
}

// run is memlab page but for its -cases.
func (f *pageFlags) run(ctx context.Context, e *env) error {
	j := &pageJob{flags: f}
	var err error
	if j.specs, err = f.specs(); err != nil {
		return err
	}
	source, list, err := j.source(e)
	if err != nil {
		return err
	}
	defer source.Close()
	if j.frames, err = f.frameCounts(list); err != nil {
		return err
	}
	size := f.pageSize
	if size == 0 {
		size = defaultPageSize(list)
	}
	j.shift = uint8(bits.TrailingZeros64(size))
	if f.regions || f.html != "" {
		j.regions = trace.NewRegionCounts(j.shift)
	}
	if err := j.read(ctx, e, source); err != nil {
		return err
	}
	return j.report(ctx, e)
}

// source opens the references, and says whether they are plain page numbers.
func (j *pageJob) source(e *env) (*trace.RefFile, bool, error) {
	f := j.flags
	switch {
	case f.refs != "":
		r, err := trace.ReadFrom(strings.NewReader(f.refs), &trace.RefOptions{Name: "-refs", Lenient: f.lenient})
		return r, true, err
	case f.path == "":
		j.draws = f.n
		var refs []trace.Ref
		for _, p := range replace.OSTEPRefs(f.seed, f.n, f.maxPage) {
			refs = append(refs, trace.Ref{Addr: p, Kind: trace.RefLoad})
		}
		return &trace.RefFile{RefReader: trace.NewSliceReader(refs)}, true, nil
	}
	r, err := openRefs(e, f.path, f.lenient)
	return r, err == nil && r.IsList(), err
}

// looksAhead reports whether the whole trace must be known first.
func (j *pageJob) looksAhead() bool {
	for _, s := range j.specs {
		if s.Info.Future {
			return true
		}
	}
	return j.flags.html != "" || j.flags.step
}

// read reads the trace: into memory if something looks ahead, else through all
// simulations at once, batch by batch.
func (j *pageJob) read(ctx context.Context, e *env, r *trace.RefFile) error {
	whole := j.looksAhead()
	if !whole {
		j.runs = j.makeRuns(nil)
	}
	accs := make([]replace.Access, trace.BatchRefs)
	batch := make([]replace.Ref, trace.BatchRefs)
	return eachRefs(ctx, e, "page", j.name(), r, func(refs []trace.Ref) error {
		for i, ref := range refs {
			page := ref.Addr >> j.shift
			if page >= 1<<63 {
				return longPage(j.name(), j.total+int64(i), page)
			}
			accs[i] = replace.MakeAccess(page, ref.Kind.Writes())
		}
		j.total += int64(len(refs))
		if j.regions != nil {
			j.regions.Add(refs)
		}
		if len(j.runs) == 1 {
			return j.runs[0].sim.RunAccesses(&j.pages, accs[:len(refs)])
		}
		j.pages.Refs(accs[:len(refs)], batch)
		if whole {
			j.refs = append(j.refs, batch[:len(refs)]...)
			return nil
		}
		return runAll(j.runs, batch[:len(refs)])
	})
}

// makeRuns makes a simulation for each policy and number of frames.
func (j *pageJob) makeRuns(fut *replace.Future) []pageRun {
	var runs []pageRun
	for _, s := range j.specs {
		for _, n := range j.frames {
			runs = append(runs, pageRun{s, j.newSim(s, n, fut)})
		}
	}
	return runs
}

// newSim makes one simulation.
func (j *pageJob) newSim(s replace.Spec, frames int, fut *replace.Future) *replace.Sim {
	p := s.New(replace.Config{Frames: frames, Seed: j.flags.seed, Draws: j.draws, Future: fut})
	return replace.NewSim(p, frames)
}

func runAll(runs []pageRun, refs []replace.Ref) error {
	for _, r := range runs {
		if err := r.sim.Run(refs); err != nil {
			return err
		}
	}
	return nil
}

// report runs what had to wait for the whole trace and writes the results.
func (j *pageJob) report(ctx context.Context, e *env) error {
	var fut *replace.Future
	if j.runs == nil {
		var err error
		if fut, err = replace.NewFuture(j.refs); err != nil {
			return err
		}
		if j.flags.step {
			return j.steps(e.out, fut)
		}
		if err := j.runWhole(ctx, e, fut); err != nil {
			return err
		}
	}
	if j.flags.html != "" {
		if err := j.writeHTML(ctx, e, fut); err != nil {
			return err
		}
	}
	if j.flags.json {
		return cli.WriteJSON(e.out, j.results())
	}
	return j.writeTable(e.out)
}

// runWhole runs every simulation on the trace in memory.
func (j *pageJob) runWhole(ctx context.Context, e *env, fut *replace.Future) error {
	line := cli.NewProgress(e.err, e.terminal, time.Now)
	defer line.Done()
	j.runs = j.makeRuns(fut)
	for i, r := range j.runs {
		line.Step(int64(i), int64(len(j.runs)), fmt.Sprintf("%s, %d frames", r.spec, r.sim.Frames()))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.sim.Run(j.refs); err != nil {
			return fmt.Errorf("%s with %d frames: %w", r.spec, r.sim.Frames(), err)
		}
	}
	return nil
}

// pageResult is one element of the JSON array.
type pageResult struct {
	Policy     string `json:"policy"`
	Frames     int    `json:"frames"`
	Refs       int64  `json:"refs"`
	Misses     int64  `json:"misses"`
	Writebacks int64  `json:"writebacks"`
}

func (j *pageJob) results() []pageResult {
	out := make([]pageResult, 0, len(j.runs))
	for _, r := range j.runs {
		c := r.sim.Counts()
		out = append(out, pageResult{r.spec.String(), r.sim.Frames(), c.Refs, c.Misses, c.Writebacks})
	}
	return out
}

// writeTable writes the results for people.
func (j *pageJob) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s references to %s pages\n\n", cli.Count(j.total), cli.Count(int64(j.pages.Len())))
	t := cli.Table{Head: []string{"policy", "frames", "misses", "miss %", "write-backs", "mean resident"}}
	for _, r := range j.runs {
		c := r.sim.Counts()
		resident := "–"
		if c.Resident > 0 {
			resident = fmt.Sprintf("%.1f", float64(c.Resident)/float64(c.Refs))
		}
		t.Add(r.spec.String(), r.sim.Frames(), cli.Count(c.Misses), fmt.Sprintf("%.3f", 100*float64(c.Misses)/float64(max(c.Refs, 1))),
			cli.Count(c.Writebacks), resident)
	}
	if _, err := t.WriteTo(w); err != nil || j.regions == nil || !j.flags.regions {
		return err
	}
	fmt.Fprintln(w)
	_, err := j.regionTable().WriteTo(w)
	return err
}

// regionTable lists the regions of the address space.
func (j *pageJob) regionTable() *cli.Table {
	t := &cli.Table{Head: []string{"region", "pages", "I", "L", "S", "M"}}
	for _, r := range j.regions.Regions() {
		t.Add(r.Name, cli.Count(r.Pages), cli.Count(r.Kinds[0]), cli.Count(r.Kinds[1]), cli.Count(r.Kinds[2]), cli.Count(r.Kinds[3]))
	}
	return t
}

// writePageCases answers a file of OSTEP cases.
func writePageCases(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	answers, err := solvePageCases(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return cli.WriteJSON(w, answers)
}
