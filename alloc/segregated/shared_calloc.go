package segregated

import "github.com/memlab-go/memlab/alloc"

// Calloc returns a block of count*size bytes that are all zero, as
// [Heap.Calloc] does. Clearing is done without the lock of the heap.
func (s *Shared) Calloc(count, size int) ([]byte, error) {
	return s.calloc(count, size, nil)
}

func (s *Shared) calloc(count, size int, o *shard) ([]byte, error) {
	if s.serial {
		s.lock()
		defer s.unlock()
		return s.h.Calloc(count, size)
	}
	total, err := alloc.CheckedSize(count, size)
	if err != nil {
		return nil, &alloc.Fault{Op: "calloc", Size: size, Err: err}
	}
	if !s.hasClass(total) {
		return s.callocSpan(total, s.busyShard(o))
	}
	b, err := s.malloc("calloc", total, o)
	if err != nil {
		return nil, err
	}
	n, err := s.blockSize(b)
	if err == nil {
		err = s.fill("calloc", s.busyShard(o), addrOf(b)-uintptr(s.base), n, nil)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// busyShard returns a shard that the caller may keep busy: o, or the one of its seat.
func (s *Shared) busyShard(o *shard) *shard {
	if o == nil {
		return s.seats[seat()].Load()
	}
	return o
}

// blockSize returns the bytes of a block that the caller has just been given.
func (s *Shared) blockSize(b []byte) (n int, err error) {
	off := addrOf(b) - uintptr(s.base)
	if !raceEnabled {
		if p, ok := s.placeAt(off); ok {
			return int(p.c.size), nil
		}
	}
	s.lock()
	defer s.unlock()
	defer s.h.catch("calloc", nil, &err)
	if s.h.refused() {
		return 0, s.h.refusal("calloc")
	}
	if p, ok := s.placeAt(off); ok {
		return int(p.c.size), nil
	}
	end, err := s.h.endOf("calloc", uint64(off), len(b))
	return int(end - min(end, uint64(off))), err
}

// fillBytes is how much is written while a mutex is held.
const fillBytes = 256 << 10

// fill copies from to the n bytes at off, or clears them if from is nil. So that the
// memory is not taken away meanwhile it holds the mutex of o, for which Close waits.
func (s *Shared) fill(op string, o *shard, off uintptr, n int, from []byte) error {
	for n > 0 {
		part := min(n, fillBytes)
		if !s.fillPart(o, s.bytesOf(off, part), from[:min(part, len(from))]) {
			return &alloc.Fault{Op: op, Err: alloc.ErrClosed}
		}
		off, n, from = off+uintptr(part), n-part, from[min(part, len(from)):]
	}
	return nil
}

// fillPart is one step of fill. It reports whether the heap is open.
func (s *Shared) fillPart(o *shard, to, from []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	if from == nil {
		clear(to)
	} else {
		copy(to, from)
	}
	return true
}

// callocSpan is calloc for sizes without a class: pages that were never touched
// need no clearing.
func (s *Shared) callocSpan(total int, o *shard) ([]byte, error) {
	off, end, dirty, restored, err := s.dirtySpan(total)
	if err != nil && isNoMemory(err) && s.reclaim(o) > 0 {
		s.uncount()
		off, end, dirty, restored, err = s.dirtySpan(total)
	}
	if err != nil {
		return nil, err
	}
	for _, g := range dirtyParts(off, end, dirty, restored) {
		if err := s.fill("calloc", o, uintptr(g.lo), int(g.hi-g.lo), nil); err != nil {
			return nil, err
		}
	}
	return s.bytesOf(uintptr(off), total), nil
}

// dirtySpan allocates a span and says what of it may not be zero.
func (s *Shared) dirtySpan(total int) (off, end, dirty uint64, restored gap, err error) {
	h := s.h
	s.lock()
	defer s.unlock()
	defer h.catch("calloc", nil, &err)
	dirty = h.dirtyEnd()
	h.restored = gap{}
	if off, err = h.malloc("calloc", total); err != nil {
		return 0, 0, 0, gap{}, err
	}
	if end, err = h.endOf("calloc", off, total); err != nil {
		return 0, 0, 0, gap{}, err
	}
	s.noteSpan(off)
	return off, end, dirty, h.restored, nil
}
