package replace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// checkNear checks the law of the cache that RunAccesses looks into first.
func checkNear(t require.TestingT, s *Sim) (held int) {
	n := s.near
	if n == nil || n.pages == nil {
		return 0
	}
	for i, e := range n.slots {
		if home(e.key) != uint64(i) {
			continue // void
		}
		held++
		p := n.pages.Number(uint64(e.key >> 1))
		require.True(t, s.Contains(p), "page %d is near but not resident", p)
		require.Equal(t, s.policy.(nearHitter).where(p), e.where, "page %d", p)
		if e.key&1 != 0 {
			require.True(t, s.Dirty(p), "page %d is clean, but its slot lets writes pass", p)
		}
	}
	return held
}

// crowd returns page numbers of which many have one home: the ends of the range, a
// few in a row, and some that are looked for.
func crowd(n int) []uint64 {
	pages := []uint64{0, 1, 2, 3, 1<<63 - 1, 1<<63 - 2}
	for p := uint64(4); len(pages) < n; p++ {
		if home(MakeAccess(p, false)) == home(MakeAccess(uint64(len(pages)%3), false)) || p < 12 {
			pages = append(pages, p)
		}
	}
	return pages
}

// phases returns accesses in spells of two kinds: mostly to few pages, and all over.
func phases(rng *rand.Rand, pages []uint64, n int) []Access {
	accs := make([]Access, n)
	hot, few := rng.IntN(len(pages)), 1+rng.IntN(5)
	for i := range accs {
		at := rng.IntN(len(pages))
		if i/100%3 != 0 && rng.IntN(40) > 0 {
			at = (hot + rng.IntN(few)) % len(pages)
		}
		accs[i] = MakeAccess(pages[at], rng.IntN(3) == 0)
	}
	return accs
}

// TestNearEqualsSteps feeds one simulation by RunAccesses, with other ways to use it
// in between, and another step by step, and compares all that shows.
func TestNearEqualsSteps(t *testing.T) {
	for _, policy := range []string{"FIFO", "LRU", "CLOCK"} {
		for _, frames := range []int{1, 6, 20, 60} {
			t.Run(fmt.Sprintf("policy=%s/frames=%d", policy, frames), func(t *testing.T) {
				testNear(t, policy, frames)
			})
		}
	}
}

func testNear(t *testing.T, policy string, frames int) {
	rng := rand.New(rand.NewPCG(uint64(frames), 9))
	newSim := func() *Sim {
		p, err := New(policy, Config{Frames: frames})
		require.NoError(t, err)
		return NewSim(p, frames)
	}
	fast, slow := newSim(), newSim()
	all := crowd(60)
	var pages Pages
	held, pin := 0, vm.PageID(0)
	for round := range 60 {
		if frames > 1 && round%5 == 0 {
			require.Equal(t, slow.Unpin(pin), fast.Unpin(pin))
			if pin = vm.PageID(rng.IntN(len(all))); rng.IntN(2) == 0 {
				require.Equal(t, slow.Pin(pin), fast.Pin(pin))
			}
		}
		accs := phases(rng, all, 2+rng.IntN(2500))
		refs := make([]Ref, len(accs))
		if rng.IntN(8) > 0 {
			if fast.near != nil && rng.IntN(2) == 0 {
				fast.near.wait, fast.near.lost = 0, 0 // a trial, though the last may have failed
			}
			at := rng.IntN(min(len(accs), mostLost-1))
			require.NoError(t, fast.RunAccesses(&pages, accs[:at]))
			held = max(held, checkNear(t, fast))
			require.NoError(t, fast.RunAccesses(&pages, accs[at:]))
			pages.Refs(accs, refs)
		} else {
			pages.Refs(accs, refs)
			require.NoError(t, fast.Run(refs))
		}
		for _, r := range refs {
			_, err := slow.Step(r)
			require.NoError(t, err)
		}
		require.Equal(t, slow.Counts(), fast.Counts())
		require.Equal(t, slices.Collect(slow.policy.(vm.Lister).Pages()), slices.Collect(fast.policy.(vm.Lister).Pages()))
		for p := range vm.PageID(len(all)) {
			require.Equal(t, slow.Dirty(p), fast.Dirty(p), "page %d", p)
		}
		checkSim(t, fast)
		held = max(held, checkNear(t, fast))
	}
	require.Positive(t, held, "nothing was ever near")
}

