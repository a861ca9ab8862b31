package segregated

import (
	"sync/atomic"
	"time"
	"weak"

	"github.com/memlab-go/memlab/alloc"
)

// What a shard, a claim or a handle has, others take from it when they need more, see visit. If
// they do not, nobody would: a goroutine that finds all it needs at hand looks after no one, and
// one that has ended does nothing at all. So a Shared looks at its owners from time to time by
// itself, in a goroutine that a timer starts:
//
//   - One that was used since the look before is left alone. So is one whose mutex is taken.
//   - The claim of an idle one is ended, its current runs are retired, and its empty runs and its
//     stock go back to the best-fit space. Partial runs stay on its list, where others find
//     them (shard_move.go); those of a handle, where nobody looks, go to a shard.
//   - The best-fit space then sweeps, for as long as it has credit (sweep.go), or for some pages if
//     it is at rest. It does so at the look that finds its memory free, and again at the next one,
//     which gives the pages back.
//
// The timer runs once and is wanted again by whoever makes work for it on a slow path: who takes
// another run, lists one, finds one empty, opens a stock or comes to the best-fit space; and by
// a look that has found somebody at work, or has given something back. So a heap at rest has no
// timer after a few looks, and who wants one mostly finds that there is one, by one load. What
// could be done without coming to a slow path first, a look has prevented: idle shards have no
// current run, idle claims are none, and the stocks of idle handles are shut.
//
// The timer does not keep the heap alive. A look holds one owner's mutex at a time, and only
// tries to take it; with that of a handle it tries to take a shard's. After Close, which holds
// all of them, it finds that the heap is stopped.
type housekeeper struct {
	wanted atomic.Bool // a look is to come
	timer  *time.Timer
	every  time.Duration // lookEvery, but in tests
	ops    uint64        // of the best-fit space at the last look; guarded by Shared.mu
	rest   int           // looks that have found the best-fit space as it was; guarded by Shared.mu
	turn   atomic.Uint32 // which shard the runs of the next idle handle are for
}

// lookEvery is the time from one look to the next. To be idle for so long costs who comes back
// some refills, and now and then a new claim: microseconds. And memory that was freed goes back
// after three looks.
const lookEvery = time.Second

// beginLooks makes the timer, which nobody wants yet.
func (s *Shared) beginLooks() {
	heap := weak.Make(s)
	s.keeper.every = lookEvery
	s.keeper.timer = time.AfterFunc(lookEvery, func() {
		if s := heap.Value(); s != nil {
			s.lookAround()
		}
	})
	s.keeper.timer.Stop()
}

// wantLook sees to it that there is a look.
func (s *Shared) wantLook() {
	if k := &s.keeper; !k.wanted.Load() && !s.serial && !s.stopped.Load() && !k.wanted.Swap(true) {
		k.timer.Reset(k.every)
	}
}

// lookAround looks at all owners, and at the best-fit space. Damage that it finds the next call
// reports.
func (s *Shared) lookAround() {
	defer s.catchLook()
	s.keeper.wanted.Store(false)
	for _, v := range *s.owners.Load() {
		s.lookAt(v)
	}
	s.lookAtSpace()
}

// catchLook stops a panic that comes of damage.
func (s *Shared) catchLook() {
	if r := recover(); r != nil {
		s.lock()
		defer s.unlock()
		if f, ok := r.(*alloc.Fault); ok { // of a span from a stock
			s.h.fail("%v", f)
			return
		}
		_ = s.h.caught(r)
	}
}

// mayLook reports whether there is still a heap, and memory. One of the locks that Close takes
// is held.
func (s *Shared) mayLook() bool { return !s.stopped.Load() && s.h.region.Bytes() != nil }

// lookAt gives back what v has if it is idle since the last look.
func (s *Shared) lookAt(v *shard) {
	if !v.mu.TryLock() {
		s.wantLook()
		return
	}
	defer v.mu.Unlock()
	used := v.used()
	switch {
	case !s.mayLook():
		return
	case used != v.looked:
		v.looked = used
		s.wantLook()
		return
	}
	if v.claim != nil {
		s.endClaim(v)
	}
	for ci := range v.cur {
		s.retire(v, &s.classes[ci])
	}
	s.dropEmpty(v, 1)
	if hs := v.hands.Load(); hs != nil {
		s.lookAtHandle(v, hs)
	}
	v.looked = v.used()
}

// lookAtHandle gives back the stock of an idle handle, and hands the runs on its lists on to a
// shard.
func (s *Shared) lookAtHandle(v *shard, hs *hands) {
	if hs.stock.isOpen() || hs.stock.holds() != 0 {
		hs.shutStock(false)
	}
	t := s.shards[s.keeper.turn.Add(1)%uint32(len(s.shards))]
	if !t.mu.TryLock() {
		s.wantLook()
		return
	}
	defer t.mu.Unlock()
	s.takeAll(v, t)
}

// restLooks is how many looks in a row find the best-fit space as it was before there are no
// more: a sweep may give back what only the second one before it has found.
const restLooks = 2

// lookPages is how many pages go back in a look without credit, if there was no operation since
// the last one. To give back so many, and to take them again, takes a processor about a
// thousandth of the time between two looks.
const lookPages = 1024

// lookAtSpace sweeps the best-fit space, if there were so few operations since the last look
// that these have not.
func (s *Shared) lookAtSpace() {
	s.lock()
	defer s.unlock()
	h, k := s.h, &s.keeper
	if h.refused() || !s.mayLook() {
		return
	}
	ops, before := h.mallocs+h.frees, h.committed
	if ops == k.ops {
		h.credit = max(h.credit, lookPages)
	}
	if ops-k.ops < sweepEvery {
		h.sweepShrinks()
	}
	k.rest++
	if ops != k.ops || h.committed != before {
		k.ops, k.rest = ops, 0
	}
	if k.rest < restLooks {
		s.wantLook()
	}
}
