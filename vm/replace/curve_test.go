package replace

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// randomTrace draws n references to at most pages pages: mostly local, with
// jumps, so that distances of every size occur.
func randomTrace(seed uint64, n, pages int) []Ref {
	rng := rand.New(rand.NewPCG(seed, 9))
	refs := make([]Ref, n)
	at := 0
	for i := range refs {
		switch rng.IntN(8) {
		case 0:
			at = rng.IntN(pages)
		case 1, 2, 3:
			at = (at + 1) % pages
		case 4, 5:
			at = min(rng.IntN(pages), rng.IntN(pages), rng.IntN(pages))
		}
		refs[i] = MakeRef(vm.PageID(at), rng.IntN(4) == 0)
	}
	return refs
}

// TestCurvesEqualSimulations compares the one-pass curves with one simulation
// for each memory size.
func TestCurvesEqualSimulations(t *testing.T) {
	for seed := range uint64(20) {
		pages := 1 + int(seed*seed)%150
		refs := randomTrace(seed, 3000, pages)
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		lru := NewLRUCurve()
		lru.Add(refs[:1000])
		lru.Add(refs[1000:])
		curves := map[string]*Histogram{"LRU": lru.Histogram(), "OPT": OPTCurve(fut)}
		for name, h := range curves {
			curve := h.Curve()
			for n := 1; n <= pages+1; n++ {
				p, err := New(name, Config{Frames: n, Future: fut})
				require.NoError(t, err)
				s := NewSim(p, n)
				require.NoError(t, s.Run(refs))
				require.Equal(t, s.Counts().Misses, h.Misses(n), "%s, seed %d, %d frames", name, seed, n)
				require.Equal(t, h.Misses(n), curve[min(n, len(curve)-1)])
			}
			require.EqualValues(t, len(refs), h.Misses(0))
			require.EqualValues(t, len(refs), curve[0])
		}
	}
}

// TestLRUCurveClosesUp makes the line of last references fill many times.
func TestLRUCurveClosesUp(t *testing.T) {
	const pages, rounds = 3000, 20
	c := NewLRUCurve()
	for range rounds {
		for p := range pages {
			c.Add([]Ref{MakeRef(vm.PageID(p), false)})
		}
	}
	require.EqualValues(t, pages, c.Histogram().Cold)
	require.EqualValues(t, pages*(rounds-1), c.Histogram().Distance[pages])
}

func TestWorkingSetSize(t *testing.T) {
	for _, tau := range []int{1, 2, 7, 100} {
		refs := randomTrace(uint64(tau), 2000, 30)
		w := NewWorkingSetSize(tau)
		sum, most := 0, 0
		for i, r := range refs {
			window := map[vm.PageID]bool{}
			for _, q := range refs[max(0, i+1-tau) : i+1] {
				window[q.Page()] = true
			}
			require.Equal(t, len(window), w.Add(r), "tau %d, time %d", tau, i)
			sum += len(window)
			most = max(most, len(window))
		}
		require.Equal(t, most, w.Max())
		require.InDelta(t, float64(sum)/2000, w.Mean(), 1e-9)
	}
}

func numbers(pages ...vm.PageID) []Ref {
	var refs []Ref
	for _, p := range pages {
		refs = append(refs, MakeRef(p, false))
	}
	return refs
}

