package segregated

import "sync/atomic"

// This file moves runs from one owner to another: from a shard that has many,
// and from one that nobody uses any more. Who holds the mutex of one owner only
// tries to take that of another, so that nobody waits in a circle.

// stealFrom is how many runs of a class a shard must have for others to take
// half of them: those of a shard in use are best left to it.
const stealFrom = 4

// steal moves runs of c from the list of another shard to that of o, and reports whether
// it found any.
func (s *Shared) steal(o *shard, c *sharedClass) bool {
	for _, v := range (*s.owners.Load())[:len(s.shards)+len(s.desks)] {
		if v == o || !v.stocked.Load() || !v.mu.TryLock() {
			continue
		}
		if v.runs == 0 {
			v.stocked.Store(false)
		}
		n := v.lists[c.index].len()
		if n >= stealFrom {
			for range (n + 1) / 2 {
				s.move(v, o, c, s.unlist(v, c))
			}
		}
		v.mu.Unlock()
		if n >= stealFrom {
			return true
		}
	}
	return false
}

// move gives a run that is on no list to o, which lists it if it has room. Both
// mutexes are held.
func (s *Shared) move(from, o *shard, c *sharedClass, run uintptr) {
	from.runs--
	s.setOwner(c, run, o)
	if w, _ := s.word(run); !isFull(w) {
		atomic.OrUint64(s.bound(run), listedBit)
		o.lists[c.index].push(run)
		if c.isEmpty(w) {
			o.empties++
		}
	}
}

// visitEvery is after how many refills a shard looks after another one.
const visitEvery = 64

// isIdle reports whether nobody has used the shard since it was asked last.
func (v *shard) isIdle() bool {
	used := v.used()
	idle := used == v.seen
	v.seen = used
	return idle
}

// used is a number that changes when the shard is used.
func (v *shard) used() uint64 {
	used := v.calls
	if hs := v.hands.Load(); hs != nil {
		used += hs.frees() + hs.stock.takes()
	}
	return used
}

// visit looks at one shard after the other. One that has not been asked for a
// run since the last visit is idle: o takes what it has.
func (s *Shared) visit(o *shard) {
	v := (*s.owners.Load())[s.turn.Add(1)%uint32(len(s.shards)+len(s.desks))]
	if v == o || !v.mu.TryLock() {
		return
	}
	defer v.mu.Unlock()
	if !v.isIdle() {
		return
	}
	if v.claim != nil {
		s.endClaim(v)
	}
	s.takeAll(v, o)
	s.shrink(o)
}

// takeAll moves the runs of v that have free slots to o; both mutexes are held.
func (s *Shared) takeAll(v, o *shard) {
	if v.runs == 0 {
		return
	}
	for ci := range v.lists {
		c := &s.classes[ci]
		s.retire(v, c)
		for v.lists[ci].len() > 0 {
			s.move(v, o, c, s.unlist(v, c))
		}
	}
	v.empties = 0
}
