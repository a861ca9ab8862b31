package alloctest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// Attack performs steps random operations while it flips bits anywhere in the
// heap's memory, one in flipEvery steps. Each call may succeed, return an
// error, or panic with a [*alloc.Fault]; any other panic fails t. A heap that
// has found itself corrupt is thrown away and a fresh one attacked.
//
// newHeap returns a heap and the memory that may be damaged, which must all be
// accessible (a region with the GoHeap backing). Attack returns how many heaps
// noticed.
func Attack(t testing.TB, newHeap func() (a alloc.Allocator, mem []byte), seed uint64, steps int) (noticed int) {
	t.Helper()
	const flipEvery = 16
	rng := rand.New(rand.NewPCG(seed, 0x61747461636b))
	mix := Mix{MaxSize: 512, MaxLive: 16}.withDefaults()
	var a alloc.Allocator
	var mem []byte
	var live map[int][]byte
	for step := range steps {
		if a == nil {
			a, mem = newHeap()
			live = map[int][]byte{}
		}
		if rng.IntN(flipEvery) == 0 {
			mem[rng.IntN(len(mem))] ^= 1 << rng.IntN(8)
		}
		err := attackStep(a, mix.op(rng), live, rng.IntN(64) == 0)
		var re runtime.Error
		if errors.As(err, &re) {
			t.Fatalf("seed %d: step %d: %v", seed, step, err)
		}
		if errors.Is(err, alloc.ErrCorrupt) {
			noticed++
			a = nil
		}
	}
	return noticed
}

// attackStep does one call and returns what became of it. Any panic that is no
// Fault comes back as a runtime error.
func attackStep(a alloc.Allocator, op Op, live map[int][]byte, check bool) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *alloc.Fault:
			err = r
			delete(live, op.ID)
		case runtime.Error:
			err = fmt.Errorf("%v: %w", op, r)
		default:
			panic(r)
		}
	}()
	if c, ok := a.(alloc.Checker); ok && check {
		if err := c.Check(); err != nil {
			return err
		}
	}
	b := live[op.ID]
	switch {
	case b == nil && op.Kind == OpCalloc:
		b, err = a.Calloc(op.Count, op.Size)
	case b == nil && op.Kind != OpFree:
		b, err = a.Malloc(op.Size)
	case op.Kind == OpRealloc:
		b, err = a.Realloc(b, op.Size)
	default:
		a.Free(b)
		b = nil
	}
	if err == nil {
		live[op.ID] = b
	}
	return err
}
