package segregated

import (
	"iter"
	"runtime"
	"sync/atomic"
	"time"
)

// A run that a handle has at hand may be biased towards it: then all its slots
// are marked as used in its word, and those that are not live are at hand; the
// handle's goroutine frees blocks of the run by plain writes to its own mask of
// them, and anybody else who frees one takes the bias away first. That each
// double free is found, also one by two goroutines at the same time, needs an order
// between what the two write and read, which costs the owner nothing and the
// other one a system call:
//
//	the handle's goroutine          another one
//	turn = 1                        limit = 0
//	is the slot below the limit?    a barrier on every processor of the process
//	avail |= slot                   wait until turn is 0
//	turn = 0                        clear the bias in the run's word
//	                                is the slot in avail?
//
// The limit is how many slots of the run may be freed so: all, if it is biased.
// Either the barrier comes after "turn = 1", and the other one waits until the
// mask is written; or it comes before, and the handle's goroutine sees that the
// bias is gone. (Dice, Huang, Yang: Asymmetric Dekker synchronization, 2001;
// Linux: membarrier(2).) The handle's writes need to become visible in their
// order, which they do on amd64. Elsewhere, and where the system has no such
// call, runs are not biased and a free is one compare-and-swap.
//
// Instead of the barrier, an atomic instruction of the handle's goroutine does as well,
// if it comes between two frees and after "limit = 0": there is one each time that it
// has no slot at hand, which it counts for others to see. Who waits looks for a moment
// whether that happens: for a goroutine that is at work it mostly does, and a barrier
// interrupts it, which takes some microseconds, and some dozens in a virtual machine.
// With claims there is always a barrier.
//
// A bias that was taken away comes back after some refills of the handle. How many
// depends on whether it was worth it the last time: the pause is doubled if it
// saved less than the barrier costs, else halved. So a program that moves blocks
// between goroutines all the time loses little, and one that does so now and then
// has freed those that it moved.
const (
	canBias      = runtime.GOARCH == "amd64" && !raceEnabled
	minBiasPause = 32   // refills
	maxBiasPause = 4096 // refills
	biasWorth    = 1024 // frees: what taking a bias away costs both sides, in compare-and-swaps
	neverBias    = 1 << 30
)

// biasHistory is what the length of the next pause depends on; the owner's mutex
// guards it.
type biasHistory struct {
	pause int32  // the last one
	frees uint64 // of the hands when it began
}

// mayBias reports whether the owner's runs may be biased now. It is called with
// each refill of the handle, by its goroutine.
func (o *shard) mayBias() bool {
	if !canBias {
		return false
	}
	p := &o.hands.Load().pause
	n := p.Load() - 1
	if n < 0 {
		return true
	}
	if n == 0 && !hasBarrier() {
		n = neverBias
	}
	p.Store(n) // of a pause that begins right now not much may be left
	return false
}

// beginBias begins a pause for hands that the owner has just got.
func (o *shard) beginBias(hs *hands) {
	o.bias.frees = 0
	o.bias.pause = max(o.bias.pause, minBiasPause)
	hs.pause.Store(o.bias.pause)
}

// pauseBias begins a pause after the bias was taken from hs, the owner's.
func (o *shard) pauseBias(hs *hands) {
	h, frees := &o.bias, hs.frees()
	if frees-h.frees < biasWorth {
		h.pause *= 2
	} else {
		h.pause /= 2
	}
	h.pause = min(max(h.pause, minBiasPause), maxBiasPause)
	h.frees = frees
	hs.pause.Store(h.pause)
}

// unbias takes the bias from the runs of the handle that owns the given one. It
// returns when the handle's goroutine knows.
func (s *Shared) unbias(c *sharedClass, run uintptr) {
	o := s.ownerOf(c, run)
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if hs := o.hands.Load(); hs != nil && s.ownerOf(c, run) == o {
		s.unbiasAll(o, hs)
	}
}

// unbiasAll is unbias with the owner's mutex held.
func (s *Shared) unbiasAll(o *shard, hs *hands) {
	any := false
	for hd := range hs.all() {
		if hd.isBiased() {
			hd.setMode(handOpen)
			any = true
		}
	}
	if !any {
		return
	}
	o.pauseBias(hs)
	hs.await()
	for hd := range hs.all() {
		if hd.run == 0 {
			continue
		}
		if w, row := s.word(hd.run); w&biasBit != 0 {
			s.show(&s.classes[w>>classShift%maxClasses], hd.run, slotMask)
			atomic.AndUint64(row, ^uint64(biasBit))
		}
	}
}

// all returns an iterator over the hands.
func (hs *hands) all() iter.Seq[*hand] {
	return func(yield func(*hand) bool) {
		for ci := range hs.of {
			if !yield(&hs.of[ci][0]) || !yield(&hs.of[ci][1]) {
				return
			}
		}
	}
}

// fenceLooks is how often passesFence looks: for as long as a barrier takes on a machine
// where it does not take long.
const fenceLooks = 8192

// passesFence reports whether the goroutine of the handle soon comes for slots other
// than by the fast path: where it counts that, by an atomic instruction, all that it wrote
// before can be seen, and it sees from then on what others had written before.
func (hs *hands) passesFence() bool {
	n := hs.fences.Load()
	for range fenceLooks {
		if hs.fences.Load() != n {
			return true
		}
	}
	return false
}

// How long await leaves the processor to other goroutines, before it does so to other
// threads, of which one may have been interrupted during its turn.
const (
	awaitYields = 32
	awaitSleep  = 20 * time.Microsecond
)

// await returns when the goroutine that the hands are of sees what was written to
// the modes, and has finished what it had begun before.
func (hs *hands) await() {
	if hs.claimed || !hs.passesFence() {
		barrier()
	}
	for i := 0; atomic.LoadUint64(&hs.turn) != 0; i++ {
		if i < awaitYields {
			runtime.Gosched()
		} else {
			time.Sleep(awaitSleep)
		}
	}
}
