package replay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/bench/trace"
)

// TestMain lets a test run one measurement in a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "measure-go-heap" {
		childMeasure(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// childMeasure measures the Go heap, which is never collected here, on a trace
// file, and prints the usage.
func childMeasure(file string) {
	t, err := trace.Open(file, nil)
	if err == nil {
		p, _ := Compile(t)
		e := Known()[len(Known())-1]
		var u *Usage
		if u, err = Utilisation(p, Entry{Name: e.Name, Align: 1, New: newGoHeap}, Config{}); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(u)
		}
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
}

// recorder remembers what was asked of it, in the words of a trace.
type recorder struct {
	testHeap
	ops []trace.Op
}

func (r *recorder) Malloc(n int) ([]byte, error) {
	r.ops = append(r.ops, trace.Op{Kind: trace.Malloc, Size: int64(n)})
	return r.testHeap.Malloc(n)
}

func (r *recorder) Calloc(c, n int) ([]byte, error) {
	r.ops = append(r.ops, trace.Op{Kind: trace.Calloc, Count: int64(c), Size: int64(n)})
	return r.testHeap.Calloc(c, n)
}

func (r *recorder) Realloc(b []byte, n int) ([]byte, error) {
	r.ops = append(r.ops, trace.Op{Kind: trace.Realloc, Size: int64(n), Count: int64(len(b))})
	return r.testHeap.Realloc(b, n)
}

func (r *recorder) Free(b []byte) {
	r.ops = append(r.ops, trace.Op{Kind: trace.Free, Count: int64(len(b))})
}

func TestProgramAsksWhatTheTraceSays(t *testing.T) {
	p, err := Compile(program(t, everyOp))
	require.NoError(t, err)
	r := &recorder{testHeap: testHeap{mem: alignedBytes(1 << 20)}}
	tab := make(table, p.Slots)
	require.NoError(t, p.run(r, tab, new(Config), nil))
	want := []trace.Op{
		{Kind: trace.Malloc, Size: 100}, {Kind: trace.Malloc, Size: 7}, {Kind: trace.Calloc, Count: 3, Size: 8},
		{Kind: trace.Realloc, Size: 300, Count: 100}, {Kind: trace.Free, Count: 7}, {Kind: trace.Realloc, Size: 20, Count: 300},
		{Kind: trace.Malloc}, {Kind: trace.Free}, {Kind: trace.Realloc, Size: 40}, {Kind: trace.Realloc, Count: 40}, {Kind: trace.Free},
		{Kind: trace.Malloc, Size: 9}, {Kind: trace.Calloc, Size: 8}, {Kind: trace.Malloc, Size: 20000},
	}
	require.Equal(t, want, r.ops)
	r.ops = nil
	p.freeLeft(r, tab)
	require.Len(t, r.ops, 6)
	for _, q := range tab {
		require.Nil(t, q)
	}
	require.EqualValues(t, program(t, everyOp).PeakLive(), p.PeakLive)
	require.Equal(t, 7, p.Slots, "six blocks live at a time at most, and nil")
}

func TestProgramKeepsHugeSizes(t *testing.T) {
	if ^uint(0)>>32 == 0 {
		t.Skip("sizes of 4 GiB need 64 bits")
	}
	p, err := Compile(program(t, "a 0 1099511627776;r 0 5000000000;f 0;c 1 3 5000000000"))
	require.NoError(t, err)
	var got [][3]int64
	for i := range p.code {
		op, a, b := p.unpack(&p.code[i])
		got = append(got, [3]int64{int64(op), a, b})
	}
	require.Equal(t, [][3]int64{{0, 1 << 40, 0}, {2, 5e9, 1 << 40}, {1, 0, 5e9}, {3, 3, 5e9}}, got)
	require.ErrorContains(t, p.WriteBinary(new(bytes.Buffer)), "4 GiB")
}

// tiny hands out one byte whatever is asked for.
type tiny struct{ recorder }

func (t *tiny) Malloc(n int) ([]byte, error) {
	t.ops = append(t.ops, trace.Op{Kind: trace.Malloc, Size: int64(n)})
	return make([]byte, 1), nil
}

func (t *tiny) Calloc(c, n int) ([]byte, error) {
	t.ops = append(t.ops, trace.Op{Kind: trace.Calloc, Count: int64(c), Size: int64(n)})
	return make([]byte, 1), nil
}

func (t *tiny) Realloc(b []byte, n int) ([]byte, error) {
	t.ops = append(t.ops, trace.Op{Kind: trace.Realloc, Count: int64(len(b)), Size: int64(n)})
	return make([]byte, 1), nil
}

func TestProgramAsksForHugeSizes(t *testing.T) {
	if ^uint(0)>>32 == 0 {
		t.Skip("sizes of 4 GiB need 64 bits")
	}
	p, err := Compile(program(t, "a 0 1099511627776;a 1 20;r 0 5000000000;f 1;c 2 3 5000000000;a 3 5;f 0;f 2"))
	require.NoError(t, err)
	a := new(tiny)
	require.NoError(t, p.run(a, make(table, p.Slots), new(Config), nil))
	require.Equal(t, []trace.Op{
		{Kind: trace.Malloc, Size: 1 << 40}, {Kind: trace.Malloc, Size: 20}, {Kind: trace.Realloc, Count: 1 << 40, Size: 5e9},
		{Kind: trace.Free, Count: 20}, {Kind: trace.Calloc, Count: 3, Size: 5e9}, {Kind: trace.Malloc, Size: 5},
		{Kind: trace.Free, Count: 5e9}, {Kind: trace.Free, Count: 15e9},
	}, a.ops)
}

func TestProgramBinaryForm(t *testing.T) {
	p, err := Compile(program(t, "a 0 100;r 0 50;a 1 8;f 0"))
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, p.WriteBinary(&buf))
	require.Equal(t, "mlprog1\n", string(buf.Next(8)))
	var words []uint32
	for buf.Len() > 0 {
		words = append(words, binary.LittleEndian.Uint32(buf.Next(4)))
	}
	require.Equal(t, []uint32{3, 4, 1, 0, 100, 0,
		1, 0, 100, 0, 1, 2, 50, 100, 2, 0, 8, 0, 1, 1, 0, 50,
		2, 1, 0, 8}, words)
}

