package segregated

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// claimed skips the test where there are no claims, and returns a heap.
func claimed(t *testing.T) *Shared {
	t.Helper()
	if !canClaim || !hasBarrier() {
		t.Skip("there are no claims here")
	}
	return freshSharedIn(t, 64<<20, &arena.Options{}, nil)
}

// inPlace calls f where there are 1400 bytes of stack left in the same place, and
// keeps the stack where it is.
func inPlace(t *testing.T, f func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no collection, no smaller stack
	use(new([16 << 10]byte))
	room(f)
}

// use needs a stack that is large enough for all that follows.
func use(p *[16 << 10]byte) {
	local := *p
	local[len(p)/2]++
	*p = local
}

func room(f func()) {
	var here byte
	if roomBelow(&here) < 1400 {
		room(f)
		return
	}
	f()
}

// earn lets the caller work until it has a claim, on which blocks of 48 bytes are
// biased.
func earn(t *testing.T, s *Shared) *claim {
	t.Helper()
	var here byte
	bs := make([][]byte, s.classFor(48).numSlots()+1) // not on the stack
	for range 100 * minBiasPause {
		for i := range bs {
			bs[i], _ = s.Malloc(48)
		}
		for _, b := range bs {
			s.Free(b)
		}
		k := s.claimAt(&here)
		if k.now[48/granule].isBiased() {
			return k
		}
	}
	t.Error("no claim, or no bias")
	return s.nobody
}

// TestClaim: who calls often works on slots of a claim, and two goroutines that are
// there at the same time have two.
func TestClaim(t *testing.T) {
	s := claimed(t)
	inPlace(t, func() {
		first := earn(t, s)
		require.True(t, first != s.nobody)
		hd := first.now[48/granule]
		done := first.done
		b, _ := s.Malloc(48)
		p, _ := s.placeAt(addrOf(b) - uintptr(s.base))
		require.Equal(t, hd.run, p.run)
		s.Free(b)
		require.Equal(t, done+1, first.done, "the block was not freed by plain writes")
		b, _ = s.Malloc(48)
		s.Free(b[:5:5]) // a capacity of another class
		require.Equal(t, done+2, first.done, "the block was not freed by plain writes")
		require.ErrorIs(t, alloc.Try(func() { s.Free(b) }), alloc.ErrDoubleFree)
		b, _ = s.Malloc(48)
		require.ErrorIs(t, alloc.Try(func() { s.Free(b[16:]) }), alloc.ErrInvalidFree)
		var second *claim
		var wg sync.WaitGroup
		wg.Go(func() { second = earn(t, s) })
		wg.Wait()
		require.True(t, first != second && second != s.nobody)
		require.Equal(t, 1, s.Stats().LiveBlocks)
		require.NoError(t, s.Check())
	})
}

// TestClaimEnds: a claim that nobody uses any more keeps nothing from others, and
// Trim leaves nothing at all.
func TestClaimEnds(t *testing.T) {
	s := claimed(t)
	inPlace(t, func() { // and not where the other goroutine was
		var k *claim
		var wg sync.WaitGroup
		wg.Go(func() { k = earn(t, s) })
		wg.Wait()
		require.True(t, k.o.claim == k)
		for i := 0; k.o.claim == k; i++ {
			require.Less(t, i, 200_000, "the claim does not end")
			_ = must(t, s, 100+i%2*200)
		}
		require.Zero(t, k.now[48/granule].run)
		require.Zero(t, k.place)
		require.NoError(t, s.Check())
	})

	s = claimed(t)
	inPlace(t, func() {
		k := earn(t, s)
		require.Positive(t, k.o.runs)
		s.Trim()
		require.Zero(t, k.o.runs)
		require.Equal(t, s.h.hdr.first, s.h.top, "runs are left")
		require.True(t, k == earn(t, s), "the claim is not good any more")
	})
}

