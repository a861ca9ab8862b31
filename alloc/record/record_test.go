package record_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/alloc/alloctest"
	"github.com/memlab-go/memlab/alloc/record"
)

func reference() alloc.Allocator { return alloctest.Reference(8 << 20) }

// A closing recorder closes its allocator too, as the conformance suite wants.
type closing struct {
	*record.Recorder
	a *alloctest.ReferenceAllocator
}

func (c closing) Close() error { return c.a.Close() }

func TestConformance(t *testing.T) {
	alloctest.Test(t, func(testing.TB) alloc.Allocator {
		a := alloctest.Reference(8 << 20)
		return closing{record.New(a, io.Discard, nil), a}
	}, alloctest.Detects, alloctest.Bounded, alloctest.Restores, alloctest.KeepsRequested)
}

// use asks for each kind of operation once, and for some that must not be noted.
func use(t testing.TB, r *record.Recorder) {
	t.Helper()
	must := func(b []byte, err error) []byte {
		t.Helper()
		require.NoError(t, err)
		return b
	}
	a := must(r.Malloc(4000))
	z := must(r.Malloc(0))
	c := must(r.Calloc(3, 8))
	a = must(r.Realloc(a, 5000))
	r.Free(z)
	n := must(r.Realloc(nil, 7))
	al := must(r.MallocAligned(64, 64))
	al = must(r.ReallocAligned(al, 65, 64))
	_, err := r.Malloc(1 << 29) // more than there is
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	require.Error(t, alloc.Try(func() { r.Free(a[1:]) }))
	r.Free(nil)
	must(r.Realloc(n, 0))
	r.Free(a[:10])
	_, _ = c, al
}

const want = "5096\n5\n10\n1\na 0 4000\na 1 0\na 2 24\nr 0 5000\nf 1\na 3 7\na 4 64\nr 4 65\nf 3\nf 0\n"

func TestRecord(t *testing.T) {
	var out bytes.Buffer
	r := record.New(reference(), &out, nil)
	use(t, r)
	require.Zero(t, out.Len(), "nothing is written before Close")
	require.NoError(t, r.Close())
	require.Equal(t, want, out.String())
	b, err := r.Malloc(10)
	require.NoError(t, err, "the allocator goes on")
	r.Free(b)
	require.ErrorIs(t, r.Close(), record.ErrClosed)
	require.Equal(t, want, out.String())
	require.Equal(t, 2, r.Stats().LiveBlocks)
}

func TestOptions(t *testing.T) {
	var out bytes.Buffer
	r := record.New(reference(), &out, &record.Options{Gzip: true, Calloc: true, Weight: 3})
	use(t, r)
	require.NoError(t, r.Close())
	z, err := gzip.NewReader(&out)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	w := strings.Replace(want, "a 2 24", "c 2 3 8", 1)
	require.Equal(t, strings.Replace(w, "10\n1\n", "10\n3\n", 1), string(text))
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"run.rep", "run.rep.gz"} {
		path := filepath.Join(dir, name)
		r, err := record.Create(reference(), path, nil)
		require.NoError(t, err)
		use(t, r)
		_, err = os.Stat(path)
		require.ErrorIs(t, err, os.ErrNotExist, "the file appears whole")
		require.NoError(t, r.Close())
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		if strings.HasSuffix(name, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			require.NoError(t, err)
			raw, err = io.ReadAll(z)
			require.NoError(t, err)
		}
		require.Equal(t, want, string(raw))
	}
	_, err := record.Create(reference(), filepath.Join(dir, "no", "such", "dir.rep"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "no temporary files are left")
}

// A failing writer's error comes out of Close.
func TestWriteError(t *testing.T) {
	for _, zip := range []bool{false, true} {
		for n := range 3 {
			r := record.New(reference(), &failingWriter{n: n * 5}, &record.Options{Gzip: zip})
			use(t, r)
			require.ErrorIs(t, r.Close(), errFull)
		}
	}
}

var errFull = errors.New("disk full")

type failingWriter struct{ n int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// What the oracle does is what the trace says: parsed back, the operations are
// the same, and the header's figures are true.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(5) {
		var out bytes.Buffer
		r := record.New(reference(), &out, nil)
		ops := alloctest.RandomOps(seed, alloctest.Mix{Ops: 500, Unaligned: true})
		require.NoError(t, alloctest.Run(r, ops, 0))
		require.NoError(t, r.Close())
		var peak, ids, n, weight int
		_, err := fmt.Sscan(out.String(), &peak, &ids, &n, &weight)
		require.NoError(t, err)
		parsed := parse(t, out.String())
		require.Len(t, parsed, n)
		require.Equal(t, 1, weight)
		allocated, live, most := 0, map[int]int{}, 0
		for i, op := range parsed {
			_, known := live[op.ID]
			switch op.Kind {
			case alloctest.OpMalloc:
				require.Equal(t, allocated, op.ID, "ids count up and are used once")
				allocated++
				live[op.ID] = op.Size
			case alloctest.OpRealloc:
				require.True(t, known, "operation %d", i)
				live[op.ID] = op.Size
			default:
				require.True(t, known, "operation %d", i)
				delete(live, op.ID)
			}
			sum := 0
			for _, s := range live {
				sum += s
			}
			most = max(most, sum)
		}
		require.Equal(t, allocated, ids)
		require.Equal(t, most, peak)
		require.Empty(t, live)
		require.NoError(t, alloctest.Run(reference(), parsed, 0), "the trace can be replayed")
	}
}

// parse reads the operations of a plain trace.
func parse(t *testing.T, text string) []alloctest.Op {
	t.Helper()
	var ops []alloctest.Op
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[4:] {
		var op alloctest.Op
		kind := line[0]
		_, err := fmt.Sscan(line[1:], &op.ID, &op.Size)
		switch kind {
		case 'a':
			op.Kind = alloctest.OpMalloc
		case 'r':
			op.Kind = alloctest.OpRealloc
		case 'f':
			op.Kind = alloctest.OpFree
			_, err = fmt.Sscan(line[1:], &op.ID)
		default:
			t.Fatalf("bad line %q", line)
		}
		require.NoError(t, err)
		ops = append(ops, op)
	}
	return ops
}

func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	r := record.New(reference(), &out, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				b, err := r.Malloc(i)
				if err != nil {
					t.Error(err)
					return
				}
				r.Free(b)
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Close())
	require.Len(t, parse(t, out.String()), 3200)
}

func Example() {
	heap := alloctest.Reference(0) // any allocator
	r := record.New(heap, os.Stdout, nil)
	b, _ := r.Malloc(100)
	b, _ = r.Realloc(b, 300)
	r.Free(b)
	r.Close()
	// Output:
	// 300
	// 1
	// 3
	// 1
	// a 0 100
	// r 0 300
	// f 0
}

func BenchmarkRecorder(b *testing.B) {
	r := record.New(alloctest.Reference(0), io.Discard, nil)
	b.ReportAllocs()
	for b.Loop() {
		p, err := r.Malloc(64)
		if err != nil {
			b.Fatal(err)
		}
		r.Free(p)
	}
}
