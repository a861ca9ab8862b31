package arena

// Move moves size bytes from src to dst, both multiples of the page size as
// size is too ([ErrAlign]), and commits dst. The source must be committed as a
// whole ([ErrUncommitted]); afterwards the part of it that dst does not overlap
// is decommitted, and all of dst readable and writable, whatever [Region.Protect]
// had said of either.
//
// Where the system can (mremap on Linux, Mmap backing, no overlap) the pages
// change their address and nothing is copied; else the bytes are, and for that
// moment both copies are in memory. A move costs up to two of the mappings that
// the system grants a process, so a region copies once it has spent its share;
// Stats tells how many bytes went which way. A system call costs as much as
// copying some tens of KiB: small blocks are better copied by the caller.
//
// The error is [ErrLimit] when the bytes committed in the end would pass the
// limit, or as for Commit; then nothing has moved. O(1) system calls, or
// O(size).
func (r *Region) Move(dst, src Offset, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("move", src, size); err != nil {
		return err
	}
	if err := r.check("move", dst, size); err != nil {
		return err
	}
	if !r.aligned(src, size) || !r.aligned(dst, size) {
		return r.fail("move", src, size, ErrAlign)
	}
	s, end := r.pagesAround(src, size)
	if r.committed.nextOut(s, end) < end {
		return r.fail("move", src, size, ErrUncommitted)
	}
	if size == 0 || dst == src {
		return nil
	}
	d, _ := r.pagesAround(dst, size)
	if err := r.move(d, s, end-s); err != nil {
		return r.fail("move", dst, size, err)
	}
	return nil
}

// move does the work of Move for n committed pages at src.
func (r *Region) move(dst, src, n int64) error {
	// What dst leaves free of the source: all of it, or one side.
	lo, hi := src, src+n
	overlap := dst < hi && lo < dst+n
	if overlap && dst < src {
		lo = dst + n
	} else if overlap {
		hi = dst
	}
	fresh := n - r.committed.countIn(dst, dst+n)
	if !r.room(fresh - (hi - lo)) {
		return ErrLimit
	}
	if err := r.back.unprotect(src, src+n); err != nil {
		return err
	}
	if err := r.back.unprotect(dst, dst+n); err != nil {
		return err
	}
	// From here on only giving the source back can fail.
	if err := r.back.commit(dst, dst+n); err != nil {
		return err
	}
	r.committed.add(dst, dst+n)
	moved := int64(0)
	if !overlap {
		moved = r.back.move(dst, src, n)
		r.committed.remove(src, src+moved)
		lo += moved
	}
	if moved < n {
		copy(r.bytes(dst+moved, dst+n), r.bytes(src+moved, src+n))
		if err := r.back.decommit(lo, hi); err != nil {
			clear(r.bytes(lo, hi)) // the memory stays committed, as counted
		} else {
			r.committed.remove(lo, hi)
		}
	}
	r.stats.Moved += uint64(moved * r.page)
	r.stats.Copied += uint64((n - moved) * r.page)
	r.account()
	return nil
}
