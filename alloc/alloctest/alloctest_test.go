package alloctest

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/memlab-go/memlab/alloc"
)

func newReference(testing.TB) alloc.Allocator { return Reference(8 << 20) }

func TestReference(t *testing.T) {
	Test(t, newReference, Detects, Bounded, Restores, KeepsRequested)
}

func TestRandomReference(t *testing.T) {
	Random(t, newReference, Mix{Seeds: 2, Ops: 500})
}

func TestDifferential(t *testing.T) {
	Differential(t, RandomOps(3, Mix{}), map[string]func(testing.TB) alloc.Allocator{
		"one":   newReference,
		"two":   func(testing.TB) alloc.Allocator { return alloc.Locked(Reference(0)) },
		"small": func(testing.TB) alloc.Allocator { return Reference(4 << 10) },
	})
}

// A mutant is the reference with one promise broken.
type mutant struct {
	*ReferenceAllocator
	kind string
	last []byte
}

func (m *mutant) Malloc(size int) ([]byte, error) {
	switch m.kind {
	case "cap":
		b, err := m.ReferenceAllocator.Malloc(size + 16)
		if err == nil {
			b = b[:size]
		}
		return b, err
	case "overlap":
		if m.last != nil && size <= 32 {
			return m.last[32 : 32+size : 32+size], nil
		}
		b, err := m.ReferenceAllocator.Malloc(size)
		if size >= 64 {
			m.last = b
		}
		return b, err
	case "aliased":
		if size == 0 {
			return emptyBlock, nil
		}
	case "unlimited":
		m.limit = 1 << 30
	case "misaligned":
		if size < 0 || size > 1<<20 {
			break
		}
		b, err := m.ReferenceAllocator.Malloc(size + 4)
		if err == nil {
			b = b[4:]
		}
		return b, err
	}
	return m.ReferenceAllocator.Malloc(size)
}

func (m *mutant) MallocAligned(size, align int) ([]byte, error) {
	switch m.kind {
	case "cap", "overlap", "misaligned":
		return m.Malloc(size)
	}
	return m.ReferenceAllocator.MallocAligned(size, align)
}

func (m *mutant) Calloc(count, size int) ([]byte, error) {
	b, err := m.ReferenceAllocator.Calloc(count, size)
	if m.kind == "calloc" && len(b) > 0 {
		b[len(b)-1] = 1
	}
	return b, err
}

func (m *mutant) Realloc(b []byte, size int) ([]byte, error) {
	if m.kind == "shrinks" && b != nil && size == 0 {
		return b[:0], nil
	}
	n, err := m.ReferenceAllocator.Realloc(b, size)
	if m.kind == "realloc" && len(n) > 40 && len(b) > 40 {
		n[33] ^= 1
	}
	return n, err
}

func (m *mutant) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	if m.kind == "realloc" {
		return m.Realloc(b, size)
	}
	return m.ReferenceAllocator.ReallocAligned(b, size, align)
}

var emptyBlock = make([]byte, 1)[:0:0]

func (m *mutant) Close() error {
	if m.kind == "undead" {
		return nil
	}
	return m.ReferenceAllocator.Close()
}

func (m *mutant) Free(b []byte) {
	if m.kind == "aliased" && b != nil && len(b) == 0 {
		return
	}
	if m.kind == "silent" && m.freed[addr(b)] && m.live[addr(b)].mem == nil {
		return
	}
	if m.kind == "leaky" && len(b) == 26 {
		return
	}
	m.ReferenceAllocator.Free(b)
	if m.kind == "scribble" {
		for _, blk := range m.live {
			if blk.size > 0 {
				blk.mem[len(blk.mem)/2] ^= 0xff
				return
			}
		}
	}
}

func (m *mutant) Stats() alloc.Stats {
	s := m.ReferenceAllocator.Stats()
	if m.kind == "stats" {
		s.Frees = 0
	}
	return s
}

// The oracle must notice each broken promise, and Minimize must keep it.
func TestOracleNotices(t *testing.T) {
	for _, kind := range []string{"cap", "overlap", "misaligned", "calloc", "realloc", "scribble", "stats"} {
		t.Run(kind, func(t *testing.T) {
			fails := func(ops []Op) bool {
				var v *Violation
				err := Run(&mutant{ReferenceAllocator: Reference(0), kind: kind}, ops, 1)
				return errors.As(err, &v)
			}
			ops := RandomOps(7, Mix{Ops: 400, Unaligned: true})
			if !fails(ops) {
				t.Fatal("nothing noticed")
			}
			short := Minimize(ops, fails)
			if !fails(short) || len(short) > 8 {
				t.Errorf("minimized to %d operations that fail %v: %v", len(short), fails(short), short)
			}
		})
	}
}

// mutantKind is the broken promise that a copy of the test binary tests.
var mutantKind = flag.String("alloctest.mutant", "", "run the suite on this mutant (used by TestSuiteNotices)")

// TestMutant is run by TestSuiteNotices, in a process of its own.
func TestMutant(t *testing.T) {
	if *mutantKind == "" {
		t.Skip("run by TestSuiteNotices")
	}
	Test(t, func(testing.TB) alloc.Allocator {
		return &mutant{ReferenceAllocator: Reference(8 << 20), kind: *mutantKind}
	}, Detects, Bounded, Restores, KeepsRequested)
}

