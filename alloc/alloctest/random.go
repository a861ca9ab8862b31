package alloctest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// A Mix says what random operations look like. Zero fields mean the defaults.
type Mix struct {
	Ops        int   // operations in a list; 2000
	MaxLive    int   // ids in use, so the most live blocks; 64
	MaxSize    int   // most bytes of a block; 8192
	Boundaries []int // sizes to come back to, with one byte less and more; multiples of 16 and powers of two
	Unaligned  bool  // leave out the calls with an alignment of their own
	Seeds      int   // how many lists Random runs; 8, 2 with -short
}

func (m Mix) withDefaults() Mix {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&m.Ops, 2000)
	set(&m.MaxLive, 64)
	set(&m.MaxSize, 8192)
	if m.Seeds == 0 && testing.Testing() && testing.Short() {
		m.Seeds = 2
	}
	set(&m.Seeds, 8)
	if m.Boundaries == nil {
		for n := 16; n <= 512; n += 16 {
			m.Boundaries = append(m.Boundaries, n)
		}
		for n := 1024; n <= m.MaxSize; n *= 2 {
			m.Boundaries = append(m.Boundaries, n)
		}
	}
	return m
}

// RandomOps returns the operations that seed stands for.
func RandomOps(seed uint64, m Mix) []Op {
	m = m.withDefaults()
	rng := rand.New(rand.NewPCG(seed, 0x6d656d6c6162))
	ops := make([]Op, m.Ops)
	for i := range ops {
		ops[i] = m.op(rng)
	}
	return ops
}

func (m Mix) op(rng *rand.Rand) Op {
	o := Op{ID: rng.IntN(m.MaxLive), Size: m.size(rng)}
	switch n := rng.IntN(16); {
	case n < 7:
		o.Kind = OpMalloc
	case n < 8:
		o.Kind, o.Count = OpCalloc, 1+rng.IntN(4)
		o.Size /= o.Count
	case n < 11:
		o.Kind = OpRealloc
	default:
		return Op{Kind: OpFree, ID: o.ID}
	}
	if !m.Unaligned && o.Kind != OpCalloc && rng.IntN(8) == 0 {
		o.Align = 1 << rng.IntN(9)
	}
	return o
}

// size draws a size: a boundary or a neighbour of one, a small one, any.
func (m Mix) size(rng *rand.Rand) int {
	switch n := rng.IntN(8); {
	case n < 4:
		b := m.Boundaries[rng.IntN(len(m.Boundaries))] + rng.IntN(3) - 1
		return max(0, min(b, m.MaxSize))
	case n < 7:
		return rng.IntN(min(m.MaxSize, 200) + 1)
	}
	return rng.IntN(m.MaxSize + 1)
}

// Run performs ops on a under an [Oracle], verifies everything after every
// checkEvery of them (never, if 0) and at the end, frees what is left and
// verifies again. ErrNoMemory is no failure: the operation is passed over.
func Run(a alloc.Allocator, ops []Op, checkEvery int) error {
	o := NewOracle(a)
	for i, op := range ops {
		if err := o.Do(op); err != nil && !errors.Is(err, alloc.ErrNoMemory) {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		if checkEvery > 0 && (i+1)%checkEvery == 0 {
			if err := o.Verify(); err != nil {
				return fmt.Errorf("after operation %d, %v: %w", i, op, err)
			}
		}
	}
	if err := o.Verify(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	if err := o.FreeAll(); err != nil {
		return fmt.Errorf("after freeing everything: %w", err)
	}
	return nil
}

// Minimize returns a part of ops for which fails is still true and from which
// no single operation can be left out (delta debugging). fails must be true of
// ops. It calls fails O(n²) times at worst.
func Minimize(ops []Op, fails func([]Op) bool) []Op {
	for chunk := max(1, len(ops)/2); ; {
		removed := false
		for at := 0; at < len(ops); {
			end := min(at+chunk, len(ops))
			rest := append(append([]Op(nil), ops[:at]...), ops[end:]...)
			if fails(rest) {
				ops, removed = rest, true
				continue
			}
			at = end
		}
		switch {
		case chunk > 1:
			chunk /= 2
		case !removed:
			return ops
		}
	}
}

// Random runs random operations on fresh heaps, one subtest a seed, with
// everything verified after every 16 of them. A failing list is made short,
// verified after each operation then, printed, and saved as failing.rep in the
// test's artifact directory.
func Random(t *testing.T, newHeap func(testing.TB) alloc.Allocator, m Mix) {
	t.Helper()
	m = m.withDefaults()
	for seed := range uint64(m.Seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			ops := RandomOps(seed, m)
			if err := runFresh(t, newHeap, ops, 16); err != nil {
				fails := func(ops []Op) bool { return runFresh(t, newHeap, ops, 1) != nil }
				if fails(ops) {
					ops = Minimize(ops, fails)
				}
				report(t, ops, runFresh(t, newHeap, ops, 1), err)
			}
		})
	}
}

// runFresh runs ops on a heap of its own, cleaned up when it returns. A panic
// that is no Fault is an error too, so that it can be made short.
func runFresh(t *testing.T, newHeap func(testing.TB) alloc.Allocator, ops []Op, every int) (err error) {
	tb := &scope{TB: t}
	defer tb.done()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	a := newHeap(tb)
	if err := Run(a, ops, every); err != nil {
		return err
	}
	return closeHeap(a)
}

// report fails t with the shortest failing list.
func report(t *testing.T, ops []Op, err, first error) {
	t.Helper()
	if err == nil {
		err = first
	}
	var lines []string
	for _, o := range ops[:min(len(ops), 40)] {
		lines = append(lines, o.String())
	}
	path := filepath.Join(t.ArtifactDir(), "failing.rep")
	var buf bytes.Buffer
	if werr := WriteRep(&buf, ops); werr == nil {
		werr = os.WriteFile(path, buf.Bytes(), 0o644)
		t.Logf("saved as %s: %v", path, werr)
	}
	t.Fatalf("%v\n%d operations:\n%s", err, len(ops), strings.Join(lines, "\n"))
}

// A scope is a TB whose clean-ups run when it is done, not at the test's end.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup keeps f for done.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) done() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
