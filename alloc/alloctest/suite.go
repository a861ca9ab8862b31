package alloctest

import (
	"errors"
	"io"
	"math"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

// A Claim is a promise beyond the contract that an allocator makes, and that
// [Test] then holds it to.
type Claim uint

const (
	// Detects claims that every double, interior, misaligned and foreign free
	// panics with a *alloc.Fault and changes nothing.
	Detects Claim = 1 << iota
	// Bounded claims that newHeap's heap has a limit of at most 64 MiB: filling
	// it gives ErrNoMemory with figures, and freeing makes room again.
	Bounded
	// Restores claims that a heap whose blocks are all freed is as it was when
	// it was fresh: same blocks, same Stats except the running counters.
	Restores
	// KeepsRequested claims that Stats().Requested is the exact sum of the sizes
	// asked for.
	KeepsRequested
	// Fragments admits that the heap never joins free blocks, so that freed
	// memory may be of no use for other sizes: the test that it is used again
	// is left out.
	Fragments
)

// A suite is one run of Test.
type suite struct {
	newHeap func(testing.TB) alloc.Allocator
	claims  Claim
}

// Test runs the conformance suite: what the contract of [alloc.Allocator] says,
// and the claims, one subtest each. newHeap returns a fresh, empty allocator;
// one that is an io.Closer is closed at the end of the subtest and must then
// report no leak. The optional interfaces (Aligned, Sizer, Walker, Checker,
// Statser) are tested where the allocator has them, and Check after each step.
func Test(t *testing.T, newHeap func(testing.TB) alloc.Allocator, claims ...Claim) {
	t.Helper()
	s := &suite{newHeap: newHeap}
	for _, c := range claims {
		s.claims |= c
	}
	t.Run("malloc_zero", s.run(mallocZero))
	t.Run("bad_size", s.run(badSize))
	t.Run("calloc", s.run(callocZeroes))
	t.Run("views", s.run(views))
	t.Run("alignment", s.run(alignment))
	t.Run("aligned", s.run(aligned))
	t.Run("realloc", s.run(reallocRules))
	t.Run("realloc_keeps", s.run(reallocKeeps))
	t.Run("free_nil", s.run(freeNil))
	t.Run("free_prefix", s.run(freePrefix))
	if s.claims&Fragments == 0 {
		t.Run("reuse", s.run(reuse))
	}
	t.Run("usable", s.run(usable))
	t.Run("walk", s.run(walk))
	t.Run("stats", s.run(stats))
	t.Run("random", s.run(randomOps))
	if s.claims&Detects != 0 {
		t.Run("bad_free", s.run(badFree))
		t.Run("bad_realloc", s.run(badRealloc))
		t.Run("foreign", s.foreign)
	}
	if s.claims&Bounded != 0 {
		t.Run("exhaustion", s.run(exhaustion))
	}
	if s.claims&Restores != 0 {
		t.Run("restores", s.run(restores))
	}
	t.Run("close", s.afterClose)
}

// A harness is one subtest's allocator with the calls that must succeed.
type harness struct {
	testing.TB
	alloc.Allocator
	claims Claim
}

// run wraps f into a subtest with a fresh heap.
func (s *suite) run(f func(h *harness)) func(*testing.T) {
	return func(t *testing.T) {
		h := &harness{TB: t, Allocator: s.newHeap(t), claims: s.claims}
		f(h)
		if t.Failed() {
			return
		}
		h.check()
		if err := closeHeap(h.Allocator); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// closeHeap closes a if it can be closed.
func closeHeap(a alloc.Allocator) error {
	if c, ok := a.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// check fails the test if the allocator's own structures are unsound.
func (h *harness) check() {
	h.Helper()
	if c, ok := h.Allocator.(alloc.Checker); ok {
		if err := c.Check(); err != nil {
			h.Fatalf("Check: %v", err)
		}
	}
	if s, ok := h.Allocator.(alloc.Statser); ok {
		if err := CheckStats(s.Stats()); err != nil {
			h.Fatal(err)
		}
	}
}

// malloc allocates size bytes or fails the test.
func (h *harness) malloc(size int) []byte {
	h.Helper()
	b, err := h.Malloc(size)
	if err != nil {
		h.Fatalf("Malloc(%d): %v", size, err)
	}
	if b == nil || len(b) != size || cap(b) != size {
		h.Fatalf("Malloc(%d): nil %v, len %d, cap %d", size, b == nil, len(b), cap(b))
	}
	h.check()
	return b
}

// free frees b, which must be a live block.
func (h *harness) free(b []byte) {
	h.Helper()
	if err := alloc.Try(func() { h.Free(b) }); err != nil {
		h.Fatalf("Free of a live block of %d bytes: %v", len(b), err)
	}
	h.check()
}

// stats returns the allocator's Stats, if it has any.
func (h *harness) stats() (alloc.Stats, bool) {
	if s, ok := h.Allocator.(alloc.Statser); ok {
		return s.Stats(), true
	}
	return alloc.Stats{}, false
}

// unchanged calls f and fails the test if it changed what is live.
func (h *harness) unchanged(what string, f func()) {
	h.Helper()
	before, _ := h.stats()
	f()
	h.check()
	after, _ := h.stats()
	if before.LiveBlocks != after.LiveBlocks || before.Live != after.Live ||
		before.Mallocs != after.Mallocs || before.Frees != after.Frees {
		h.Fatalf("%s changed the heap: %+v, then %+v", what, before, after)
	}
}

// wantErr fails the test unless err wraps one of wants.
func (h *harness) wantErr(what string, err error, wants ...error) {
	h.Helper()
	for _, w := range wants {
		if errors.Is(err, w) {
			return
		}
	}
	h.Fatalf("%s: error %v, want one of %v", what, err, wants)
}

func mallocZero(h *harness) {
	seen := map[uintptr]bool{}
	var blocks [][]byte
	for i := range 100 {
		b := h.malloc(i % 2 * 24)
		if seen[addr(b)] {
			h.Fatalf("Malloc(%d) gave the address of a live block", i%2*24)
		}
		seen[addr(b)] = true
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		h.free(b)
	}
}

func badSize(h *harness) {
	keep := h.malloc(40)
	bad := []int{-1, math.MinInt}
	huge := []int{math.MaxInt, math.MaxInt - 1, math.MaxInt - 15, math.MaxInt - 16, math.MaxInt - 4095, math.MaxInt/2 + 1}
	for _, n := range append(bad, huge...) {
		h.unchanged("Malloc of a bad size", func() {
			b, err := h.Malloc(n)
			h.wantErr("Malloc", err, alloc.ErrSize, alloc.ErrNoMemory)
			if b != nil {
				h.Fatalf("Malloc(%d) gave a block with its error", n)
			}
			_, err = h.Realloc(keep, n)
			h.wantErr("Realloc", err, alloc.ErrSize, alloc.ErrNoMemory)
		})
	}
	for _, n := range bad {
		_, err := h.Malloc(n)
		h.wantErr("Malloc of a negative size", err, alloc.ErrSize)
		_, err = h.Realloc(keep, n)
		h.wantErr("Realloc to a negative size", err, alloc.ErrSize)
	}
	pairs := [][2]int{{-1, 8}, {8, -1}, {-1, -1}, {math.MaxInt, 2}, {2, math.MaxInt},
		{math.MaxInt/2 + 1, 2}, {math.MaxInt, math.MaxInt}, {1 << (intBits/2 + 1), 1 << (intBits / 2)}}
	for _, p := range pairs {
		h.unchanged("Calloc of a bad size", func() {
			_, err := h.Calloc(p[0], p[1])
			h.wantErr("Calloc", err, alloc.ErrSize)
		})
	}
	h.free(keep)
}

// intBits is the number of bits of an int.
const intBits = 32 << (^uint(0) >> 63)

func callocZeroes(h *harness) {
	for _, n := range []int{1, 7, 24, 100, 500, 5000, 70000} {
		for range 3 {
			dirty := h.malloc(n)
			for i := range dirty {
				dirty[i] = 0xff
			}
			h.free(dirty)
			b, err := h.Calloc(n, 1)
			if err != nil || len(b) != n || cap(b) != n {
				h.Fatalf("Calloc(%d, 1): len %d, cap %d, %v", n, len(b), cap(b), err)
			}
			if !isZero(b) {
				h.Fatalf("Calloc(%d, 1) on recycled memory is not zero", n)
			}
			h.free(b)
		}
	}
	for _, p := range [][2]int{{0, 8}, {8, 0}, {0, math.MaxInt}, {math.MaxInt, 0}} {
		b, err := h.Calloc(p[0], p[1])
		if err != nil || b == nil || len(b) != 0 {
			h.Fatalf("Calloc(%d, %d): nil %v, len %d, %v", p[0], p[1], b == nil, len(b), err)
		}
		h.free(b)
	}
}

func views(h *harness) {
	a, b := h.malloc(20), h.malloc(20)
	grown := append(a, 1)
	if addr(grown) == addr(a) {
		h.Fatal("append to a block grew it in place: cap > len")
	}
	h.free(a)
	h.free(b)
}

func alignment(h *harness) {
	var blocks [][]byte
	for n := range 600 {
		b := h.malloc(n)
		if want := uintptr(naturalAlign(n)); addr(b)%want != 0 {
			h.Fatalf("Malloc(%d) = %#x, want a multiple of %d", n, addr(b), want)
		}
		blocks = append(blocks, b)
	}
	for i := range blocks { // odd ones first, so that neighbours are live
		h.free(blocks[(i*7+3)%len(blocks)])
	}
}

// afterClose closes a heap once, and then uses it.
func (s *suite) afterClose(t *testing.T) {
	h := &harness{TB: t, Allocator: s.newHeap(t), claims: s.claims}
	c, ok := h.Allocator.(io.Closer)
	if !ok {
		h.Skip("the allocator cannot be closed")
	}
	b := h.malloc(64)
	if err := c.Close(); err != nil && !errors.Is(err, alloc.ErrLeak) {
		h.Fatalf("Close with a live block: %v, want nil or ErrLeak", err)
	}
	if err := alloc.Try(func() { h.Free(b) }); !errors.Is(err, alloc.ErrClosed) {
		h.Fatalf("Free after Close: %v, want ErrClosed", err)
	}
	_, err := h.Malloc(1)
	h.wantErr("Malloc after Close", err, alloc.ErrClosed)
	_, err = h.Calloc(1, 1)
	h.wantErr("Calloc after Close", err, alloc.ErrClosed)
	_, err = h.Realloc(nil, 1)
	h.wantErr("Realloc after Close", err, alloc.ErrClosed)
	if al, ok := h.Allocator.(alloc.Aligned); ok {
		_, err = al.MallocAligned(1, 64)
		h.wantErr("MallocAligned after Close", err, alloc.ErrClosed)
	}
}
