package replace

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// TestFault holds the rows of the fault table that concern replacement.
func TestFault(t *testing.T) {
	t.Run("B24_no_victim", testNoVictim)
	t.Run("B25_replacement_oracles", testOracles)
}

// eachPolicy runs f for every policy of the catalogue.
func eachPolicy(t *testing.T, f func(t *testing.T, s Spec)) {
	for _, info := range Catalog() {
		t.Run(info.Name, func(t *testing.T) {
			s, err := ParseSpec(info.Name)
			require.NoError(t, err)
			f(t, s)
		})
	}
}

// testNoVictim: zero frames, all frames pinned, an unpinned one among pinned ones.
func testNoVictim(t *testing.T) {
	eachPolicy(t, func(t *testing.T, s Spec) {
		refs := numbers(0, 1, 2, 3, 0, 1, 2, 3)
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		none := NewSim(s.New(Config{Frames: 0, Future: fut}), 0)
		require.ErrorIs(t, none.Run(refs), vm.NoVictim)
		require.Zero(t, none.Counts())

		sim := NewSim(s.New(Config{Frames: 3, Future: fut}), 3)
		require.NoError(t, sim.Run(refs[:3]))
		for p := range vm.PageID(3) {
			require.True(t, sim.Pin(p))
			require.True(t, sim.Pin(p), "pinning twice is pinning once")
		}
		before := sim.Counts()
		require.ErrorIs(t, sim.Run(refs[3:4]), vm.NoVictim)
		require.Equal(t, before, sim.Counts(), "a failed reference changes nothing")
		require.Equal(t, 3, sim.Used())
		require.False(t, sim.Contains(3))
		hit, err := sim.Step(refs[0]) // pinned pages still hit
		require.NoError(t, err)
		require.True(t, hit)

		require.True(t, sim.Unpin(1))
		require.False(t, sim.Unpin(1))
		require.False(t, sim.Pin(77))
		require.NoError(t, sim.Run(refs[3:4]))
		require.False(t, sim.Contains(1), "the only page that was not pinned leaves")
		require.True(t, sim.Contains(0) && sim.Contains(2) && sim.Contains(3))
		require.NoError(t, sim.Run(numbers(1)))
		require.True(t, sim.Contains(0) && sim.Contains(2))
	})
}

// testOracles: OPT ≤ every policy; LRU and OPT obey inclusion; FIFO shows
// Belady's anomaly on the textbook string.
func testOracles(t *testing.T) {
	textbook := numbers(1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
	found, err := BeladyAnomalies("FIFO", textbook, 5)
	require.NoError(t, err)
	require.Equal(t, []Anomaly{{Frames: 3, Misses: 9, MoreMisses: 10}}, found)

	for seed := range uint64(12) {
		refs := randomTrace(seed, 2000, 20+10*int(seed))
		fut, err := NewFuture(refs)
		require.NoError(t, err)
		for n := 1; n < 40; n += 1 + int(seed)%3 {
			best := NewSim(NewOPT(fut), n)
			require.NoError(t, best.Run(refs))
			for _, info := range Catalog() {
				s, _ := ParseSpec(info.Name)
				sim := NewSim(s.New(Config{Frames: n, Seed: int64(seed), Future: fut}), n)
				require.NoError(t, sim.Run(refs))
				require.GreaterOrEqual(t, sim.Counts().Misses, best.Counts().Misses, "%s, %d frames, seed %d", info.Name, n, seed)
			}
		}
		for _, name := range []string{"LRU", "OPT"} {
			requireInclusion(t, name, refs, fut, 12)
		}
	}
}

// requireInclusion checks after every reference that what n frames hold, n+1
// frames hold too. Of OPT that is only true of pages that are used again: among
// the others OSTEP's rule chooses by order of load, which depends on the frames.
func requireInclusion(t *testing.T, name string, refs []Ref, fut *Future, most int) {
	t.Helper()
	var sims []*Sim
	for n := 1; n <= most; n++ {
		p, err := New(name, Config{Frames: n, Future: fut})
		require.NoError(t, err)
		sims = append(sims, NewSim(p, n))
	}
	for i, r := range refs {
		for _, s := range sims {
			_, err := s.Step(r)
			require.NoError(t, err)
		}
		for n, s := range sims[1:] {
			for p := range sims[n].policy.(vm.Lister).Pages() {
				if o, ok := s.policy.(*OPT); ok && o.ahead[p] == never {
					continue
				}
				if !s.Contains(p) {
					t.Fatalf("%s, reference %d: page %d is in %d frames, not in %d", name, i, p, n+1, n+2)
				}
			}
		}
	}
}

// TestVictimForAResidentPage asks for a victim in place of a page that is in memory,
// which no caller should: it is no page that is remembered, and no border moves.
func TestVictimForAResidentPage(t *testing.T) {
	arc, car := NewARC(4), NewCAR(4)
	for p := range vm.PageID(4) {
		arc.Insert(p, false)
		car.Insert(p, false)
	}
	v, ok := arc.Victim(3)
	require.True(t, ok)
	require.Equal(t, vm.PageID(0), v)
	require.Zero(t, arc.Target(), "not NaN")
	v, ok = car.Victim(3)
	require.True(t, ok)
	require.Equal(t, vm.PageID(0), v)
}
