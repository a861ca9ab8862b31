package segregated

import (
	"runtime"
	"sync/atomic"
)

// A goroutine that calls a Shared often gets a claim: hands like those of a
// [Handle], of which it takes slots, and into which it frees, without an atomic
// operation. Nobody says that it is the same goroutine that calls again. But
// goroutines have stacks, and a call knows where its own one is:
//
//   - At any time each 2 KiB of memory are part of one stack at most: that is the
//     least size of one, and stacks lie at multiples of it.
//   - A stack moves when a function that is called finds it too small, or when the
//     collector finds it too large while its goroutine is stopped in a call. A
//     goroutine that is interrupted between calls keeps its stack where it is:
//     nobody knows there which of its words are pointers.
//
// So the place of a variable of the running function says who is running, and goes
// on to do so until something is called. A claim is for one place. Who is there does
// its work on a hand between two writes to the turn, and calls nothing (what
// sync/atomic has is instructions): it is alone until it has finished. If
// it ends, or its stack moves, another goroutine may come to the same place and
// find the claim; that there is an order between the two is the work of the
// runtime, which has handed the memory from one to the other.
//
// What needs calls, to take another run, is done with the mutex of the claim's
// shard, its desk, held, and while place is 0, so that nobody else comes in even if
// the stack moves on the way.
//
// Others end a claim as they take a bias away (bias.go): they shut the hands, let all
// processors pass a barrier, and wait until no hand is at work. Somebody who comes
// too late, and still believes in the claim, finds the hands shut; these are never
// used for another place.
type claim struct {
	hands         // whose place is of stacks, see stackPlace, and whose runs are a desk's
	home  uintptr // what place is unless it is 0
}

// newClaim returns a claim of hands that hold nothing.
func newClaim(s *Shared, o *shard, place uintptr) *claim {
	k := &claim{home: place}
	k.place, k.claimed = place, true
	k.setHands(s, o)
	return k
}

// canClaim says that what is said of stacks above is true, and that a claim can be
// taken away. Of the stacks of other compilers and later releases nothing is known.
const canClaim = canBias && runtime.Compiler == "gc" && stacksKnown

// claimAfter is how often a goroutine has to ask for slots other than by the
// small path, on the same place, to be given a claim.
const claimAfter = 8

// wantsClaim counts that the goroutine at the place has come for slots, and reports
// whether it is to have a claim. Goroutines with the same number overwrite each
// other's count: those who come more often win.
func (s *Shared) wantsClaim(place uintptr) bool {
	if !canClaim {
		return false
	}
	v := &s.tries[place%numSeats]
	w := v.Load()
	switch {
	case w>>8 != uint64(place):
		w = uint64(place) << 8
	case w&0xff >= claimAfter:
		v.Store(uint64(place) << 8) // again when there was no desk
		return true
	}
	v.Store(w + 1)
	return false
}

// makeClaim gives a desk to the caller, whose variable here is, if one is free, or
// if the one whose turn it is has been idle.
func (s *Shared) makeClaim(here *byte) {
	if !s.reg.TryLock() {
		return
	}
	defer s.reg.Unlock()
	if s.alone || s.serial {
		return
	}
	if s.alone = !hasBarrier(); s.alone {
		return
	}
	o := s.freeDesk()
	if o == nil {
		return
	}
	defer o.mu.Unlock()
	place := stackPlace(here)
	if old := s.claimAt(here); old.o != nil { // another place with the same number
		if !old.o.mu.TryLock() {
			return
		}
		defer old.o.mu.Unlock()
		if old.o.claim == old { // else somebody has just ended it
			if !old.o.isIdle() {
				return
			}
			s.endClaim(old.o)
		}
	}
	if s.stopped.Load() {
		return
	}
	k := newClaim(s, o, place)
	o.bias = biasHistory{}
	o.beginBias(&k.hands)
	o.claim = k
	o.hands.Store(&k.hands)
	k.beginStock()
	s.setClaim(place, k)
}

// freeDesk returns a desk that nobody has a claim to, with its mutex held, nil if
// there is none. s.reg is held.
func (s *Shared) freeDesk() *shard {
	for _, o := range s.desks {
		if !o.mu.TryLock() {
			continue
		}
		if o.claim == nil {
			return o
		}
		o.mu.Unlock()
	}
	s.desk = (s.desk + 1) % len(s.desks)
	o := s.desks[s.desk]
	if !o.mu.TryLock() {
		return nil
	}
	switch {
	case o.claim == nil: // somebody has just ended it
		return o
	case o.isIdle():
		s.endClaim(o)
		return o
	}
	o.mu.Unlock()
	return nil
}

// withdraw takes all runs out of the hands of a desk's claim, and all spans, and leaves them shut;
// it returns how many spans there were. The desk's mutex is held, and so nobody is at work on the
// claim but by the small paths.
func (s *Shared) withdraw(o *shard) (spans int) {
	hs := &o.claim.hands
	s.retract(hs)
	hs.shut()
	hs.await(&s.nobody.hands)
	for ci := range s.classes {
		s.giveBackAll(o, &s.classes[ci])
	}
	return hs.emptyStock()
}

// endClaim takes the claim from a desk, whose mutex is held. What it has on its
// lists stays there.
func (s *Shared) endClaim(o *shard) {
	k := o.claim
	s.withdraw(o)
	atomic.StoreUintptr(&k.place, 0)
	if s.claimOf(k.home) == k {
		s.setClaim(k.home, s.nobody)
	}
	o.endHands(&k.hands)
	o.claim = nil
}

// mallocClaimed returns a slot of class c for the claim of the caller, whose
// variable here is; nil if it has none any more, or if there is no memory.
func (s *Shared) mallocClaimed(c *sharedClass, size int, here *byte) []byte {
	k := s.claimAt(here)
	if k.o == nil {
		return nil
	}
	k.o.mu.Lock()
	defer k.o.mu.Unlock()
	if k.o.claim != k || !k.enter(here) {
		return nil
	}
	defer atomic.StoreUintptr(&k.place, k.home)
	k.o.calls++
	k.o.mayBias()
	return s.takeLent(k.o, c, size)
}
