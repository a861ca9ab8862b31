package segregated

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// TestBiasedRace lets a handle's goroutine free a block of a biased run, by plain
// writes, at the same time as another goroutine: exactly one of them succeeds.
func TestBiasedRace(t *testing.T) {
	if !canBias || !hasBarrier() {
		t.Skip("runs are not biased here")
	}
	rounds := 1000
	if *long {
		rounds = 1_000_000
	}
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
	biased, won := 0, 0
	for i := int64(1); i <= int64(rounds); i++ {
		b = must(t, h, 48)
		hd := h.now[48/granule]
		_, row := s.word(hd.run)
		bias(s, h, hd)
		turn.Store(i)
		for range i % 64 * 150 { // now one is first, now the other
			done.Load()
		}
		ours := alloc.Try(func() { h.Free(b) })
		if i%2 == 0 { // the other one need not wait for a barrier
			h.Free(must(t, h, 2*MaxClass))
		}
		await(&done, i)
		if *row&biasBit != 0 {
			biased++
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
	require.Zero(t, biased, "the other goroutine left the bias")
	require.Zero(t, s.Stats().LiveBlocks)
	require.NoError(t, s.Check())
}

// bias biases the run in hd, with all that is free at hand, as a refill does.
func bias(s *Shared, h *Handle, hd *hand) {
	h.o.mu.Lock()
	defer h.o.mu.Unlock()
	w, row := s.word(hd.run)
	hd.setAvailNow(hd.lent() | ^w&slotMask)
	atomic.StoreUint64(row, w|slotMask|heldBit|biasBit)
	hd.setMode(handBiased)
}

// await waits until v is n, briefly without leaving the processor.
func await(v *atomic.Int64, n int64) {
	for i := 0; v.Load() < n; i++ {
		if i > 1000 {
			runtime.Gosched()
		}
	}
}
