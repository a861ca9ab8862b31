package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A fitOp is one operation of a walk. Blocks are known by the number of their
// allocation, from 0.
type fitOp struct {
	verb byte // '+' allocate, '-' free, '~' change size
	id   int
	size int // bytes; not for '-'
}

// parseFitOps parses "+24,-0,~1:50". Errors name the position and the text.
func parseFitOps(s string) ([]fitOp, error) {
	var ops []fitOp
	allocated := 0
	for i, text := range strings.Split(s, ",") {
		text = strings.TrimSpace(text)
		op, err := parseFitOp(text)
		if err != nil {
			return nil, fmt.Errorf("operation %d: %q: %w", i+1, text, err)
		}
		if op.verb == '+' {
			op.id = allocated
			allocated++
		} else if op.id >= allocated {
			return nil, fmt.Errorf("operation %d: %q: there were only %d allocations before it", i+1, text, allocated)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func parseFitOp(s string) (fitOp, error) {
	if s == "" {
		return fitOp{}, fmt.Errorf("empty operation")
	}
	op := fitOp{verb: s[0]}
	number := func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return 0, fmt.Errorf("bad number %q", s)
		}
		return int(n), nil
	}
	var err error
	switch op.verb {
	case '+':
		op.size, err = number(s[1:])
	case '-':
		op.id, err = number(s[1:])
	case '~':
		id, size, ok := strings.Cut(s[1:], ":")
		if !ok {
			return op, fmt.Errorf("want ~K:SIZE")
		}
		if op.id, err = number(id); err == nil {
			op.size, err = number(size)
		}
	default:
		err = fmt.Errorf("want +SIZE, -K or ~K:SIZE")
	}
	return op, err
}

// randomFitOps draws n operations, about as many frees as allocations.
func randomFitOps(seed uint64, n int) []fitOp {
	rng := rand.New(rand.NewPCG(seed, 17))
	var ops []fitOp
	var live []int
	allocated := 0
	for range n {
		if len(live) == 0 || rng.IntN(2) == 0 {
			ops = append(ops, fitOp{verb: '+', id: allocated, size: 1 + rng.IntN(10)*(1+rng.IntN(10))})
			live = append(live, allocated)
			allocated++
			continue
		}
		k := rng.IntN(len(live))
		ops = append(ops, fitOp{verb: '-', id: live[k]})
		live = append(live[:k], live[k+1:]...)
	}
	return ops
}

// String writes the operation as OSTEP does.
func (op fitOp) String() string {
	switch op.verb {
	case '+':
		return fmt.Sprintf("ptr[%d] = Alloc(%d)", op.id, op.size)
	case '~':
		return fmt.Sprintf("ptr[%d] = Realloc(ptr[%d], %d)", op.id, op.id, op.size)
	default:
		return fmt.Sprintf("Free(ptr[%d])", op.id)
	}
}
