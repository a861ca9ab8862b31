package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/trace"
)

// defaultOps is how many operations of a generated trace there are, and of an
// embedded one that is compared, unless -ops says otherwise: enough to fragment
// a heap, few enough for the textbook policies whose search is linear.
const defaultOps = 200_000

// openTrace returns the allocation trace that an operand names: a file, else an
// embedded trace, else a generated pattern, which seed varies. With ops > 0 it
// is cut after so many operations and marked as a prefix.
func openTrace(name string, ops int, seed uint64) (*trace.Trace, error) {
	t, err := trace.Open(name, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(corpus.Names(), name):
		t, err = corpus.Open(name)
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(patternNames(), name):
		if ops <= 0 {
			ops = defaultOps
		}
		return trace.Generate(name, seed, ops)
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "-"):
		return nil, fmt.Errorf("%s: no such file; flags stand before the traces", name)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file, and neither an embedded trace (%s) nor a pattern (%s)",
			name, strings.Join(corpus.Names(), ", "), strings.Join(patternNames(), ", "))
	}
	if err != nil {
		return nil, err
	}
	if ops > 0 {
		t = t.Head(ops)
	}
	return t, nil
}

// patternNames lists the generated traces.
func patternNames() []string {
	var out []string
	for _, p := range trace.AllocPatterns() {
		out = append(out, p.Name)
	}
	return out
}
