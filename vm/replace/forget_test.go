package replace

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/vm"
)

// recycler drives a policy with pages that come to an end. With reuse, the number
// of such a page is the next new page's; else every page has a number of its own.
type recycler struct {
	p        vm.Policy
	reuse    bool
	number   map[int]vm.PageID // of the pages that live
	page     map[vm.PageID]int
	resident map[int]bool
	free     []vm.PageID
	next     vm.PageID
}

func (r *recycler) reference(page, frames int) (victim int) {
	victim = -1
	id, ok := r.number[page]
	if !ok {
		if n := len(r.free); r.reuse && n > 0 {
			id, r.free = r.free[n-1], r.free[:n-1]
		} else {
			id = r.next
			r.next++
		}
		r.number[page], r.page[id] = id, page
	}
	if r.resident[page] {
		r.p.Hit(id, false)
		return victim
	}
	if len(r.resident) == frames {
		v, _ := r.p.Victim(id)
		victim = r.page[v]
		delete(r.resident, victim)
	}
	r.p.Insert(id, false)
	r.resident[page] = true
	return victim
}

func (r *recycler) end(page int) {
	id, ok := r.number[page]
	if !ok {
		return
	}
	if r.resident[page] {
		r.p.Remove(id)
		delete(r.resident, page)
	}
	if f, ok := r.p.(vm.Forgetter); ok {
		f.Forget(id)
	}
	delete(r.number, page)
	r.free = append(r.free, id)
}

// TestForget: a number that names another page is as good as a new one, for every
// policy: whoever remembers pages that have left forgets them.
func TestForget(t *testing.T) {
	remember := 0
	eachPolicy(t, func(t *testing.T, s Spec) {
		if s.Info.Future || s.Info.Name == "RANDOM" || s.Info.Compat {
			t.Skip("it draws or looks ahead")
		}
		const frames = 12
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var two [2]recycler
			for i := range two {
				two[i] = recycler{p: s.New(Config{Frames: frames}), reuse: i == 1, number: map[int]vm.PageID{}, page: map[vm.PageID]int{}, resident: map[int]bool{}}
			}
			if _, ok := two[0].p.(vm.Forgetter); ok {
				remember++
			}
			base := 0
			for step := range 3000 {
				page := base + rng.IntN(20)
				if rng.IntN(8) == 0 {
					two[0].end(page)
					two[1].end(page)
					continue
				}
				if step%400 == 399 {
					base += 7
				}
				require.Equal(t, two[0].reference(page, frames), two[1].reference(page, frames), "seed %d, step %d", seed, step)
				if tr, ok := two[0].p.(vm.Trimmer); ok {
					for v, ok := tr.Trim(); ok; v, ok = tr.Trim() {
						delete(two[0].resident, two[0].page[v])
						w, ok := two[1].p.(vm.Trimmer).Trim()
						require.True(t, ok)
						require.Equal(t, two[0].page[v], two[1].page[w])
						delete(two[1].resident, two[1].page[w])
					}
				}
				if la, ok := two[0].p.(vm.Launderer); ok {
					for _, ok := la.Launder(); ok; _, ok = la.Launder() {
						two[1].p.(vm.Launderer).Launder()
					}
				}
			}
		}
	})
	require.Equal(t, 6*20, remember, "ARC, CAR, 2Q, LIRS, S3-FIFO and LRU-K remember")
}

// TestForgetLeavesResident: forgetting a page that is resident or unknown changes
// nothing.
func TestForgetLeavesResident(t *testing.T) {
	eachPolicy(t, func(t *testing.T, s Spec) {
		p := s.New(Config{Frames: 4, Future: mustFuture(t, nil)})
		f, ok := p.(vm.Forgetter)
		if !ok || s.Info.Name == "LRU-K" { // LRU-K forgets the history alone
			return
		}
		for i := range vm.PageID(4) {
			p.Insert(i, false)
		}
		for i := range vm.PageID(9) {
			f.Forget(i)
		}
		n := 0
		for range p.(vm.Lister).Pages() {
			n++
		}
		require.Equal(t, 4, n)
	})
}

func mustFuture(t *testing.T, refs []Ref) *Future {
	t.Helper()
	f, err := NewFuture(refs)
	require.NoError(t, err)
	return f
}

// TestQuotas compares the quotas with what their rules say, reference by reference.
func TestQuotas(t *testing.T) {
	require.Equal(t, 1, FixedQuota(0).Frames())
	require.Equal(t, 7, FixedQuota(7).Frames())
	rng := rand.New(rand.NewPCG(4, 4))
	const tau, threshold, lo, hi = 30, 6, 2, 9
	ws, pff := NewWorkingSetQuota(tau, lo, hi), NewPFFQuota(threshold, lo, hi)
	var refs []vm.PageID
	want, last := lo, 0
	for now := 1; now < 5000; now++ {
		p := vm.PageID(now/500 + rng.IntN(12))
		fault := rng.IntN(5) == 0 || now/200%2 == 0
		refs = append(refs, p)
		ws.Reference(p, fault)
		pff.Reference(p, fault)
		if fault {
			if now-last <= threshold {
				want++
			} else {
				want = different(refs[max(last-1, 0):now-1]) + 1
			}
			want, last = min(max(want, lo), hi), now
		}
		require.Equal(t, min(max(different(refs[max(0, now-tau):]), lo), hi), ws.Frames())
		require.Equal(t, want, pff.Frames(), "time %d", now)
	}
	require.Equal(t, lo, func() int { q := NewPFFQuota(1, lo, 1); q.Reference(0, true); return q.Frames() }(), "a bound below the least")
	before := NewWorkingSetQuota(10, 1, 0)
	before.Reference(3, true)
	before.Reference(4, true)
	before.Forget(3)
	before.Forget(99)
	require.Equal(t, 1, before.Frames())
	pff.Forget(refs[len(refs)-1])
	pff.Forget(9999)
}

func different(refs []vm.PageID) int {
	m := map[vm.PageID]bool{}
	for _, p := range refs {
		m[p] = true
	}
	return len(m)
}
