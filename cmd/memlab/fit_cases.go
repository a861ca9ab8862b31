package main

import (
	"context"
	"fmt"
	"io"

	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/internal/cli"
)

// A fitCase is one case of a file of OSTEP malloc cases: the inputs. Whatever
// else stands there, answers for one, is not read.
type fitCase struct {
	Policy   string    `json:"policy"`
	Order    string    `json:"order"`
	Coalesce bool      `json:"coalesce"`
	Header   int       `json:"header"`
	Align    int       `json:"align"` // -1: none
	Heap     int       `json:"heap"`
	Base     int       `json:"base"`
	Includes *bool     `json:"ret_includes_header"` // absent: true
	Steps    []fitStep `json:"steps"`
}

// A fitStep is one operation of a case: op is "alloc" or "free".
type fitStep struct {
	Op   string `json:"op"`
	ID   *int   `json:"id"`
	Size int    `json:"size"`
}

// A fitCaseAnswer is the answer to one case.
type fitCaseAnswer struct {
	Steps []fitAnswer `json:"steps"`
}

// A fitAnswer is what one operation did. Fields that do not apply are absent.
type fitAnswer struct {
	Op       string   `json:"op"`
	ID       int      `json:"id"`
	Size     *int     `json:"size,omitempty"`
	Ret      int      `json:"ret"`                // address; -1: no room; of a free 0, or -1: not allocated
	Searched *int     `json:"searched,omitempty"` // blocks looked at, of an allocation
	Free     [][2]int `json:"free"`               // address and size of each free block, in list order
}

// solveFitCases answers a JSON array of cases.
func solveFitCases(ctx context.Context, r io.Reader) ([]fitCaseAnswer, error) {
	var cases []fitCase
	if err := cli.ReadJSON(r, &cases); err != nil {
		return nil, err
	}
	answers := make([]fitCaseAnswer, len(cases))
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stopped after %d cases: %w", i, err)
		}
		steps, err := c.solve()
		if err != nil {
			return nil, fmt.Errorf("case %d: %w", i, err)
		}
		answers[i].Steps = steps
	}
	return answers, nil
}

// solve runs one case.
func (c *fitCase) solve() ([]fitAnswer, error) {
	o := fit.OSTEPOptions{Coalesce: c.Coalesce, Header: c.Header, Align: max(c.Align, 0), Size: c.Heap, Base: c.Base}
	var err error
	if o.Policy, err = fit.ParsePolicy(c.Policy); err != nil {
		return nil, err
	}
	if o.Order, err = fit.ParseOrder(c.Order); err != nil {
		return nil, err
	}
	heap, err := fit.NewOSTEP(o)
	if err != nil {
		return nil, err
	}
	shift := 0 // from a block's start to what is answered
	if c.Includes == nil || *c.Includes {
		shift = c.Header
	}
	addrs := map[int]int{}
	answers := make([]fitAnswer, 0, len(c.Steps))
	for i, s := range c.Steps {
		a, err := s.solve(heap, addrs, shift)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// solve performs one operation; addrs maps ids to the starts of their blocks.
func (s *fitStep) solve(heap *fit.OSTEP, addrs map[int]int, shift int) (fitAnswer, error) {
	if s.ID == nil {
		return fitAnswer{}, fmt.Errorf("%q has no id", s.Op)
	}
	a := fitAnswer{Op: s.Op, ID: *s.ID}
	switch s.Op {
	case "alloc":
		if s.Size < 0 {
			return a, fmt.Errorf("size %d", s.Size)
		}
		addr, searched := heap.Malloc(s.Size)
		addrs[a.ID] = addr
		a.Ret, a.Size, a.Searched = addr, &s.Size, &searched
		if addr >= 0 {
			a.Ret += shift
		}
	case "free":
		addr, ok := addrs[a.ID]
		if !ok {
			return a, fmt.Errorf("free of id %d, which was never allocated", a.ID)
		}
		if !heap.Free(addr) {
			a.Ret = -1
		}
	default:
		return a, fmt.Errorf("unknown operation %q (known: alloc, free)", s.Op)
	}
	a.Free = [][2]int{}
	for _, b := range heap.FreeList() {
		a.Free = append(a.Free, [2]int{b.Addr, b.Size})
	}
	return a, nil
}
