package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/internal/cli"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/replace"
)

// A pageCase is one case of a file of OSTEP paging cases: the inputs. Whatever
// else stands there, answers for one, is not read.
type pageCase struct {
	Policy    string   `json:"policy"`
	Frames    int      `json:"frames"`
	Seed      int64    `json:"seed"`
	Refs      []uint64 `json:"refs"`
	ClockBits *int     `json:"clockbits"`
}

// A pageCaseAnswer is the answer to one case. There is one element for each
// reference.
type pageCaseAnswer struct {
	Hit    []bool     `json:"hit"`
	Victim []*uint64  `json:"victim"` // null: nothing was evicted
	State  [][]uint64 `json:"state"`  // pages in memory, in the policy's order
	Hits   int64      `json:"hits"`
	Misses int64      `json:"misses"`
}

// solvePageCases answers a JSON array of cases.
func solvePageCases(r io.Reader) ([]pageCaseAnswer, error) {
	var cases []pageCase
	if err := cli.ReadJSON(r, &cases); err != nil {
		return nil, err
	}
	answers := make([]pageCaseAnswer, 0, len(cases))
	for i, c := range cases {
		a, err := c.solve()
		if err != nil {
			return nil, fmt.Errorf("case %d: %w", i, err)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// spec returns the policy as OSTEP plays it.
func (c *pageCase) spec() (replace.Spec, error) {
	name := strings.ToUpper(c.Policy)
	switch name {
	case "CLOCK":
		name = "OSTEP-CLOCK"
		if c.ClockBits != nil {
			name = fmt.Sprintf("OSTEP-CLOCK:bits=%d", *c.ClockBits)
		}
	case "RAND":
		name = "OSTEP-RAND"
	}
	return replace.ParseSpec(name)
}

// solve runs the case.
func (c *pageCase) solve() (a pageCaseAnswer, err error) {
	s, err := c.spec()
	if err != nil {
		return a, err
	}
	if c.Frames < 1 {
		return a, fmt.Errorf("%d frames", c.Frames)
	}
	var pages replace.Pages
	refs := make([]replace.Ref, len(c.Refs))
	for i, p := range c.Refs {
		if p >= 1<<63 {
			return a, fmt.Errorf("page number %d has more than 63 bits", p)
		}
		refs[i] = replace.MakeRef(pages.Number(p), false)
	}
	fut, err := replace.NewFuture(refs)
	if err != nil {
		return a, err
	}
	policy := s.New(replace.Config{Frames: c.Frames, Seed: c.Seed, Draws: replace.OSTEPDraws(c.Seed, c.Refs), Future: fut})
	sim := replace.NewSim(policy, c.Frames)
	var victim *uint64
	sim.OnEvict(func(v vm.PageID, _ bool) {
		n := pages.Page(v)
		victim = &n
	})
	a = pageCaseAnswer{Hit: []bool{}, Victim: []*uint64{}, State: [][]uint64{}}
	for _, r := range refs {
		victim = nil
		hit, err := sim.Step(r)
		if err != nil {
			return a, err
		}
		a.Hit = append(a.Hit, hit)
		a.Victim = append(a.Victim, victim)
		a.State = append(a.State, residentPages(policy, &pages))
	}
	a.Hits, a.Misses = sim.Counts().Hits, sim.Counts().Misses
	return a, nil
}

// residentPages lists the pages in memory in the policy's order, or by number
// if it shows none.
func residentPages(p vm.Policy, pages *replace.Pages) []uint64 {
	out := []uint64{}
	if l, ok := p.(vm.Lister); ok {
		for id := range l.Pages() {
			out = append(out, pages.Page(id))
		}
		return slices.Clip(out)
	}
	return out
}
