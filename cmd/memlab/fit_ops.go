package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/memlab-go/memlab/alloc/fit"
	"github.com/memlab-go/memlab/internal/mt19937"
)

// A fitOp is one operation of a walk. Blocks are known by the number of their
// allocation, from 0.
type fitOp struct {
	verb byte // '+' allocate, '-' free, '~' change size
	id   int
	size int // bytes; not for '-'
}

// parseFitOps parses "+24,-0,~1:50". Errors name the position and the text. A
// free of an allocation that was not made is one, but not for malloc.py, which
// skips it.
func parseFitOps(s string, ostep bool) ([]fitOp, error) {
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
		} else if op.id >= allocated && !(ostep && op.verb == '-') {
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

// ostepFitOps draws n operations as malloc.py does, with allocations of up to
// most bytes, about percent of a hundred. What is freed is among what could be
// allocated, so that the operations depend on the heap.
func ostepFitOps(seed uint64, n, most, percent int, heap *fit.OSTEP) []fitOp {
	rng := mt19937.New(seed)
	type block struct{ id, addr int }
	var live []block
	var ops []fitOp
	allocated := 0
	for len(ops) < n {
		if rng.Float() < float64(percent)/100 {
			op := fitOp{verb: '+', id: allocated, size: rng.Below(most) + 1}
			if addr, _ := heap.Malloc(op.size); addr >= 0 {
				live = append(live, block{op.id, addr})
			}
			ops = append(ops, op)
			allocated++
		} else if len(live) > 0 {
			k := rng.Below(len(live))
			heap.Free(live[k].addr)
			ops = append(ops, fitOp{verb: '-', id: live[k].id})
			live = slices.Delete(live, k, k+1)
		}
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