// The suite must fail on each mutant, in the subtest that is about its promise.
func TestSuiteNotices(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for kind, subtest := range map[string]string{
		"": "", "cap": "views", "overlap": "random", "misaligned": "alignment", "calloc": "calloc",
		"realloc": "realloc_keeps", "scribble": "random", "stats": "stats", "silent": "bad_free",
		"leaky": "stats", "unlimited": "exhaustion", "aliased": "malloc_zero", "shrinks": "realloc",
		"undead": "close",
	} {
		t.Run("mutant="+kind, func(t *testing.T) {
			if kind == "" {
				kind = "none"
			}
			out, err := exec.Command(exe, "-test.run=^TestMutant$/^"+subtest, "-alloctest.mutant="+kind).CombinedOutput()
			if kind == "none" {
				if err != nil {
					t.Fatalf("the suite fails on a sound allocator: %s", out)
				}
				return
			}
			if err == nil {
				t.Fatal("the suite passes")
			}
			if want := "FAIL: TestMutant/" + subtest + " "; !strings.Contains(string(out), want) {
				t.Errorf("output without %q:\n%s", want, out)
			}
		})
	}
}

func TestFailing(t *testing.T) {
	work := func(a alloc.Allocator) (err error) {
		var live [][]byte
		defer func() {
			for _, b := range live {
				a.Free(b)
			}
		}()
		for i := range 5 {
			b, err := a.Malloc(16 * i)
			if err != nil {
				return err
			}
			live = append(live, b)
		}
		b, err := a.Realloc(live[1], 100)
		if err != nil {
			return err
		}
		live[1] = b
		if b, err = a.Calloc(2, 8); err == nil {
			live = append(live, b)
		}
		return err
	}
	runs := 0
	for n := 1; ; n++ {
		r := Reference(0)
		f := Failing(r, n)
		err := work(f)
		if r.Stats().LiveBlocks != 0 {
			t.Fatalf("n = %d: leak", n)
		}
		if !f.Failed() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if !errors.Is(err, alloc.ErrNoMemory) {
			t.Fatalf("n = %d: %v", n, err)
		}
		runs++
	}
	if runs != 7 {
		t.Errorf("%d failures were made, want 7", runs)
	}
}

// A recorder is a TB that keeps failures to itself.
type recorder struct {
	testing.TB
	failures []string
	scope    scope
}

func (r *recorder) Helper()                           {}
func (r *recorder) Cleanup(f func())                  { r.scope.Cleanup(f) }
func (r *recorder) Errorf(format string, args ...any) { r.failures = append(r.failures, format) }

func TestNoLeaks(t *testing.T) {
	a := Reference(0)
	before, _ := a.Malloc(10)
	r := &recorder{TB: t}
	NoLeaks(r, a)
	b, _ := a.Malloc(20)
	r.scope.done()
	if len(r.failures) != 2 {
		t.Errorf("a leaked block: %q, want two reports", r.failures)
	}
	a.Free(b)
	r = &recorder{TB: t}
	NoLeaks(r, a)
	a.Free(before)
	r.scope.done()
	if len(r.failures) != 0 {
		t.Errorf("no leak: %q", r.failures)
	}
}

func TestWriteRep(t *testing.T) {
	var buf bytes.Buffer
	ops := []Op{
		{Kind: OpMalloc, ID: 0, Size: 100, Align: 64}, {Kind: OpMalloc, ID: 0, Size: 5},
		{Kind: OpCalloc, ID: 1, Count: 3, Size: 8}, {Kind: OpRealloc, ID: 0, Size: 7},
		{Kind: OpRealloc, ID: 9, Size: 7}, {Kind: OpRealloc, ID: 1}, {Kind: OpFree, ID: 0}, {Kind: OpFree, ID: 0},
	}
	if err := WriteRep(&buf, ops); err != nil {
		t.Fatal(err)
	}
	want := "124\n2\n5\n1\na 0 100\nc 1 3 8\nr 0 7\nf 1\nf 0\n"
	if buf.String() != want {
		t.Errorf("got %q, want %q", buf.String(), want)
	}
}

func TestRandomOpsAreReproducible(t *testing.T) {
	if !slices.Equal(RandomOps(5, Mix{}), RandomOps(5, Mix{})) {
		t.Error("one seed, two lists")
	}
	if slices.Equal(RandomOps(5, Mix{}), RandomOps(6, Mix{})) {
		t.Error("two seeds, one list")
	}
}

func TestViolationText(t *testing.T) {
	v := &Violation{Op{Kind: OpMalloc, ID: 3, Size: 10, Align: 64}, "broken"}
	if got := v.Error(); got != "alloctest: a 3 10 # align 64: broken" {
		t.Error(got)
	}
	if got := (&Violation{What: "x"}).Error(); !strings.HasSuffix(got, ": x") {
		t.Error(got)
	}
}

func FuzzDecodeOps(f *testing.F) {
	f.Add([]byte("\x00\x01\x20\x00\x04\x01\x40\xc0\x07\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := Run(Reference(1<<20), DecodeOps(data), 0); err != nil {
			t.Fatal(err)
		}
	})
}
