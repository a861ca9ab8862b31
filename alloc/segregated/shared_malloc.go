package segregated

import (
	"errors"

	"github.com/memlab-go/memlab/alloc"
)

// mallocSlow is Malloc when the current run has no slot, or somebody else was
// quicker, for sizes without a class, and when every call has to come here; here
// is a variable of the caller's.
func (s *Shared) mallocSlow(op string, size int, here *byte) ([]byte, error) {
	if !s.hasClass(size) {
		return s.handsFor(here).mallocLarge(op, size, here)
	}
	at := seat()
	o := s.seats[at].Load()
	if !s.stopped.Load() {
		c := s.classFor(size)
		if s.isClaimed(here) {
			if b := s.mallocClaimed(c, size, here); b != nil {
				return b, nil
			}
		} else if s.wantsClaim(stackPlace(here)) {
			s.makeClaim(here)
		}
		cur, lost := s.takeOrLend(&o.cur[c.index])
		if lost > 1 { // another goroutine has the same shard: part
			s.seats[at].Store(s.shards[(o.id+uint64(at)|1)%uint64(len(s.shards))])
		}
		if cur != 0 {
			return s.take(cur, c.size, size), nil
		}
	}
	return s.malloc(op, size, o)
}

// handsFor returns those of the claim of the caller, whose variable here is, or nobody's.
func (s *Shared) handsFor(here *byte) *hands {
	if place := stackPlace(here); canClaim && !s.serial {
		if k := s.claimAt(here); k.home == place {
			return &k.hands
		}
		if s.wantsClaim(place) {
			s.makeClaim(here)
		}
	}
	return &s.nobody.hands
}

// hasClass reports whether blocks of so many bytes are slots.
func (s *Shared) hasClass(size int) bool { return uintptr(size) <= s.maxSize && s.maxSize != 0 }

// classFor returns the class of a size that has one.
func (s *Shared) classFor(size int) *sharedClass {
	return &s.classes[s.classOf[uintptr(size+granule-1)/granule%uintptr(len(s.classOf))]%maxClasses]
}

// malloc finds a block of size bytes for owner o, nil if the goroutine's place says
// who that is.
func (s *Shared) malloc(op string, size int, o *shard) ([]byte, error) {
	if o == nil {
		var here byte
		return s.mallocSlow(op, size, &here)
	}
	switch hs := o.hands.Load(); {
	case !s.hasClass(size) && hs != nil:
		return hs.mallocLarge(op, size, nil)
	case s.hasClass(size) && !s.stopped.Load():
		c := s.classFor(size)
		for range 2 {
			if b := s.mallocSlot(o, c, size); b != nil {
				return b, nil
			}
			if !s.relieve(o, c) {
				break
			}
		}
	}
	return s.mallocSpan(op, size, size, granule, o)
}

// mallocSlot returns a slot of a run of o, nil if there is none and no room for
// another run.
func (s *Shared) mallocSlot(o *shard, c *sharedClass, size int) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hands.Load() != nil {
		return s.takeLent(o, c, size)
	}
	if cur := s.refill(o, c); cur != 0 {
		return s.take(cur, c.size, size)
	}
	return nil
}

// relieve is for a heap that has no room for another run: it gives back every
// empty run, and o takes what runs of other shards have free slots. It reports
// whether it is worth trying again.
func (s *Shared) relieve(o *shard, c *sharedClass) bool {
	dropped := s.reclaim(o)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range *s.owners.Load() {
		if v != o && v.mu.TryLock() {
			s.takeAll(v, o)
			v.mu.Unlock()
		}
	}
	return dropped > 0 || o.lists[c.index].len() > 0
}

// reclaim gives the empty runs of all owners back to the best-fit space, and the stocks: of handles only
// that of o, the caller's or nil, where nobody can wait for others. It returns how many runs and spans
// there were.
func (s *Shared) reclaim(o *shard) (dropped int) {
	for _, v := range *s.owners.Load() {
		v.mu.Lock()
		before := v.runs
		for ci := range v.cur {
			s.retire(v, &s.classes[ci])
		}
		if v.claim != nil {
			dropped += s.withdraw(v)
		} else if hs := v.hands.Load(); hs != nil {
			dropped += hs.drainStock(v == o)
		}
		s.dropEmpty(v, 1)
		dropped += before - v.runs
		v.mu.Unlock()
	}
	return dropped
}

// mallocSpan returns a block of size bytes at a multiple of align from the best-fit space for o, which
// may be nil: in a span for want bytes if there is memory for that.
func (s *Shared) mallocSpan(op string, size, want, align int, o *shard) ([]byte, error) {
	b, err := s.spanOnce(op, size, want, align)
	if err != nil && size >= 0 && isNoMemory(err) && s.reclaim(o) > 0 {
		s.uncount()
		return s.spanOnce(op, size, want, align)
	}
	return b, err
}

// uncount is told that a call which has failed is tried again.
func (s *Shared) uncount() {
	s.lock()
	defer s.unlock()
	s.h.failed--
}

func isNoMemory(err error) bool {
	_, none := errors.AsType[*alloc.NoMemoryError](err)
	return none
}

// spanOnce is mallocSpan without a second try.
func (s *Shared) spanOnce(op string, size, want, align int) ([]byte, error) {
	s.lock()
	defer s.unlock()
	if s.serial {
		return s.h.Malloc(size)
	}
	b, err := s.centralSpan(op, want, align)
	if err != nil && want != size && isNoMemory(err) {
		s.h.failed--
		b, err = s.centralSpan(op, size, align)
	}
	if err != nil {
		if none, ok := errors.AsType[*alloc.NoMemoryError](err); ok {
			none.Requested = size
		}
		return nil, err
	}
	s.noteSpan(uint64(addrOf(b) - uintptr(s.base)))
	return b[:size:size], nil
}

// centralSpan returns a block of the central heap. s.mu is held.
func (s *Shared) centralSpan(op string, size, align int) (b []byte, err error) {
	defer s.h.catch(op, nil, &err)
	if align == granule && op == "malloc" {
		return s.h.Malloc(size)
	}
	off, err := s.h.mallocAligned(op, size, align)
	if err != nil {
		return nil, err
	}
	return s.h.block(off, size), nil
}

// MallocAligned is [Shared.Malloc] with a base address that is a multiple of
// align, as [Heap.MallocAligned].
func (s *Shared) MallocAligned(size, align int) ([]byte, error) {
	return s.mallocAligned("malloc", size, align, nil)
}

func (s *Shared) mallocAligned(op string, size, align int, o *shard) ([]byte, error) {
	switch {
	case s.serial:
		s.lock()
		defer s.unlock()
		return s.h.MallocAligned(size, align)
	case align > 0 && align&(align-1) == 0 && s.hasClass(size) && s.hasClass(align):
		n := int(roundUp(uint64(max(size, 1)), uint64(align)))
		if align <= granule || uintptr(n) <= s.maxSize && s.classFor(n).size%uintptr(align) == 0 &&
			align <= unitSize && uintptr(s.base)%uintptr(align) == 0 {
			b, err := s.malloc(op, n, o)
			if err != nil {
				return nil, err
			}
			if addrOf(b)&uintptr(align-1) == 0 {
				return b[:size:size], nil
			}
			s.freeFor(b, o) // no slot, as there was no room for a run
		}
	}
	return s.mallocSpan(op, size, size, align, o)
}
