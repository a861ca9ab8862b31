package segregated

import (
	"iter"
	"runtime"
	"sync/atomic"
	"time"
)

// The slots of a run that a handle has at hand may be biased towards it: then its
// goroutine frees their blocks by plain writes to its own mask of them, and anybody else
// who frees one takes the bias of all the handle's slots away first. That each
// double free is found, also one by two goroutines at the same time, needs an order
// between what the two write and read, which costs the owner nothing and the
// other one a system call:
//
//	the handle's goroutine          another one
//	turn = 1                        set the bias bit of the run's word
//	is the slot biased?             no slot is biased
//	avail |= slot                   a barrier on every processor of the process
//	turn = 0                        wait until turn is 0
//	                                clear the bias bit
//	                                is the slot in avail?
//
// Either the barrier comes after "turn = 1", and the other one waits until the
// mask is written; or it comes before, and the handle's goroutine sees that the
// bias is gone. (Dice, Huang, Yang: Asymmetric Dekker synchronization, 2001;
// Linux: membarrier(2).) The handle's writes need to become visible in their
// order, which they do on amd64. Elsewhere, and where the system has no such
// call, nothing is biased and a free is one compare-and-swap.
//
// Slots become biased when they are lent, or while they are at hand, never while they
// are somebody's, and each time the run's word changes: so who is about to free a slot,
// and has seen that it is not biased, either is in time or finds another word. While the
// bit is set nobody frees a slot of the run but the handle's goroutine, which may still be
// at it. The bit goes with a free that was none, so that the word is another one then, too.
//
// Instead of the barrier, an atomic instruction of the handle's goroutine does as well,
// if it comes between two frees and after the bias is gone: there is one each time that it
// has no slot at hand, and while it waits for another goroutine itself, which it counts
// for others to see. Who waits looks for a moment
// whether that happens: for a goroutine that is at work it mostly does, and a barrier
// interrupts it, which takes some microseconds, and some dozens in a virtual machine.
// With claims there is always a barrier.
//
// A bias that was taken away comes back at once if it has spared many more
// compare-and-swaps than a barrier costs, for the slots that are at hand then: what others
// have they may go on to free. Otherwise it comes back after some refills of the handle. How many
// depends on whether it was worth it the last time: the pause is doubled if it
// saved less than the barrier costs, else halved. So a program that moves blocks
// between goroutines all the time loses little, and one that does so now and then
// has freed those that it moved.
const (
	canBias      = runtime.GOARCH == "amd64" && !raceEnabled
	minBiasPause = 32   // refills
	maxBiasPause = 4096 // refills
	biasWorth    = 1024 // frees: what taking a bias away costs both sides, in compare-and-swaps
	biasWellSeen = 8192 // frees after which there is no pause
	neverBias    = 1 << 30
)

// biasHistory is what the length of the next pause depends on; the owner's mutex
// guards it.
type biasHistory struct {
	pause int32  // the last one
	frees uint64 // of the hands when it began
}

// mayBias reports whether the owner's slots may be biased now. It is called with
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
	spared := frees - h.frees
	if spared < biasWorth {
		h.pause *= 2
	} else {
		h.pause /= 2
	}
	h.pause = min(max(h.pause, minBiasPause), maxBiasPause)
	h.frees = frees
	if spared >= biasWellSeen {
		hs.pause.Store(0)
		return
	}
	hs.pause.Store(h.pause)
}

// unbias takes the bias from the slots of the handle that owns the given run, for the
// goroutine that has the hands of by. It returns when the handle's goroutine knows.
func (s *Shared) unbias(c *sharedClass, run uintptr, by *hands) {
	o := s.ownerOf(c, run)
	if o == nil {
		return
	}
	by.fences.Add(1) // who holds the mutex may wait for this goroutine
	o.mu.Lock()
	defer o.mu.Unlock()
	if hs := o.hands.Load(); hs != nil && s.ownerOf(c, run) == o {
		s.unbiasAll(o, hs, by)
	}
}

// unbiasAll is unbias with the owner's mutex held.
func (s *Shared) unbiasAll(o *shard, hs, by *hands) {
	if !s.retract(hs) {
		return
	}
	o.pauseBias(hs)
	hs.await(by)
	for hd := range hs.all() {
		if hd.run == 0 {
			continue
		}
		if w, _ := s.word(hd.run); w&biasBit != 0 {
			s.show(&s.classes[w>>classShift%maxClasses], hd.run, slotMask)
			s.rewrite(o, hd.run, biasBit)
		}
	}
}

// retract says that no slot of the hands is biased any more, and in the words of their runs
// that they may still be taken for that. It reports whether there were any.
func (s *Shared) retract(hs *hands) (found bool) {
	for hd := range hs.all() {
		if hd.isBiased() {
			_, row := s.word(hd.run)
			atomic.OrUint64(row, biasBit)
			hd.setMode(handOpen)
			found = true
		}
	}
	return found
}

// biasRest is for a handle whose goroutine has freed a slot by a compare-and-swap, though
// it may bias slots: it does so to all that are at hand.
func (hs *hands) biasRest() {
	o := hs.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if hs.pause.Load() != 0 {
		return
	}
	for hd := range hs.all() {
		hs.s.biasLent(o, hd)
	}
}

// biasLent biases the slots that hd has at hand. It is called by its goroutine, with the
// mutex of the owner held.
func (s *Shared) biasLent(o *shard, hd *hand) {
	a := hd.lent()
	if hd.run == 0 || a&^hd.biased() == 0 {
		return
	}
	hd.bias(a)
	w, _ := s.word(hd.run)
	s.show(&s.classes[w>>classShift%maxClasses], hd.run, hd.biased())
	s.rewrite(o, hd.run, 0)
	if s.stopped.Load() {
		hd.stop()
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

// How often passesFence looks, for as long as a barrier takes on a machine where it does
// not take long, and after how many looks it counts that it is itself between two frees.
const (
	fenceLooks  = 8192
	fenceCounts = 64
)

// passesFence reports whether the goroutine of the handle soon comes for slots other
// than by the fast path, or waits itself: where it counts that, by an atomic instruction, all
// that it wrote before can be seen, and it sees from then on what others had written before.
// Two goroutines that wait for each other need not wait long: the one that looks has the
// hands of by, and counts, too.
func (hs *hands) passesFence(by *hands) bool {
	n := hs.fences.Load()
	for i := range fenceLooks {
		if i%fenceCounts == 0 {
			by.fences.Add(1)
		}
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
func (hs *hands) await(by *hands) {
	if hs.claimed || !hs.passesFence(by) {
		barrier()
	}
	for i := 0; atomic.LoadUint64(&hs.turn) != 0; i++ {
		if i < awaitYields {
			runtime.Gosched()
		} else {
			doze(awaitSleep)
		}
	}
}