func TestThroughputCountsColdAndWarm(t *testing.T) {
	p, err := Compile(program(t, "a 0 100;f 0;a 1 50"))
	require.NoError(t, err)
	heaps := 0
	clock := time.Unix(0, 0)
	now := func() time.Time { clock = clock.Add(30 * time.Millisecond); return clock }
	timing, err := Throughput(p, entry(func(*testHeap) { heaps++ }), Config{}, 4, now)
	require.NoError(t, err)
	require.Equal(t, 4, heaps)
	require.Len(t, timing.Cold, 4)
	require.Len(t, timing.Warm, 4)
	require.Equal(t, 1e7, timing.Cold[0], "30 ms for three operations")
	require.Equal(t, 1e7, timing.Warm[3])
}

func TestSlowRunsAreStopped(t *testing.T) {
	ops := "a 0 8"
	for range 3 * stopEvery {
		ops += ";r 0 8"
	}
	tr := program(t, ops)
	p, err := Compile(tr)
	require.NoError(t, err)
	e := entry(func(h *testHeap) { h.sameBlock, h.lossy = true, true })
	after := func(n int) Config {
		return Config{Stop: func() bool { n--; return n < 0 }}
	}
	for name, measure := range map[string]func() error{
		"throughput":  func() error { _, err := Throughput(p, e, after(2), 3, time.Now); return err },
		"utilisation": func() error { _, err := Utilisation(p, e, after(2)); return err },
		"verify":      func() error { return Verify(tr, e, after(2)) },
	} {
		err := measure()
		require.ErrorIs(t, err, ErrStopped, name)
		require.EqualError(t, err, "t: operation 8192: stopped: it takes too long", name)
	}
	timing, err := Throughput(p, e, after(6), 3, time.Now)
	require.NoError(t, err, "one pass was finished")
	require.Len(t, timing.Cold, 1)
	require.Empty(t, timing.Warm)
}

