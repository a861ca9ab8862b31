package segregated

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A shard is what goroutines that are on the same processor, more or less, take
// slots from: a current run of each class, and lists of runs with free slots. A
// [Handle] has one of its own. Every run has one owner, whose mutex guards on
// which list it is. A run is
//
//	held      it has lent slots to its owner, of which Malloc takes them
//	listed    it had a free slot when it was put on the owner's list
//	full      on no list: the Free that finds its word full settles it
//
// What counts is the run's word; lists say only where to look.
type shard struct {
	hands atomic.Pointer[hands]     // of a handle or a claim, nil if the shard is for all
	cur   [maxClasses]atomic.Uint64 // slots at hand of the current run, see shared_word.go; 0 if none
	frees atomic.Uint64             // that the words of runs have passed on
	_     [64]byte

	stocked atomic.Bool // it may own runs: others need not lock mu to see that it has none
	mu      sync.Mutex
	id      uint64
	claim   *claim // whose hands they are, nil if a handle's
	bias    biasHistory
	closed  bool // the handle is
	lists   [maxClasses]runList
	runs    int    // owned
	empties int    // of these, those that were seen empty and are listed
	calls   uint64 // refills
	seen    uint64 // calls and frees at the last visit
	looked  uint64 // and at the last look, see shared_look.go
	taken   uint64 // spans that those whose hands there were have taken out of their stocks
	_       [64]byte
}

// runList is a queue of runs, oldest first.
type runList struct {
	q    []uint32
	head int
}

func (l *runList) len() int { return len(l.q) - l.head }

func (l *runList) push(run uintptr) {
	if l.head > 16 && l.head > len(l.q)/2 {
		l.q = append(l.q[:0], l.q[l.head:]...)
		l.head = 0
	}
	l.q = append(l.q, uint32(run))
}

func (l *runList) pop() uintptr {
	run := l.q[l.head]
	l.head++
	if l.head == len(l.q) {
		l.q, l.head = l.q[:0], 0
	}
	return uintptr(run)
}

// endHands takes the hands, which hold nothing any more, from the shard, and keeps what they have
// counted. o.mu is held.
func (o *shard) endHands(hs *hands) {
	o.frees.Add(hs.frees())
	o.taken += hs.stock.takes()
	hs.s.stocks.Add(-1)
	o.hands.Store(nil)
}

// ownerOf returns the owner of the run of c at unit run, nil if there is none.
func (s *Shared) ownerOf(c *sharedClass, run uintptr) *shard {
	if raceEnabled { // the row may be a span's by now, and be written as such
		s.lock()
		defer s.unlock()
	}
	b := atomic.LoadUint64(s.bound(run))
	if !c.isRun(b) {
		return nil
	}
	return s.owner(b)
}

// owner returns the owner that the second word of a run names, nil if there is no such one.
func (s *Shared) owner(b uint64) *shard {
	owners := *s.owners.Load()
	if i := b & ownerMask; i < uint64(len(owners)) {
		return owners[i]
	}
	return nil
}

// setOwner makes o the owner of a run that is on no list. o.mu is held, and that of
// the owner before.
func (s *Shared) setOwner(c *sharedClass, run uintptr, o *shard) {
	atomic.StoreUint64(s.bound(run), c.tag<<classShift|o.id)
	if o.runs++; o.runs == 1 {
		o.stocked.Store(true)
	}
}

func (s *Shared) isListed(run uintptr) bool { return atomic.LoadUint64(s.bound(run))&listedBit != 0 }