func TestBeladyAnomalies(t *testing.T) {
	textbook := numbers(1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
	found, err := BeladyAnomalies("FIFO", textbook, 5)
	require.NoError(t, err)
	require.Equal(t, []Anomaly{{3, 9, 10}}, found)
	for _, stack := range []string{"LRU", "OPT"} {
		found, err := BeladyAnomalies(stack, textbook, 5)
		require.NoError(t, err)
		require.Empty(t, found)
	}
	refs, found, err := SearchBelady("FIFO", 1, 6, 20, 10000)
	require.NoError(t, err)
	require.NotEmpty(t, found)
	again, err := BeladyAnomalies("fifo", refs, 6)
	require.NoError(t, err)
	require.Equal(t, found, again)
	refs, _, err = SearchBelady("LRU", 1, 6, 20, 300)
	require.NoError(t, err)
	require.Nil(t, refs)
	_, _, err = SearchBelady("FIFO", 1, 0, 20, 300)
	require.Error(t, err)
	_, err = BeladyAnomalies("NOPE", textbook, 5)
	require.Error(t, err)
}

// TestCurveOfColdMisses: a trace that comes back to no page misses in every memory.
func TestCurveOfColdMisses(t *testing.T) {
	c := NewLRUCurve()
	require.Equal(t, []int64{0}, c.Histogram().Curve())
	c.Add([]Ref{MakeRef(1, false), MakeRef(2, true), MakeRef(3, false)})
	require.Equal(t, []int64{3}, c.Histogram().Curve())
}

// naiveOPTStack is Mattson's stack as he describes it: a list that every reference
// walks down.
type naiveOPTStack struct {
	pages []vm.PageID
	next  map[vm.PageID]uint32
	hist  Histogram
}

func (s *naiveOPTStack) reference(p vm.PageID, next uint32) {
	d := slices.Index(s.pages, p)
	s.hist.count(d + 1)
	if d < 0 {
		d = len(s.pages)
		s.pages = append(s.pages, p)
	}
	if d > 0 {
		c := s.pages[0]
		for i := 1; i < d; i++ {
			if s.next[s.pages[i]] > s.next[c] {
				s.pages[i], c = c, s.pages[i]
			}
		}
		s.pages[d] = c
	}
	s.pages[0] = p
	s.next[p] = next
}

// adversary makes references that exchange many pages each: a sweep down, then
// pages in the order that OPT has farthest, over and over.
func adversary(pages, rounds int) []Ref {
	var refs []Ref
	for r := range rounds {
		for i := range pages {
			p := i
			switch r % 4 {
			case 1:
				p = pages - 1 - i
			case 2:
				p = i * 7 % pages
			case 3:
				p = (i/2)*(1-i%2) + (pages-1-i/2)*(i%2)
			}
			refs = append(refs, MakeRef(vm.PageID(p), false))
		}
	}
	return refs
}

// TestOPTStackEqualsMattson compares the blocks with the list, reference by
// reference, for blocks of every width and traces that are hard on them.
func TestOPTStackEqualsMattson(t *testing.T) {
	traces := map[string][]Ref{"adversary": adversary(61, 40), "local": randomTrace(5, 4000, 90), "few": randomTrace(6, 500, 3)}
	rng := rand.New(rand.NewPCG(8, 8))
	for range 3000 {
		traces["uniform"] = append(traces["uniform"], MakeRef(vm.PageID(rng.IntN(70)), false))
	}
	for name, refs := range traces {
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		for _, width := range []int{1, 2, 3, 8, 64, 200} {
			s, n := newOPTStackOf(fut.NumPages(), width), &naiveOPTStack{next: map[vm.PageID]uint32{}}
			for i, r := range refs {
				s.reference(r.Page(), fut.next[i])
				n.reference(r.Page(), fut.next[i])
				require.Equal(t, n.hist.Refs-n.hist.Cold, s.hist.Refs-s.hist.Cold)
				if i%97 == 0 {
					require.Equal(t, n.hist, s.hist, "%s, blocks of %d, reference %d", name, width, i)
				}
			}
			require.Equal(t, n.hist, s.hist, "%s, blocks of %d", name, width)
		}
	}
}

// TestOPTCurveBound counts the steps on traces that exchange up to as many pages as
// there are at each reference: they grow as the root of the number of pages.
func TestOPTCurveBound(t *testing.T) {
	for _, pages := range []int{1 << 10, 1 << 12, 1 << 14} {
		refs := adversary(pages, 8)
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		s := newOPTStack(fut.NumPages())
		for i, r := range refs {
			s.reference(r.Page(), fut.next[i])
		}
		root := math.Sqrt(float64(pages))
		require.Less(t, float64(s.steps)/float64(len(refs)), 12*root, "%d pages", pages)
	}
}
