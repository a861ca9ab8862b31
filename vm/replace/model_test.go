package replace

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/memlab-go/memlab/vm"
)

// checkSim checks the laws of the counters, and that the policy's pages are the
// resident ones that are not pinned.
func checkSim(t require.TestingT, s *Sim) {
	c := s.Counts()
	require.Equal(t, c.Refs, c.Hits+c.Misses)
	require.EqualValues(t, s.Used(), c.Misses-c.Evictions)
	require.LessOrEqual(t, s.Used(), s.Frames())
	require.LessOrEqual(t, c.Writebacks, c.Writes)
	if s.launder == nil {
		require.LessOrEqual(t, c.Writebacks, c.Evictions)
	}
	seen := map[vm.PageID]bool{}
	for p := range s.policy.(vm.Lister).Pages() {
		require.False(t, seen[p], "page %d twice", p)
		seen[p] = true
		require.True(t, s.Contains(p), "page %d is the policy's but not resident", p)
	}
	n := 0
	for p, st := range s.state {
		if st&resident != 0 && st&pinned == 0 {
			n++
			require.True(t, seen[vm.PageID(p)], "page %d is resident but not the policy's", p)
		}
	}
	require.Len(t, seen, n)
}

// TestModel drives every policy with references, pins and unpins at random and
// checks every law after each step.
func TestModel(t *testing.T) {
	eachPolicy(t, func(t *testing.T, spec Spec) {
		rapid.Check(t, func(t *rapid.T) {
			frames := rapid.IntRange(1, 12).Draw(t, "frames")
			refs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Ref {
				return MakeRef(vm.PageID(rapid.IntRange(0, 20).Draw(t, "page")), rapid.Bool().Draw(t, "write"))
			}), 1, 120).Draw(t, "refs")
			fut, err := NewFuture(refs)
			require.NoError(t, err)
			s := NewSim(spec.New(Config{Frames: frames, Future: fut}), frames)
			pinnedNow := map[vm.PageID]bool{}
			for _, r := range refs {
				p := vm.PageID(rapid.IntRange(0, 20).Draw(t, "pin"))
				switch rapid.IntRange(0, 9).Draw(t, "op") {
				case 0:
					if len(pinnedNow) < frames-1 && s.Pin(p) {
						pinnedNow[p] = true
					}
				case 1:
					s.Unpin(p)
					delete(pinnedNow, p)
				}
				was := s.Contains(r.Page())
				hit, err := s.Step(r)
				require.NoError(t, err)
				require.Equal(t, was, hit)
				require.True(t, s.Contains(r.Page()), "the page referenced is resident")
				for p := range pinnedNow {
					require.True(t, s.Contains(p), "pinned page %d left", p)
				}
				checkSim(t, s)
			}
		})
	})
}

// TestBatchEqualsSteps compares the fast loops with the methods, in counters
// and in what is resident, also after switching between them.
func TestBatchEqualsSteps(t *testing.T) {
	eachPolicy(t, func(t *testing.T, spec Spec) {
		for seed := range uint64(10) {
			frames := 1 + int(seed*seed)
			refs := randomTrace(seed, 4000, 3*frames)
			fut, err := NewFuture(refs)
			require.NoError(t, err)
			c := Config{Frames: frames, Seed: 3, Future: fut}
			slow, fast := NewSim(spec.New(c), frames), NewSim(spec.New(c), frames)
			for i := 0; i < len(refs); i += 500 {
				for _, r := range refs[i : i+500] {
					_, err := slow.Step(r)
					require.NoError(t, err)
				}
				if seed%2 == 0 && i%1000 == 0 {
					for _, r := range refs[i : i+500] {
						_, err := fast.Step(r)
						require.NoError(t, err)
					}
				} else {
					require.NoError(t, fast.Run(refs[i:i+500]))
				}
				require.Equal(t, slow.Counts(), fast.Counts(), "seed %d, %d references", seed, i+500)
				checkSim(t, fast)
			}
			for p := range vm.PageID(3 * frames) {
				require.Equal(t, slow.Contains(p), fast.Contains(p))
				require.Equal(t, slow.Dirty(p), fast.Dirty(p))
			}
		}
	})
}

// TestBatchEqualsStepsAfterPins compares them where pages were pinned and unpinned
// between the batches. With fewer pins than frames there is always a victim.
func TestBatchEqualsStepsAfterPins(t *testing.T) {
	eachPolicy(t, func(t *testing.T, spec Spec) {
		for seed := range uint64(100) {
			const frames, batch = 6, 20
			refs := randomTrace(seed, 10*batch, 9)
			fut, err := NewFuture(refs)
			require.NoError(t, err)
			c := Config{Frames: frames / 3, Seed: 3, Future: fut} // short windows
			if spec.Info.Param == "" {
				c.Frames = frames
			}
			slow, fast := NewSim(spec.New(c), frames), NewSim(spec.New(c), frames)
			rng := rand.New(rand.NewPCG(seed, 1))
			for i := 0; i < len(refs); i += batch {
				p, q := vm.PageID(rng.IntN(9)), vm.PageID(rng.IntN(9))
				for _, s := range []*Sim{slow, fast} {
					if s.Pin(p); i%(2*batch) != 0 {
						s.Pin(q)
						s.Unpin(q)
						s.Unpin(p)
					}
				}
				for _, r := range refs[i : i+batch] {
					_, err := slow.Step(r)
					require.NoError(t, err)
				}
				require.NoError(t, fast.Run(refs[i:i+batch]))
				require.Equal(t, slow.Counts(), fast.Counts(), "seed %d, %d references", seed, i+batch)
				checkSim(t, fast)
			}
		}
	})
}

