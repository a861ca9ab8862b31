package segregated

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestSharedShown: a slot at hand is one that the row which follows its run's says
// may be, however runs pass from owner to owner, and whoever frees their blocks.
func TestSharedShown(t *testing.T) {
	for name, alone := range map[string]bool{"claims": false, "shards": true} {
		t.Run(name, func(t *testing.T) {
			s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
			s.alone = alone
			handles := []*Handle{s.Handle(), s.Handle(), s.Handle()}
			user := func(k int) alloc.Allocator {
				if k < len(handles) {
					return handles[k]
				}
				return s
			}
			type block struct {
				b  []byte
				by int
			}
			rng := rand.New(rand.NewPCG(5, 5))
			var live []block
			narrowed := 0
			for i := range 100_000 {
				k := rng.IntN(len(handles) + 1)
				if grow := i / 5000 % 2 * 2; rng.IntN(4) < 1+grow || len(live) == 0 {
					live = append(live, block{must(t, user(k), 1+rng.IntN(MaxClass)), k})
					continue
				}
				j := rng.IntN(len(live))
				if own := i/2000%8 != 0 && rng.IntN(500) != 0; own { // mostly, so that slots are biased
					k = live[j].by
				}
				user(k).Free(live[j].b)
				live[j] = live[len(live)-1]
				live = live[:len(live)-1]
				if i%50 == 0 {
					narrowed += checkShown(t, s)
				}
				if i%5000 == 0 {
					k := rng.IntN(len(handles))
					require.NoError(t, handles[k].Close())
					handles[k] = s.Handle()
				}
			}
			require.Positive(t, narrowed, "no free has cleared what it did not find at hand")
		})
	}
}

// checkShown looks at all runs that have lent slots, and returns of how many the row
// that follows says less than that all of their slots may be at hand.
func checkShown(t *testing.T, s *Shared) (narrowed int) {
	for p := range s.h.pieces() {
		c, run := &s.classes[p.class], uintptr(p.g>>granuleBits)
		if p.class == 0 || c.units == 1 {
			continue
		}
		w, _ := s.word(run)
		if w&heldBit == 0 || w&biasBit != 0 {
			continue
		}
		shown := *s.shown(run)
		lent, biased := s.lent(c, run)
		require.Zero(t, (lent|biased)&^shown, "slots of the run at %#x", run<<unitShift)
		if shown&c.valid != c.valid {
			narrowed++
		}
	}
	return narrowed
}

// TestSharedShownFaults: others than the owner find what is wrong with the free of a
// slot at hand, whether they know that it may be or have to look.
func TestSharedShownFaults(t *testing.T) {
	for _, size := range []int{16, 64, 512} {
		s := freshSharedIn(t, 16<<20, &arena.Options{}, nil)
		h, other := s.Handle(), s.Handle()
		c := s.classFor(size)
		var all [][]byte
		for range c.numSlots() - 2 {
			all = append(all, must(t, h, size))
		}
		n := uintptr(size)
		last := all[len(all)-1]
		spare := s.bytesOf(addrOf(last)+n-uintptr(s.base), size) // at hand, never handed out
		require.ErrorIs(t, alloc.Try(func() { other.Free(spare) }), alloc.ErrDoubleFree)
		other.Free(all[0])
		require.ErrorIs(t, alloc.Try(func() { other.Free(all[0]) }), alloc.ErrDoubleFree)
		require.ErrorIs(t, alloc.Try(func() { s.Free(all[0]) }), alloc.ErrDoubleFree)
		require.ErrorIs(t, alloc.Try(func() { other.Free(spare) }), alloc.ErrDoubleFree)
		must(t, h, size)
		must(t, h, size)
		first := must(t, h, size) // lent again
		require.Equal(t, addrOf(all[0]), addrOf(first))
		other.Free(all[1])
		must(t, h, size)
		s.Free(first)
		require.ErrorIs(t, alloc.Try(func() { other.Free(first) }), alloc.ErrDoubleFree)
		require.NoError(t, s.Check())
	}
}
