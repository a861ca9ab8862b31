package segregated

import (
	"math/bits"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestBiasedRace lets a handle's goroutine free a block at the same time as another
// goroutine: exactly one of them succeeds. The handle does so by plain writes, or, in every
// eighth round, by a compare-and-swap while other slots of the run are biased.
func TestBiasedRace(t *testing.T) {
	if !canBias || !hasBarrier() {
		t.Skip("no slots are biased here")
	}
	rounds := 700
	if *long {
		rounds = 700_000
	}
	for _, size := range []int{16, 48, 512} { // runs of one unit have no row that follows
		t.Run(strconv.Itoa(size), func(t *testing.T) { raceBiased(t, size, rounds) })
	}
}

func raceBiased(t *testing.T, size, rounds int) {
	s := freshSharedIn(t, 16<<20, &arena.Options{}, nil)
	h := s.Handle()
	defer h.Close()
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
	for i := int64(1); i <= int64(rounds); i++ {
		b = blockOf(t, s, h, size, i%8 != 0)
		hd := h.now[size/granule]
		turn.Store(i)
		for range i % 64 * 150 { // now one is first, now the other
			done.Load()
		}
		ours := alloc.Try(func() { h.Free(b) })
		if i%2 == 0 { // the other one need not wait for a barrier
			h.Free(must(t, h, 2*MaxClass))
		}
		await(&done, i)
		if i%8 != 0 {
			require.False(t, hd.isBiased(), "the other goroutine left the bias")
		}
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
	t.Logf("of %d rounds the handle won %d", rounds, won)
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// blockOf returns a block of the run that h takes slots of, one whose slot is biased or
// one whose is not, while others are.
func blockOf(t *testing.T, s *Shared, h *Handle, size int, biased bool) []byte {
	t.Helper()
	for range 3 * maxRunSlots {
		b := must(t, h, size)
		p, _ := s.placeAt(addrOf(b) - uintptr(s.base))
		hd := h.now[size/granule]
		if hd.run == p.run && hd.lent() != 0 && !biased && hd.biased()&p.bit == 0 {
			h.biasNow()
			return b
		}
		if hd.run == p.run && biased && hd.biased()&p.bit != 0 {
			return b
		}
		h.biasNow()
		h.Free(b)
		if !biased {
			h.pause.Store(1 << 20)
			s.unbias(&s.classes[s.classOf[size/granule]], hd.run, &s.nobody.hands)
		}
	}
	require.Fail(t, "no such block")
	return nil
}

// biasNow ends the pause and biases what is at hand.
func (hs *hands) biasNow() {
	hs.pause.Store(0)
	hs.biasRest()
}

// TestBiasComesBack: when another goroutine frees a block of a handle that has freed many
// by plain writes, the handle goes on to do so with those that it allocates then, and
// the other one frees those that it has been given without waiting.
func TestBiasComesBack(t *testing.T) {
	const size = 64
	s, h := biasedHandle(t, size)
	other := s.Handle()
	defer other.Close()
	for range biasWellSeen {
		h.Free(must(t, h, size))
	}
	var given [][]byte
	for range 10 {
		given = append(given, must(t, h, size))
	}
	hd := h.now[size/granule]
	free(other, given[:5])
	require.False(t, hd.isBiased())
	require.Zero(t, h.pause.Load())
	done := h.done
	h.Free(must(t, h, size)) // no longer biased
	require.Equal(t, done, h.done)
	require.True(t, hd.isBiased())
	h.Free(must(t, h, size))
	require.Equal(t, done+1, h.done)
	free(other, given[5:])
	require.True(t, hd.isBiased(), "to free blocks that were given away before ended the bias")
	b := must(t, h, size)
	require.Zero(t, hd.lent()&^hd.biased())
	other.Free(b)
	require.False(t, hd.isBiased())
	require.ErrorIs(t, alloc.Try(func() { h.Free(b) }), alloc.ErrDoubleFree)
	require.ErrorIs(t, alloc.Try(func() { other.Free(b) }), alloc.ErrDoubleFree)
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

func free(a alloc.Allocator, bs [][]byte) {
	for _, b := range bs {
		a.Free(b)
	}
}

// await waits until v is n, briefly without leaving the processor.
func await(v *atomic.Int64, n int64) {
	for i := 0; v.Load() < n; i++ {
		if i > 1000 {
			runtime.Gosched()
		}
	}
}

// TestBiasGoesInSteps stops a handle's goroutine in the middle of a free by plain writes:
// while another one takes the bias away nobody else frees the slot, and it does not either
// before the first has finished, whose free counts.
func TestBiasGoesInSteps(t *testing.T) {
	for _, size := range []int{16, 64} { // runs of one unit have no row that follows
		s, h := biasedHandle(t, size)
		b := must(t, h, size)
		p, ok := s.placeAt(addrOf(b) - uintptr(s.base))
		require.True(t, ok)
		hd := h.holding(p.c.index, p.run)
		require.NotZero(t, hd.biased()&p.bit)
		before, _ := s.word(p.run)
		atomic.StoreUint64(&h.turn, 1)
		other := make(chan error)
		go func() { other <- alloc.Try(func() { s.Free(b) }) }()
		for hd.isBiased() {
			runtime.Gosched()
		}
		meanwhile, left := s.release(p), hd.biased()
		hd.setAvailNow(hd.lent() | p.bit) // the handle has seen the bias before, and frees the slot
		h.done++
		atomic.StoreUint64(&h.turn, 0)
		require.ErrorIs(t, <-other, alloc.ErrDoubleFree)
		require.Equal(t, biased, meanwhile)
		require.Zero(t, left)
		after, _ := s.word(p.run)
		require.Zero(t, after&biasBit)
		require.NotEqual(t, before, after, "who has read the word before does not free what was biased")
		require.Zero(t, s.Stats().LiveBlocks)
		require.NoError(t, s.Check())

		live := must(t, h, size)
		h.biasNow()
		again, _ := s.word(hd.run)
		require.NotEqual(t, after, again, "nor who has seen that it was not")
		h.Free(live)
		require.NoError(t, s.Check())
	}
}

// TestLendsWhatOthersFreed: a handle whose slots are used up, and that may bias slots, takes
// what others have freed of the run before it turns to its other one, and biases what both
// have at hand.
func TestLendsWhatOthersFreed(t *testing.T) {
	const size, freed = 64, 8
	s, h := biasedHandle(t, size)
	var live [][]byte
	now, other := h.now[size/granule], h.other[size/granule]
	for now.lent() != 0 {
		live = append(live, must(t, h, size))
	}
	free(s, live[:freed])
	require.False(t, now.isBiased())
	require.False(t, other.isBiased())
	h.pause.Store(0)
	for i := range freed {
		b := must(t, h, size)
		p, _ := s.placeAt(addrOf(b) - uintptr(s.base))
		require.Equal(t, now.run, p.run)
		require.Equal(t, freed-i-1, bits.OnesCount64(now.lent()))
		require.Equal(t, freed, bits.OnesCount64(now.biased()))
		require.Equal(t, other.lent(), other.biased())
		live = append(live, b)
	}
	require.NotZero(t, other.lent())
	free(h, live[freed:])
	require.NoError(t, s.Check())
}