// settle puts a run with free slots where its owner finds it, after a Free has
// found it full or left it empty. What is to be done is decided by what the
// run is now: others have been at it meanwhile.
func (s *Shared) settle(c *sharedClass, run uintptr) {
	for {
		o := s.ownerOf(c, run)
		if o == nil {
			return // it was empty and is gone
		}
		o.mu.Lock()
		if s.ownerOf(c, run) == o {
			s.settleAt(o, c, run)
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}

// settleAt is settle with the owner's mutex held.
func (s *Shared) settleAt(o *shard, c *sharedClass, run uintptr) {
	w, _ := s.word(run)
	if w&heldBit != 0 || isFull(w) {
		return
	}
	if o.closed {
		t := s.seats[seat()].Load()
		t.mu.Lock()
		o.runs--
		s.setOwner(c, run, t)
		s.list(t, c, run)
		t.mu.Unlock()
		return
	}
	if !s.isListed(run) {
		s.list(o, c, run)
		return
	}
	if c.isEmpty(w) {
		o.empties++
		s.shrink(o)
		s.wantLook()
	}
}

// list puts a run that is on no list last on its owner's.
func (s *Shared) list(o *shard, c *sharedClass, run uintptr) {
	atomic.OrUint64(s.bound(run), listedBit)
	o.lists[c.index].push(run)
	if w, _ := s.word(run); c.isEmpty(w) {
		o.empties++
		s.shrink(o)
	}
	s.wantLook()
}

// unlist takes the oldest run off the list of c.
func (s *Shared) unlist(o *shard, c *sharedClass) uintptr {
	run := o.lists[c.index].pop()
	atomic.AndUint64(s.bound(run), ^uint64(listedBit))
	return run
}

// keepEmpty is how many empty runs an owner keeps, and one for each keepShare
// that it owns.
const (
	keepEmpty = 8
	keepShare = 4
)

// shrink gives every other empty run of o back if they are too many. Who allocates and
// frees a batch of blocks at a time has use for the rest.
func (s *Shared) shrink(o *shard) {
	if o.empties > keepEmpty+o.runs/keepShare {
		s.dropEmpty(o, 2)
	}
}

// dropEmpty gives one of so many empty runs on the lists of o back to the best-fit space.
func (s *Shared) dropEmpty(o *shard, of int) {
	var dead []uint64
	seen := 0
	for ci := range o.lists {
		l, c := &o.lists[ci], &s.classes[ci]
		keep := l.q[l.head:l.head]
		for _, run := range l.q[l.head:] {
			if w, _ := s.word(uintptr(run)); c.isEmpty(w) {
				if seen++; seen%of == 0 && s.kill(o, c, uintptr(run)) {
					dead = append(dead, uint64(run)<<8|uint64(ci))
					continue
				}
			}
			keep = append(keep, run)
		}
		l.q = l.q[:l.head+len(keep)]
	}
	o.empties = max(0, seen-len(dead))
	s.bury(dead)
}

// kill takes the run's word away if no slot is used, so that nobody can take
// one any more. The run is on no list, or about to be taken off.
func (s *Shared) kill(o *shard, c *sharedClass, run uintptr) bool {
	for {
		w, row := s.word(run)
		if !c.isEmpty(w) || w&heldBit != 0 {
			return false
		}
		if atomic.CompareAndSwapUint64(row, w, 0) {
			o.frees.Add(countOf(w))
			atomic.StoreUint64(s.bound(run), 0)
			o.runs--
			return true
		}
	}
}

// bury gives killed runs, each with its class, to the best-fit space.
func (s *Shared) bury(dead []uint64) {
	if len(dead) == 0 {
		return
	}
	s.lock()
	defer s.unlock()
	if s.h.refused() {
		return // what is in a heap that was closed meanwhile goes with it
	}
	for _, d := range dead {
		s.h.dropRun(uintptr(d&0xff), uintptr(d>>8))
	}
	s.wantLook()
}

// refill takes a slot of class c for o from another run than the current one, if
// that has none, and puts the others at hand. It returns the word with the slot
// as its first, 0 if there is none; o's mutex is held.
func (s *Shared) refill(o *shard, c *sharedClass) (cur uint64) {
	at := &o.cur[c.index]
	for {
		if cur, _ = s.takeOrLend(at); cur != 0 {
			return cur
		}
		s.retire(o, c)
		run := s.next(o, c)
		if run == 0 {
			return 0
		}
		at.Store(uint64(run) << curShift)
	}
}

// takeOrLend takes a slot from the word at of a shard, after lending it slots of
// its run that have been freed if it has none. It returns the word with the slot
// as its first, 0 if the run is full or there is none, and how often another
// goroutine was quicker.
func (s *Shared) takeOrLend(at *atomic.Uint64) (cur uint64, lost int) {
	for ; ; lost++ {
		cur = at.Load()
		switch {
		case cur == 0:
			return 0, lost
		case cur&curFill != 0:
			runtime.Gosched()
		case cur&curMask != 0:
			if at.CompareAndSwap(cur, cur&(cur-1)) {
				return cur, lost
			}
		case at.CompareAndSwap(cur, cur|curFill):
			return s.lendCur(at, uintptr(cur>>curShift)), lost
		}
	}
}

// lendCur lends free slots of the run to the shard whose word is at, which has
// none and is marked as changing: whoever sees the slots marked as used sees
// that, too. It keeps the first one for its caller, and returns 0 if all are used.
func (s *Shared) lendCur(at *atomic.Uint64, run uintptr) uint64 {
	for {
		w, row := s.word(run)
		cur, lent := newCur(run, ^w&slotMask)
		if lent == 0 {
			at.Store(uint64(run) << curShift)
			return 0
		}
		s.show(&s.classes[w>>classShift%maxClasses], run, lent)
		if atomic.CompareAndSwapUint64(row, w, w|lent|heldBit) {
			at.Store(cur & (cur - 1))
			return cur
		}
	}
}

// retire takes the current run of class c from o, whose mutex is held, with the
// slots at hand.
func (s *Shared) retire(o *shard, c *sharedClass) {
	at := &o.cur[c.index]
	for {
		cur := at.Load()
		run := uintptr(cur >> curShift)
		switch {
		case cur == 0:
			return
		case cur&curFill != 0:
			runtime.Gosched()
		case at.CompareAndSwap(cur, uint64(run)<<curShift|curFill):
			s.unhold(o, run, atHand(cur, run))
			at.Store(0)
			s.settleAt(o, c, run)
			return
		}
	}
}

// unhold marks the slots of a run that it had lent to o, and that were not handed
// out, as free. It counts as a free that was none, so that whoever is about to free
// a slot, and has seen that o has it not at hand, finds that the word has changed.
func (s *Shared) unhold(o *shard, run uintptr, lent uint64) {
	s.rewrite(o, run, lent|heldBit|biasBit)
}

// rewrite clears bits of the word of a run that o owns, and counts a free that was none.
func (s *Shared) rewrite(o *shard, run uintptr, bits uint64) {
	for {
		w, row := s.word(run)
		n := w&^(bits|countMask) | (w+countOne)&countMask
		if atomic.CompareAndSwapUint64(row, w, n) {
			o.frees.Add(^uint64(0))
			if n&countMask == 0 {
				o.frees.Add(countWraps)
			}
			return
		}
	}
}

// next returns a run of c, on no list and with free slots, that is o's: one
// from its list, one of a shard that has many, or a new one. 0 if there is none.
func (s *Shared) next(o *shard, c *sharedClass) uintptr {
	o.calls++
	s.wantLook()
	run := s.pick(o, c)
	if run == 0 && s.steal(o, c) {
		run = s.pick(o, c)
	}
	fresh := run == 0
	if fresh {
		if run = s.newRun(o, c); run == 0 {
			return 0
		}
	}
	if fresh || o.calls%visitEvery == 0 {
		s.visit(o)
	}
	return run
}

// pickFrom is how many runs of a list pick looks at.
const pickFrom = 4

// pick takes a run off the list of c: of the oldest few, the one with the most
// free slots, but an empty one only if all are. 0 if there is none.
func (s *Shared) pick(o *shard, c *sharedClass) uintptr {
	l := &o.lists[c.index]
	best, most := uintptr(0), 0
	for range min(l.len(), pickFrom) {
		run := s.unlist(o, c)
		w, _ := s.word(run)
		n := freeSlots(w)
		if n == 0 {
			continue // whoever frees a slot of it lists it again
		}
		if c.isEmpty(w) {
			n = 1
		}
		if best == 0 {
			best, most = run, n
			continue
		}
		if n > most {
			best, most, run = run, n, best
		}
		atomic.OrUint64(s.bound(run), listedBit)
		l.push(run)
	}
	if best != 0 {
		if w, _ := s.word(best); c.isEmpty(w) && o.empties > 0 {
			o.empties--
		}
	}
	return best
}

// newRun cuts a run from the best-fit space; 0 if there is no room.
func (s *Shared) newRun(o *shard, c *sharedClass) uintptr {
	s.lock()
	defer s.unlock()
	if s.h.refused() {
		return 0
	}
	run := s.h.newRun(c.index, true)
	if run >= maxSharedRun {
		s.h.dropRun(c.index, run)
		return 0
	}
	if run == 0 {
		return 0
	}
	_, word := s.word(run)
	atomic.StoreUint64(word, c.empty())
	s.setOwner(c, run, o)
	return run
}
