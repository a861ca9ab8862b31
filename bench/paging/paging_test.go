package paging

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/bench/corpus"
	"github.com/memlab-go/memlab/bench/replay"
	"github.com/memlab-go/memlab/bench/trace"
	"github.com/memlab-go/memlab/vm"
)

// script is a heap that hands out blocks at fixed distances and reports what it is
// told to.
type script struct {
	mem  []byte
	at   int
	step int
	sink alloc.Sink
	say  []alloc.Event // before each Malloc
}

func (s *script) entry() replay.Entry {
	return replay.Entry{Name: "script", New: func(c replay.Config) (replay.Heap, error) {
		s.mem, s.at, s.sink = make([]byte, 1<<24), 0, c.Sink
		return s, nil
	}}
}

func (s *script) Malloc(n int) ([]byte, error) {
	for _, e := range s.say {
		s.sink(e)
	}
	off := s.at
	s.at += s.step
	s.sink(alloc.Event{Kind: alloc.EventMalloc, Off: arena.Offset(off), Size: n, Usable: n})
	return s.mem[off:][:n:n], nil
}

func (s *script) Calloc(c, n int) ([]byte, error)         { return s.Malloc(c * n) }
func (s *script) Realloc(b []byte, n int) ([]byte, error) { return s.Malloc(n) }
func (s *script) Free([]byte)                             {}
func (s *script) Close() error                            { return nil }

// mallocs is a trace of n blocks of size bytes that are not freed.
func mallocs(n, size int) *trace.Trace {
	t := &trace.Trace{Name: "mallocs", IDs: n}
	for i := range n {
		t.Ops = append(t.Ops, trace.Op{Kind: trace.Malloc, ID: int32(i), Size: int64(size)})
	}
	return t
}

// TestRunCounts compares with counts made by hand: 100 blocks of a page and a half
// that begin two pages apart touch 200 pages once each.
func TestRunCounts(t *testing.T) {
	s := &script{step: 2 * pageSize}
	r, err := Run(mallocs(100, pageSize*3/2), s.entry(), Options{Uses: -1}, true)
	require.NoError(t, err)
	require.Equal(t, 100, r.Ops)
	require.Equal(t, int64(200), r.Accesses)
	require.Zero(t, r.Heap)
	require.Equal(t, int64(200), r.PageFaults)
	require.Equal(t, 200, r.PeakResident)
	require.InDelta(t, 101, r.MeanResident, 1e-9, "2, 4, …, 200")
	require.Equal(t, int64(400), r.TLBMisses, "before the fault and after it")
	require.Equal(t, int64(400), r.Walks)
	require.Equal(t, 150, r.Tight.Frames)
	require.Zero(t, r.Tight.MajorFaults, "nothing is used again")
	require.Equal(t, []CurvePoint{{1, 200}}, r.Curve, "no memory is too small: nothing is used again")

	s.say = []alloc.Event{{Kind: alloc.EventRead, Off: 1 << 23, Size: 8}} // metadata in a page of its own
	r, err = Run(mallocs(100, pageSize), s.entry(), Options{Uses: -1}, false)
	require.NoError(t, err)
	require.Equal(t, int64(200), r.Accesses)
	require.Equal(t, int64(100), r.Heap)
	require.Equal(t, int64(101), r.PageFaults)
	require.Nil(t, r.Curve)
}

// TestRunSwaps: blocks that are touched in a loop over more pages than there is
// memory for come from swap every time, under LRU.
func TestRunSwaps(t *testing.T) {
	s := &script{step: pageSize}
	for page := range 64 {
		s.say = append(s.say, alloc.Event{Kind: alloc.EventWrite, Off: arena.Offset(1<<22 + page*pageSize), Size: 1})
	}
	const n = 20
	r, err := Run(mallocs(n, 32), s.entry(), Options{Uses: -1, Memory: 40 * pageSize / (32.0 * n)}, false)
	require.NoError(t, err)
	require.Equal(t, 40, r.Tight.Frames)
	require.Equal(t, int64(64+n), r.PageFaults)
	require.Equal(t, int64(64*(n-1)), r.Tight.SwapIns)
	require.Equal(t, r.Tight.SwapIns, r.Tight.MajorFaults)
	require.Greater(t, r.Tight.SwapOuts, int64(64*(n-2)))
	for _, policy := range []string{"CLOCK", "ARC", "WS"} {
		_, err := Run(mallocs(n, 32), s.entry(), Options{Policy: policy, Huge: true}, false)
		require.NoError(t, err, policy)
	}
}

// TestRunDiscardsAndMoves: pages given back fault again, pages moved do not.
func TestRunDiscardsAndMoves(t *testing.T) {
	s := &script{step: pageSize, say: []alloc.Event{
		{Kind: alloc.EventWrite, Off: 1 << 22, Size: pageSize},
		{Kind: alloc.EventDecommit, Off: 1 << 22, Size: pageSize},
	}}
	r, err := Run(mallocs(50, pageSize), s.entry(), Options{Uses: -1}, false)
	require.NoError(t, err)
	require.Equal(t, int64(100), r.PageFaults)
	require.Equal(t, 50, r.PeakResident, "what was given back is not resident")

	s.say = []alloc.Event{
		{Kind: alloc.EventWrite, Off: 1 << 22, Size: pageSize},
		{Kind: alloc.EventMove, Old: 1 << 22, Off: 1 << 21, Size: pageSize},
		{Kind: alloc.EventRead, Off: 1 << 21, Size: 8},
		{Kind: alloc.EventDecommit, Off: 1 << 22, Size: pageSize},
	}
	r, err = Run(mallocs(50, pageSize), s.entry(), Options{Uses: -1}, false)
	require.NoError(t, err)
	require.Equal(t, int64(100), r.PageFaults)
	require.Equal(t, 51, r.PeakResident)
}

