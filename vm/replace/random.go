package replace

import (
	"iter"
	"math/rand/v2"

	"github.com/memlab-go/memlab/vm"
)

// Random evicts a page drawn with equal chances by a seeded generator (PCG).
// O(1).
type Random struct {
	pages []vm.PageID
	at    []uint32 // by page: index into pages
	rng   *rand.Rand
}

// NewRandom returns an empty Random. The same seed gives the same victims.
func NewRandom(seed uint64) *Random {
	return &Random{rng: rand.New(rand.NewPCG(seed, 0x72616e646f6d))}
}

// Hit implements [vm.Policy].
func (r *Random) Hit(vm.PageID, bool) {}

// Insert implements [vm.Policy].
func (r *Random) Insert(p vm.PageID, _ bool) {
	growTo(&r.at, int(p)+1)
	r.at[p] = uint32(len(r.pages))
	r.pages = append(r.pages, p)
}

// Victim implements [vm.Policy].
func (r *Random) Victim(vm.PageID) (vm.PageID, bool) {
	if len(r.pages) == 0 {
		return 0, false
	}
	p := r.pages[r.rng.IntN(len(r.pages))]
	r.Remove(p)
	return p, true
}

// Remove implements [vm.Policy].
func (r *Random) Remove(p vm.PageID) {
	last := len(r.pages) - 1
	i, q := r.at[p], r.pages[last]
	r.pages[i], r.at[q] = q, i
	r.pages = r.pages[:last]
}

// Pages implements [vm.Lister], in no meaningful order.
func (r *Random) Pages() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for _, p := range r.pages {
			if !yield(p) {
				return
			}
		}
	}
}