// TestClaimRace lets a goroutine free a block of its claim, by plain writes, at the
// same time as another one: exactly one of them succeeds.
func TestClaimRace(t *testing.T) {
	s := claimed(t)
	rounds := 300
	if *long {
		rounds = 100_000
	}
	var turn, done atomic.Int64
	var b []byte
	var theirs error
	go func() {
		for i := int64(1); i <= int64(rounds); i++ {
			await(&turn, i)
			theirs = alloc.Try(func() { s.Free(b) })
			done.Store(i)
		}
	}()
	won := 0
	inPlace(t, func() {
		for i := int64(1); i <= int64(rounds); i++ {
			k := earn(t, s)
			k.o.bias.pause = 0 // the next one is short
			b, _ = s.Malloc(48)
			turn.Store(i)
			for range i % 64 * 150 { // now one is first, now the other
				done.Load()
			}
			ours := alloc.Try(func() { s.Free(b) })
			await(&done, i)
			if ours == nil {
				won++
			}
			require.NotEqual(t, ours == nil, theirs == nil, "round %d: %v, %v", i, ours, theirs)
			for _, err := range []error{ours, theirs} {
				if err != nil {
					require.ErrorIs(t, err, alloc.ErrDoubleFree)
				}
			}
		}
	})
	t.Logf("of %d rounds the claim won %d", rounds, won)
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// TestClaimMovingStacks has more goroutines than there are desks allocate and free
// at all depths of stacks that grow and shrink all the time, blocks of each other
// too, while claims are taken away: no block is handed out twice, none is lost.
func TestClaimMovingStacks(t *testing.T) {
	s := freshSharedIn(t, 64<<20, &arena.Options{}, nil)
	rounds := 40
	if *long {
		rounds = 4000
	}
	var stop atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		for !stop.Load() {
			runtime.GC() // which shrinks stacks
			s.Trim()
		}
	})
	passed := make(chan []byte, 100)
	var wg sync.WaitGroup
	for g := range 3 * len(s.desks) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 9))
			for range rounds {
				var inner sync.WaitGroup
				inner.Go(func() { dive(t, s, rng, passed, 1+rng.IntN(60)) }) // on a stack that others had
				inner.Wait()
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	others.Wait()
	close(passed)
	for b := range passed {
		s.Free(b)
	}
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// dive allocates and frees on the way down, depth times some hundred bytes of
// stack, and on the way up.
func dive(t *testing.T, s *Shared, rng *rand.Rand, passed chan []byte, depth int) {
	var room [300]byte
	room[depth] = 1
	var bs [8][]byte
	for i := range bs {
		b, err := s.Malloc(1 + rng.IntN(64))
		if err != nil {
			t.Error(err)
			return
		}
		for k := range b {
			b[k] = byte(len(b))
		}
		bs[i] = b
	}
	if depth > 0 {
		dive(t, s, rng, passed, depth-1)
	}
	for _, b := range bs {
		select {
		case passed <- b:
			b = <-passed // most likely somebody else's
		default:
			b = keep(<-passed, b, passed)
		}
		if !bytes.Equal(b, bytes.Repeat([]byte{byte(len(b))}, len(b))) {
			t.Errorf("a block of %d bytes was written to: %x", len(b), b)
		}
		s.Free(b)
	}
	runtime.KeepAlive(&room)
}

// keep puts b where got was taken from, and returns got.
func keep(got, b []byte, passed chan []byte) []byte {
	passed <- b
	return got
}

// TestCloseOvertakesReclaim: a Malloc that has seen the heap open, and looks for empty
// runs in the claims when it is closed, does not give them back to what is gone.
func TestCloseOvertakesReclaim(t *testing.T) {
	s := claimed(t)
	h := s.Handle()
	inPlace(t, func() {
		k := earn(t, s)
		c := s.classFor(48)
		hd := k.now[c.size/granule]
		bs := make([][]byte, 0, 4*c.numSlots())
		for len(bs) < c.numSlots() || hd.lent() != 0 {
			b, _ := s.Malloc(48)
			bs = append(bs, b)
		}
		for _, b := range bs { // nobody has a slot of the run, and it is in the hand
			h.Free(b)
		}
		w, _ := s.word(hd.run)
		require.True(t, c.isEmpty(w))
	})
	if err := s.Close(); err != nil {
		require.ErrorIs(t, err, alloc.ErrLeak)
	}
	s.reclaim(nil)
	_, err := s.Malloc(48)
	require.ErrorIs(t, err, alloc.ErrClosed)
}