// TestRunAccessesEqualsSteps compares the loops that number as they go with
// references numbered before.
func TestRunAccessesEqualsSteps(t *testing.T) {
	eachPolicy(t, func(t *testing.T, spec Spec) {
		for seed := range uint64(6) {
			frames := 1 + int(seed*seed*7)
			var accs []Access
			for _, r := range randomTrace(seed, 6000, 4*frames) {
				accs = append(accs, MakeAccess(uint64(r.Page())*0x10001, r.Write()))
			}
			var pages, again Pages
			refs := make([]Ref, len(accs))
			pages.Refs(accs, refs)
			fut, err := NewFuture(refs)
			require.NoError(t, err)
			c := Config{Frames: frames, Seed: 3, Future: fut}
			slow, fast := NewSim(spec.New(c), frames), NewSim(spec.New(c), frames)
			for _, r := range refs {
				_, err := slow.Step(r)
				require.NoError(t, err)
			}
			require.NoError(t, fast.RunAccesses(&again, accs[:2000]))
			require.NoError(t, fast.RunAccesses(&again, accs[2000:]))
			require.Equal(t, slow.Counts(), fast.Counts(), "seed %d", seed)
			checkSim(t, fast)
		}
	})
}

// TestPagesNumbersDensely compares Pages with a map.
func TestPagesNumbersDensely(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pages, batch Pages
		model := map[uint64]vm.PageID{}
		in := rapid.SliceOf(rapid.OneOf(rapid.Uint64Range(0, 50), rapid.Uint64Range(0, 1<<63-1))).Draw(t, "pages")
		var accs []Access
		for i, page := range in {
			if _, ok := model[page]; !ok {
				model[page] = vm.PageID(len(model))
			}
			require.Equal(t, model[page], pages.Number(page))
			require.Equal(t, page, pages.Page(model[page]))
			accs = append(accs, MakeAccess(page, i%3 == 0))
		}
		require.Equal(t, len(model), pages.Len())
		refs := make([]Ref, len(accs))
		batch.Refs(accs, refs)
		for i, r := range refs {
			require.Equal(t, MakeRef(model[in[i]], i%3 == 0), r)
		}
	})
}

// TestTimeSet compares timeSet with a map.
func TestTimeSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300000).Draw(t, "n")
		s, model := newTimeSet(n), map[uint32]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "ops") {
			x := uint32(rapid.IntRange(0, n-1).Draw(t, "x"))
			if rapid.Bool().Draw(t, "add") {
				s.add(x)
				model[x] = true
			} else {
				s.drop(x)
				delete(model, x)
			}
			last, next := -1, -1
			for v := range model {
				last = max(last, int(v))
				if v >= x && (next < 0 || int(v) < next) {
					next = int(v)
				}
			}
			got, ok := s.last()
			require.Equal(t, last >= 0, ok)
			if ok {
				require.EqualValues(t, last, got)
			}
			got, ok = s.from(x)
			require.Equal(t, next >= 0, ok)
			if ok {
				require.EqualValues(t, next, got)
			}
		}
	})
}

// A negative seed is its absolute value, as with Python.
func TestPythonSeed(t *testing.T) {
	for seed, want := range map[int64]float64{
		6:             0.793340083761663,
		-6:            0.793340083761663,
		math.MinInt64: 0.5534639983914199,
	} {
		require.InDelta(t, want, newPython(seed).Float(), 0, "seed %d", seed)
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"LRU", "lru-2", "WS:tau=5", "2q:", "LRU-K:k=99", "CLOCK:x=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		spec, err := ParseSpec(s)
		if err != nil {
			return
		}
		again, err := ParseSpec(spec.String())
		require.NoError(t, err)
		require.Equal(t, spec.String(), again.String())
	})
}

func TestParseSpec(t *testing.T) {
	for in, want := range map[string]string{
		"lru": "LRU", " Lru-k ": "LRU-K", "LRU-3": "LRU-3", "lru-k:K=3": "LRU-3", "ws:TAU=5": "WS:tau=5",
		"rand": "RANDOM", "s3fifo": "S3-FIFO", "enhanced-clock": "CLOCK-M", "SecondChance": "SECOND-CHANCE",
	} {
		s, err := ParseSpec(in)
		require.NoError(t, err)
		require.Equal(t, want, s.String())
	}
	for _, bad := range []string{"", "LRU-0", "LRU-65", "LRU:k=2", "WS:tau=0", "WS:tau=x", "WS:k=2", "WS:"} {
		_, err := ParseSpec(bad)
		require.Error(t, err, bad)
	}
	_, err := New("OPT", Config{Frames: 3})
	require.ErrorContains(t, err, "references to come")
	require.Panics(t, func() { s, _ := ParseSpec("OPT"); s.New(Config{}) })
}
