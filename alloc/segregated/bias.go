package segregated

import (
	"runtime"
	"sync/atomic"
)

// A run that a handle has at hand may be biased towards it: then the handle's
// goroutine frees blocks of the run by plain writes to a mask of its own, and
// anybody else who frees one takes the bias away first. That each double free is
// found, also one by two goroutines at the same time, needs an order between
// what the two write and read, which costs the owner nothing and the other one
// a system call:
//
//	the handle's goroutine          another one
//	busy = 1                        clear the bias in the run's word
//	is the run's word biased?       a barrier on every processor of the process
//	freed |= slot                   wait until busy is 0
//	busy = 0                        is the slot in freed?
//
// Either the barrier comes after "busy = 1", and the other one waits until the
// mask is written; or it comes before, and the handle's goroutine sees that the
// bias is gone. (Dice, Huang, Yang: Asymmetric Dekker synchronization, 2001;
// Linux: membarrier(2).) The handle's writes need to become visible in their
// order, which they do on amd64. Elsewhere, and where the system has no such
// call, runs are not biased and a free is one compare-and-swap.
//
// A bias that was taken away comes back after biasPause refills of the handle:
// by then a program that moves blocks between goroutines now and then has freed
// those that it moved, and one that does so all the time loses little.
const (
	canBias   = runtime.GOARCH == "amd64" && !raceEnabled
	biasPause = 256
)

// mayBias reports whether the owner's runs may be biased now. It is called with
// each refill of the handle, by its goroutine.
func (o *shard) mayBias() bool {
	if !canBias {
		return false
	}
	p := &o.hands.pause
	if p.Load() == 0 {
		return true
	}
	if p.Add(-1) == 0 && !hasBarrier() {
		p.Store(1 << 30)
		return false
	}
	return false
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
	if s.ownerOf(c, run) == o && o.hands != nil {
		s.unbiasAll(o)
	}
}

// unbiasAll is unbias with the owner's mutex held.
func (s *Shared) unbiasAll(o *shard) {
	o.hands.pause.Store(biasPause)
	any := false
	for ci := range o.hands.of {
		run := o.hands.of[ci].run
		for run != 0 {
			w, row := s.word(run)
			if w&biasBit == 0 {
				break
			}
			if atomic.CompareAndSwapUint64(row, w, w&^biasBit) {
				any = true
				break
			}
		}
	}
	if !any {
		return
	}
	barrier()
	for atomic.LoadUint64(&o.hands.busy) != 0 {
		runtime.Gosched()
	}
}