// TestNearOfOtherPages changes the numbering in between: the cache of the first is
// not used for the second.
func TestNearOfOtherPages(t *testing.T) {
	s := NewSim(NewFIFO(), 2)
	var first, second Pages
	var a [6]Access
	for i := range a {
		a[i] = MakeAccess(uint64(10+i), false)
	}
	require.NoError(t, s.RunAccesses(&first, []Access{a[0], a[1], a[2], a[3], a[2], a[3]})) // pages 2 and 3 stay
	require.EqualValues(t, 4, s.Counts().Misses)
	require.Equal(t, 2, checkNear(t, s))
	require.NoError(t, s.RunAccesses(&second, []Access{a[3]})) // page 0, for page 2, which second does not know
	require.EqualValues(t, 5, s.Counts().Misses)
	require.NoError(t, s.RunAccesses(&first, []Access{a[3], a[0], a[2]})) // pages 3 and 0 are there, 2 is not
	require.EqualValues(t, 6, s.Counts().Misses)
	checkNear(t, s)
	checkSim(t, s)
}

// TestNearAfterPins has two pages change places while they are pinned.
func TestNearAfterPins(t *testing.T) {
	for _, policy := range []string{"FIFO", "LRU", "CLOCK"} {
		p, err := New(policy, Config{Frames: 4})
		require.NoError(t, err)
		s := NewSim(p, 4)
		var pages Pages
		for range 2 {
			require.NoError(t, s.RunAccesses(&pages, []Access{MakeAccess(7, false), MakeAccess(8, false), MakeAccess(9, true)}))
		}
		require.Equal(t, 3, checkNear(t, s))
		require.True(t, s.Pin(0) && s.Pin(1) && s.Unpin(0) && s.Unpin(1))
		checkNear(t, s)
		require.NoError(t, s.RunAccesses(&pages, []Access{MakeAccess(8, false), MakeAccess(9, true), MakeAccess(7, true)}))
		checkNear(t, s)
		checkSim(t, s)
	}
}

// TestNearTrials follows when RunAccesses looks into the cache: as long as most is
// found there, and after failures ever more seldom.
func TestNearTrials(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := NewSim(NewLRU(), 8)
	var pages Pages
	run := func(n, among int) {
		accs := make([]Access, n)
		for i := range accs {
			accs[i] = MakeAccess(rng.Uint64N(uint64(among)), false)
		}
		require.NoError(t, s.RunAccesses(&pages, accs))
	}
	run(3*nearSpan, 8)
	require.Zero(t, s.near.wait)
	require.Equal(t, 8, checkNear(t, s))
	run(nearSpan, 100)
	require.Positive(t, s.near.wait, "few hits")
	require.Equal(t, leastFar, s.near.far)
	run(s.near.wait, 8)
	require.Zero(t, checkNear(t, s), "pages came and went")
	run(nearSpan, 100)
	require.Equal(t, 2*leastFar, s.near.far)
	run(s.near.wait, 8)
	run(2*nearSpan, 8)
	require.Zero(t, s.near.wait)
	require.Zero(t, s.near.far, "all is well again")
	require.Equal(t, 8, checkNear(t, s))

	long := make([]Access, 20*nearSpan)
	for i := range long {
		long[i] = MakeAccess(uint64(i%4), false)
		if i%20 == 0 {
			long[i] = MakeAccess(uint64(1000+i), false)
		}
	}
	require.NoError(t, s.RunAccesses(&pages, long))
	require.Zero(t, s.near.far, "one in twenty is lost, which is few, however many come at once")
}
