package segregated

import (
	"github.com/memlab-go/memlab/alloc"
)

// Realloc changes the size of b to size bytes, as [Heap.Realloc] does. A slot
// stays where it is while its class fits; larger blocks shrink and grow in place
// under the lock where the neighbour allows it. Contents are copied without that
// lock. Nobody else may use b meanwhile.
func (s *Shared) Realloc(b []byte, size int) ([]byte, error) {
	return s.realloc(b, size, 1, nil)
}

// ReallocAligned is [Shared.Realloc] with a base address that is a multiple of
// align afterwards, as [Heap.ReallocAligned].
func (s *Shared) ReallocAligned(b []byte, size, align int) ([]byte, error) {
	return s.realloc(b, size, align, nil)
}

func (s *Shared) realloc(b []byte, size, align int, o *shard) ([]byte, error) {
	if s.serial {
		s.lock()
		defer s.unlock()
		if align == 1 {
			return s.h.Realloc(b, size)
		}
		return s.h.ReallocAligned(b, size, align)
	}
	switch {
	case align <= 0 || align&(align-1) != 0:
		return nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrAlign}
	case b == nil && align == 1:
		return s.malloc("malloc", size, o)
	case b == nil:
		return s.mallocAligned("malloc", size, align, o)
	case s.closed.Load():
		return nil, &alloc.Fault{Op: "realloc", Err: alloc.ErrClosed}
	}
	if old := s.liveSize(b); old != 0 {
		if s.staysLarge(old, size) && addrOf(b)&uintptr(align-1) == 0 {
			return s.bytesOf(addrOf(b)-uintptr(s.base), size), nil
		}
		return s.reallocSpan(b, size, align, o)
	}
	p, ok := s.find(b)
	if !ok {
		return s.reallocSpan(b, size, align, o)
	}
	switch {
	case size < 0:
		return nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrSize}
	case size == 0:
		s.freeFor(b, o)
		return nil, nil
	case uintptr(size) <= p.c.size && uintptr(size) > p.c.size/2 && addrOf(b)&uintptr(align-1) == 0:
		return s.bytesOf(addrOf(b)-uintptr(s.base), size), nil
	}
	return s.moveBlock(b, int(p.c.size), size, align, o)
}

// staysLarge reports whether a span of so many granules stays the place of a block that is to have size
// bytes: if no smaller size of stocks will do.
func (s *Shared) staysLarge(old uint64, size int) bool {
	n := spanFor(size)
	return size > 0 && !s.hasClass(size) && n <= old && old-n <= max(keptSlack(n), old/8)
}

// reallocSpan is realloc for a block that is no slot.
func (s *Shared) reallocSpan(b []byte, size, align int, o *shard) ([]byte, error) {
	if size == 0 {
		s.spanUsable("realloc", b) // panics if b is not live
		s.freeFor(b, o)
		return nil, nil
	}
	old, done, err := s.resizeSpan(b, size, align)
	switch {
	case err != nil:
		return nil, err
	case done != nil:
		return done, nil
	}
	return s.moveBlock(b, old, size, align, o)
}

// resizeSpan changes b in place, or by moving its pages, if it can. Otherwise it
// returns the size of b.
func (s *Shared) resizeSpan(b []byte, size, align int) (old int, done []byte, err error) {
	h := s.h
	s.lock()
	defer s.unlock()
	defer h.catch("realloc", b, &err)
	off := uint64(addrOf(b) - uintptr(s.base))
	if h.refused() {
		return 0, nil, h.refusal("realloc")
	}
	if p, ok := s.placeAt(uintptr(off)); ok {
		panic(s.classifySlot("realloc", b, p))
	}
	h.locate("realloc", b)
	if !s.claimSpan(uintptr(off)) { // somebody has just freed it
		panic(h.classifyFreed("realloc", b, off))
	}
	old, done, err = s.resizeClaimed(b, off, size, align)
	if !h.refused() {
		if done != nil {
			off = uint64(addrOf(done) - uintptr(s.base))
		}
		s.noteSpan(off)
	}
	return old, done, err
}

// resizeClaimed is resizeSpan for a live block at offset off that nobody frees meanwhile. s.mu is held.
func (s *Shared) resizeClaimed(b []byte, off uint64, size, align int) (old int, done []byte, err error) {
	h := s.h
	old = h.usable(off)
	switch {
	case size < 0:
		return 0, nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrSize}
	case align == 1 && uintptr(size) > s.maxSize && old >= remapMin && size > old:
		done, err = h.realloc(b, size, 1)
		if none, ok := err.(*alloc.NoMemoryError); ok && none != nil {
			return old, nil, nil // the heap may have empty runs
		}
		return old, done, err
	case uintptr(size) > s.maxSize && addrOf(b)&uintptr(align-1) == 0 && h.resize(off, size):
		return old, h.block(off, size), nil
	}
	return old, nil, nil
}

// moveBlock moves the live block b of old bytes to a new place.
func (s *Shared) moveBlock(b []byte, old, size, align int, o *shard) (to []byte, err error) {
	if align == 1 {
		to, err = s.malloc("realloc", size, o)
	} else {
		to, err = s.mallocAligned("realloc", size, align, o)
	}
	if err != nil {
		return nil, err
	}
	from := s.bytesOf(addrOf(b)-uintptr(s.base), old)
	if err := s.fill("realloc", s.busyShard(o), addrOf(to)-uintptr(s.base), min(old, size), from[:min(old, size)]); err != nil {
		return nil, err
	}
	freed := false
	defer func() {
		if !freed { // somebody has freed b meanwhile: the panic goes on
			s.freeFor(to, o)
		}
	}()
	s.freeFor(b, o)
	freed = true
	return to, nil
}

// freeFor is Free of b by the handle that o is the shard of, so that it need not take its own
// bias away; if o is nil, by whoever calls.
func (s *Shared) freeFor(b []byte, o *shard) {
	if o != nil {
		o.hands.Load().freeFar(b, nil)
		return
	}
	s.Free(b)
}
