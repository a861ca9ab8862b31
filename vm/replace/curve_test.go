package replace

import (
	"fmt"
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
		opt := NewOPTCurve()
		opt.Add(refs[:700])
		opt.Add(refs[700:])
		curves := map[string]*Histogram{"LRU": lru.Histogram(), "OPT": opt.Histogram()}
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

// checkLine checks the laws of the line of moments, and the tree and the list against
// it.
func checkLine(t *testing.T, c *OPTCurve) {
	t.Helper()
	pages, sizes, balance := map[vm.PageID]bool{}, map[uint32]bool{}, 0
	look := func(e optPlace, page, mark uint32) {
		if e.size != noSize {
			require.False(t, sizes[e.size])
			sizes[e.size] = true
			require.Equal(t, mark, c.mark[e.size])
			balance++
		}
		require.LessOrEqual(t, balance, 0)
		if e.page != noPage {
			require.False(t, pages[e.page])
			pages[e.page] = true
			require.Equal(t, page, c.at[e.page])
			balance--
		}
	}
	for i, e := range c.line {
		look(e, uint32(i)+onLine, uint32(i)+onLine)
	}
	low := noSize
	for i, e := range c.list {
		require.NotEqual(t, optPlace{noPage, noSize}, e.optPlace)
		look(e.optPlace, listed, listed)
		low = min(low, e.size)
		require.Equal(t, low, e.low, "list, place %d", i)
	}
	require.Len(t, pages, len(c.mark)-1)
	require.Len(t, sizes, max(len(c.mark)-2, 0))
	for b := range c.half {
		require.Equal(t, c.rangeOf(uint32(b)), c.tree[c.half+b], "block %d", b)
	}
	for n := 1; n < c.half; n++ {
		require.Equal(t, c.tree[2*n].and(c.tree[2*n+1]), c.tree[n], "node %d", n)
	}
}

// TestOPTCurveEqualsMattson compares the line of moments with the stack, reference by
// reference.
func TestOPTCurveEqualsMattson(t *testing.T) {
	traces := map[string][]Ref{
		"adversary": adversary(61, 40), "local": randomTrace(5, 4000, 90), "many": randomTrace(7, 8000, 1500),
		"drawn": numbers(0, 1, 2, 3, 2, 1, 0, 3, 3, 0),
	}
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 8))
		pages, refs := 1+rng.IntN(100), randomTrace(seed, 200, 1+rng.IntN(60))
		for range 200 {
			refs = append(refs, MakeRef(vm.PageID(rng.IntN(pages)), false))
		}
		traces[fmt.Sprint("seed ", seed)] = refs
	}
	for name, refs := range traces {
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		c, n := NewOPTCurve(), &naiveOPTStack{next: map[vm.PageID]uint32{}}
		for i, r := range refs {
			c.Add([]Ref{r})
			n.reference(r.Page(), fut.next[i])
			if i%97 == 0 || i < 10 {
				require.Equal(t, n.hist, *c.Histogram(), "%s, reference %d", name, i)
				checkLine(t, c)
			}
		}
		require.Equal(t, n.hist, *c.Histogram(), name)
		checkLine(t, c)
	}
}
