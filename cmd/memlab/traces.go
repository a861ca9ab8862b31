package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/trace"
)

// openTrace returns the allocation trace that an operand names: a file, else
// one of the embedded traces. With ops > 0 it is cut after so many operations
// and marked as a prefix.
func openTrace(name string, ops int) (*trace.Trace, error) {
	t, err := trace.Open(name, nil)
	if errors.Is(err, fs.ErrNotExist) {
		if t, err = corpus.Open(name); err != nil {
			return nil, fmt.Errorf("%s: no such file, and no embedded trace of that name (%s)", name, strings.Join(corpus.Names(), ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	if ops > 0 {
		t = t.Head(ops)
	}
	return t, nil
}
