package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

// maxSteps is how many references -step shows: more is no reading.
const maxSteps = 10000

// steps shows memory after each reference, in the words and columns of OSTEP's
// paging-policy.py.
func (j *pageJob) steps(w io.Writer, fut *replace.Future) error {
	if len(j.refs) > maxSteps {
		return fmt.Errorf("-step shows at most %d references, the trace has %d", maxSteps, len(j.refs))
	}
	out := bufio.NewWriter(w)
	for i, r := range j.makeRuns(fut) {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if len(j.specs)*len(j.frames) > 1 {
			fmt.Fprintf(out, "%s, %d frames\n\n", r.spec, r.sim.Frames())
		}
		if err := j.stepRun(out, r); err != nil {
			return err
		}
	}
	return out.Flush()
}

// stepRun shows one simulation.
func (j *pageJob) stepRun(w io.Writer, r pageRun) error {
	left, right := stepSides(r.spec.Info.Name)
	victim := "-"
	r.sim.OnEvict(func(v vm.PageID, dirty bool) {
		victim = fmt.Sprint(j.pages.Page(v))
		if dirty {
			victim += " (written back)"
		}
	})
	for _, ref := range j.refs {
		victim = "-"
		hit, err := r.sim.Step(ref)
		if err != nil {
			return err
		}
		word := "MISS"
		if hit {
			word = "HIT "
		}
		c := r.sim.Counts()
		fmt.Fprintf(w, "Access: %d  %s %s -> %12s <- %s Replaced:%s [Hits:%d Misses:%d]\n", j.pages.Page(ref.Page()), word, left,
			pythonList(residentPages(r.sim.Policy(), &j.pages)), right, victim, c.Hits, c.Misses)
	}
	c := r.sim.Counts()
	_, err := fmt.Fprintf(w, "\nFINALSTATS hits %d   misses %d   hitrate %.2f\n", c.Hits, c.Misses, 100*float64(c.Hits)/float64(max(c.Refs, 1)))
	return err
}

// stepSides names the ends of the list of pages.
func stepSides(policy string) (left, right string) {
	switch policy {
	case "FIFO":
		return "FirstIn", "Lastin "
	case "LRU", "MRU":
		return "LRU", "MRU"
	}
	return "Left ", "Right"
}

// pythonList writes numbers as Python prints a list.
func pythonList(ns []uint64) string {
	var parts []string
	for _, n := range ns {
		parts = append(parts, fmt.Sprint(n))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