func TestThroughputReportsFailure(t *testing.T) {
	p, err := Compile(program(t, "a 0 100;a 1 5000"))
	require.NoError(t, err)
	_, err = Throughput(p, entry(nil), Config{Limit: 4096}, 1, time.Now)
	require.ErrorIs(t, err, alloc.ErrNoMemory)
	_, err = Utilisation(p, entry(nil), Config{Limit: 4096})
	require.ErrorIs(t, err, alloc.ErrNoMemory)
}

func TestUtilisationReadsEvenPointsAndRises(t *testing.T) {
	ops := "a 0 1000"
	for i := 1; i < 1000; i++ {
		ops += ";f 0;a 0 1000"
	}
	p, err := Compile(program(t, ops))
	require.NoError(t, err)
	u, err := Utilisation(p, entry(func(h *testHeap) { h.sameBlock = true }), Config{})
	require.NoError(t, err)
	require.Len(t, u.Points, 300)
	require.Equal(t, p.Ops, u.Points[299].Op)
	require.EqualValues(t, 1000, u.PeakLive)
	require.EqualValues(t, 1<<20, u.PeakCommitted)
	require.InDelta(t, 1000.0/(1<<20), u.PeakOverCommitted(), 1e-9)
}

func TestUtilisationOfAShortTrace(t *testing.T) {
	p, err := Compile(program(t, "a 0 1000;a 1 500;f 0"))
	require.NoError(t, err)
	u, err := Utilisation(p, entry(nil), Config{})
	require.NoError(t, err)
	require.Len(t, u.Points, 3)
}

// In a fresh process with the collector off, the Go heap keeps everything, so
// the resident growth is known: it cannot be less than the bytes asked for.
func TestUtilisationSeesResidentGrowth(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("resident sizes are read on Linux")
	}
	tr := &trace.Trace{Name: "grow", IDs: 1}
	for range 400 {
		tr.Ops = append(tr.Ops, trace.Op{Kind: trace.Malloc, Size: 100 << 10}, trace.Op{Kind: trace.Free})
	}
	file := t.TempDir() + "/grow.rep"
	f, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, trace.WriteRep(f, tr))
	require.NoError(t, f.Close())
	out, err := exec.Command(os.Args[0], "measure-go-heap", file).Output()
	require.NoError(t, err)
	var u Usage
	require.NoError(t, json.Unmarshal(out, &u))
	require.EqualValues(t, 100<<10, u.PeakLive)
	const total = 400 * 100 << 10
	const least = total * 98 / 100 // a few of its pages were resident before
	require.Greater(t, u.PeakResident, int64(least))
	if !raceDetector {
		require.Less(t, u.PeakResident, int64(total*5/4))
	}
	require.Less(t, u.PeakOverResident(), float64(100<<10)/least)
}

func TestFindListsTheKnown(t *testing.T) {
	_, err := Find(Known(), "nosuch")
	require.ErrorContains(t, err, `unknown allocator "nosuch"; known are `)
	require.ErrorContains(t, err, "go")
	all, err := Find(Known())
	require.NoError(t, err)
	usual := Names(Known())
	usual = slices.DeleteFunc(usual, func(n string) bool { return n == "segregated-compact" })
	require.Equal(t, usual, Names(all), "a special one is found by name only")
	some, err := Find(Known(), "segregated-compact", "tlsf")
	require.NoError(t, err)
	require.Equal(t, []string{"segregated-compact", "tlsf"}, Names(some))
	one, err := Find(Known(), "go")
	require.NoError(t, err)
	require.Equal(t, []string{"go"}, Names(one))
}

func TestOpErrorUnwraps(t *testing.T) {
	inner := errors.New("boom")
	err := &OpError{"git", 3, inner}
	require.EqualError(t, err, "git: operation 3: boom")
	require.ErrorIs(t, err, inner)
}

func TestRatioOfMeansAndMeanOfRatios(t *testing.T) {
	var r ratio
	r.add(100, 100)
	r.add(0, 300)
	require.Equal(t, 0.25, r.ofMeans())
	require.Equal(t, 0.5, r.each.value())
	require.Equal(t, -1.0, new(ratio).ofMeans())
}