// TestRunHuge: a heap that is filled from one end gets huge pages and has fewer
// misses with them; the other machines do not change.
func TestRunHuge(t *testing.T) {
	s := &script{step: pageSize}
	plain, err := Run(mallocs(2000, pageSize), s.entry(), Options{}, false)
	require.NoError(t, err)
	huge, err := Run(mallocs(2000, pageSize), s.entry(), Options{Huge: true}, false)
	require.NoError(t, err)
	require.Nil(t, plain.Huge)
	require.Equal(t, int64(3), huge.Huge.Promotions)
	require.Less(t, huge.Huge.TLBMisses, plain.TLBMisses*4/5)
	huge.Huge = nil
	require.Equal(t, plain, huge)
}

// TestRunKnown runs every allocator on real traces: twice the same, with the
// program's accesses the same on all, and counts that agree with each other.
func TestRunKnown(t *testing.T) {
	for _, name := range []string{"git-log", "xmllint-xpath"} {
		tr, err := corpus.Open(name)
		require.NoError(t, err)
		tr = tr.Head(4000)
		program := int64(-1)
		for _, e := range replay.Known() {
			r, err := Run(tr, e, Options{Seed: 3, Huge: true}, true)
			if e.Collected || e.Compact > 0 {
				require.ErrorIs(t, err, ErrNoSink)
				continue
			}
			require.NoError(t, err, e.Name)
			again, err := Run(tr, e, Options{Seed: 3, Huge: true}, true)
			require.NoError(t, err)
			require.Equal(t, r, again, "%s: the same figures every time", e.Name)
			require.Positive(t, r.Heap)
			if program < 0 {
				program = r.Accesses - r.Heap
			}
			require.InEpsilon(t, program, r.Accesses-r.Heap, 0.05, "%s: but for page boundaries the program does the same", e.Name)
			require.LessOrEqual(t, r.Walks, r.TLBMisses)
			require.LessOrEqual(t, int64(r.PeakResident), r.PageFaults)
			require.GreaterOrEqual(t, r.Tight.PageFaults+1, r.PageFaults)
			require.Equal(t, r.Tight.SwapIns, r.Tight.MajorFaults)
			require.True(t, slices.IsSortedFunc(r.Curve, func(a, b CurvePoint) int { return int(b.Faults - a.Faults) }), "more memory, fewer faults")
			require.GreaterOrEqual(t, int64(float64(r.PeakResident)*pageSize), tr.PeakLive(), "all that is live was written")
		}
	}
}

// TestRunErrors: what makes no sense is refused, and a run may be ended.
func TestRunErrors(t *testing.T) {
	s := &script{step: 64}
	for _, o := range []Options{{TLB: "x"}, {Policy: "x"}, {Policy: "OPT"}, {Memory: -1}, {Memory: math.NaN()}, {Memory: 1e9}} {
		_, err := Run(mallocs(1, 1), s.entry(), o, false)
		require.Error(t, err, "%+v", o)
		require.Error(t, o.Check())
	}
	_, err := Run(mallocs(5000, 64), s.entry(), Options{MaxAccesses: 1000}, false)
	require.ErrorIs(t, err, replay.ErrStopped)
	_, err = Run(mallocs(5000, 64), s.entry(), Options{Stop: func() bool { return true }}, false)
	require.ErrorIs(t, err, replay.ErrStopped)
	_, err = Run(mallocs(10, 1<<20), replay.Known()[0], Options{Limit: 4 << 20}, false)
	var oe *replay.OpError
	require.True(t, errors.As(err, &oe))
	require.ErrorIs(t, err, alloc.ErrNoMemory)
}

// TestRank: a rank's probability falls as its inverse.
func TestRank(t *testing.T) {
	p := newProgram(1, 1)
	require.Zero(t, p.rank())
	p.n = 1 << 20
	var octave [17]int
	const draws = 170_000
	for range draws {
		r := p.rank()
		require.LessOrEqual(t, r, uint64(usedBlocks))
		octave[int(math.Log2(float64(r)))]++
	}
	for k, n := range octave {
		require.InDelta(t, draws/17, n, 600, "ranks from %d on", 1<<k)
	}
}

// TestZeroDisk gives back what [vm.Swap] needs of a record.
func TestZeroDisk(t *testing.T) {
	d := &zeroDisk{}
	rec := make([]byte, pageSize+trailerSize)
	for i := range trailerSize {
		rec[pageSize+i] = byte(i)
	}
	_, err := d.WriteAt(rec, 7*int64(len(rec)))
	require.NoError(t, err)
	got := make([]byte, len(rec))
	n, err := d.ReadAt(got, 7*int64(len(rec)))
	require.NoError(t, err)
	require.Equal(t, len(rec), n)
	require.Equal(t, rec, got)
	_, err = d.ReadAt(got, 8*int64(len(rec)))
	require.Error(t, err)
	var _ vm.Device = d
}

// BenchmarkRun is an operation of a trace through all machines.
func BenchmarkRun(b *testing.B) {
	tr, err := corpus.Open("sqlite-sql")
	require.NoError(b, err)
	tr = tr.Head(20000)
	for _, e := range replay.Known()[:3] {
		b.Run("alloc="+e.Name, func(b *testing.B) {
			var r *Result
			for b.Loop() {
				if r, err = Run(tr, e, Options{}, false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(r.Accesses), "ns/access")
		})
	}
}
