package arena

import (
	"math/bits"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/internal/invariants"
)

// A Region is one range of address space that never moves. Its bytes may be
// touched where they are committed: [Region.Commit] makes pages usable,
// [Region.Decommit] gives them back.
//
// A Region is safe for concurrent use, except that nothing may touch its bytes
// or run beside [Region.Close] and [Region.Shrink]. Its laws, with page meaning
// the system's page:
//
//	committed ≤ reserved, and committed ≤ limit where there is one
//	committed == page size × pages that a Commit covered since their last Decommit
//	a page reads as zero after the Commit that follows its Decommit
type Region struct {
	mem     atomic.Pointer[[]byte] // nil once closed
	size    int
	cut     int // bytes that Shrink has given back
	backing Backing
	limit   int   // bytes that may be committed at once; 0: all
	page    int64 // bytes in a page, a power of two

	mu        sync.Mutex
	back      backend
	committed pageSet
	stats     *Stats // apart from r, so that a leak report does not keep r alive
	cleanup   runtime.Cleanup
}

// A backend is what a backing does with whole pages [lo, hi) of its region. It
// is called with the region locked.
type backend interface {
	// commit makes the pages usable. Those that are committed already keep
	// their contents, the others read as zero.
	commit(lo, hi int64) error
	// decommit gives the pages back; not all of them need be committed.
	decommit(lo, hi int64) error
	// populate brings committed pages into memory where that saves time.
	populate(lo, hi int64) error
	protect(lo, hi int64, p Prot) error
	// unprotect makes those of the pages that are committed readable and writable.
	unprotect(lo, hi int64) error
	// move moves the n pages at src to dst, which is usable and does not
	// overlap them, and decommits them. It returns how many it has moved; the
	// region copies the rest.
	move(dst, src, n int64) int64
	sync(lo, hi int64) error
	resident(lo, hi int64) (int, error)
	// shrink gives all pages from the given one on back, with their addresses.
	shrink(from int64) error
	mappings() int
	// close reports whether the memory is gone, which it may be beside an error.
	close() (gone bool, err error)
}

// Bytes returns the whole region, nil after Close. Only committed parts may be
// touched; touching others can end the process. The slice is good until Close.
func (r *Region) Bytes() []byte {
	if mem := r.mem.Load(); mem != nil {
		return *mem
	}
	return nil
}

// Size returns the reserved size in bytes, less what Shrink gave back, also after Close.
func (r *Region) Size() int { return r.size }

// Backing returns where the memory comes from: what was asked for, or GoHeap
// on a system without mappings. FromBytes regions count as GoHeap.
func (r *Region) Backing() Backing { return r.backing }

// PageSize returns the size of a page in bytes, a power of two. Commit and
// Decommit work in pages of this size.
func (r *Region) PageSize() int { return int(r.page) }

// Owns reports whether b starts inside the region. Nothing is dereferenced; a
// b that was left over from a closed region is not owned. An empty b at the
// very end counts as inside.
func (r *Region) Owns(b []byte) bool {
	_, ok := r.OffsetOf(b)
	return ok
}

// OffsetOf returns the offset of b's first byte and whether it lies inside the
// region, as [Region.Owns] says.
func (r *Region) OffsetOf(b []byte) (Offset, bool) { return offsetIn(r.Bytes(), b) }

// Commit makes every page that [off, off+size) touches readable and writable.
// Pages that were not committed read as zero, except that a reopened File
// shows what it holds; the others are left alone.
//
// The error is [ErrLimit] when Options.Limit would be passed, [ErrRange],
// [ErrClosed], or the system's (ENOMEM, or ENOSPC for a File); then the count
// of committed bytes is as before. On Linux an Mmap region makes no system
// call here. O(pages/4096 + runs of pages that change).
func (r *Region) Commit(off Offset, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("commit", off, size); err != nil || size == 0 {
		return err
	}
	lo, hi := r.pagesAround(off, size)
	if r.limit > 0 && !r.room(hi-lo-r.committed.countIn(lo, hi)) {
		return r.fail("commit", off, size, ErrLimit)
	}
	if err := r.back.commit(lo, hi); err != nil {
		return r.fail("commit", off, size, err)
	}
	if r.committed.add(lo, hi) != 0 {
		r.account()
		r.stats.Commits++
	}
	return nil
}

// Populate brings the committed pages that [off, off+size) touches into memory, those
// that are not there yet, as if each had been written to; their contents stay. Where
// the system can do so (Linux since 5.14, for Mmap and Sparse) that is one call for all,
// and takes a quarter less time than to supply each when it is touched; pages that may
// not be written to are left out. Elsewhere nothing happens, nor does any more once the
// system has refused: a page comes when it is touched.
//
// The error is [ErrRange] or [ErrClosed]. O(pages).
func (r *Region) Populate(off Offset, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("populate", off, size); err != nil || size == 0 {
		return err
	}
	lo, hi := r.pagesAround(off, size)
	_ = r.committed.runs(lo, hi, true, r.back.populate) // it is only for speed
	return nil
}

// Decommit gives the memory of [off, off+size) back to the system. The bytes
// may be touched again only after Commit and are then zero. Pages that the
// range covers in part stay committed, with the bytes in the range cleared;
// for that they become writable if [Region.Protect] had made them otherwise.
// Bytes that are not committed are left alone.
//
// The error is [ErrRange], [ErrClosed] or the system's; then nothing has
// changed. O(size) for GoHeap, else one system call.
func (r *Region) Decommit(off Offset, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("decommit", off, size); err != nil || size == 0 {
		return err
	}
	lo, hi := r.pagesInside(off, size)
	start, end := int64(off), int64(off)+int64(size)
	for _, part := range [2][2]int64{{start, min(end, lo*r.page)}, {max(start, hi*r.page), end}} {
		if err := r.openPart(part[0], part[1]); err != nil {
			return r.fail("decommit", off, size, err)
		}
	}
	if r.committed.nextIn(lo, hi) < hi {
		if err := r.back.decommit(lo, hi); err != nil {
			return r.fail("decommit", off, size, err)
		}
		r.committed.remove(lo, hi)
		r.account()
		r.stats.Decommits++
	}
	r.clearPart(start, min(end, lo*r.page))
	r.clearPart(max(start, hi*r.page), end)
	return nil
}

// openPart makes the page that [a, b) lies in writable, if it is committed.
func (r *Region) openPart(a, b int64) error {
	if a >= b {
		return nil
	}
	return r.back.unprotect(r.pageOf(a), r.pageOf(a)+1)
}

// clearPart clears [a, b), which lies in one page, if that page is committed.
func (r *Region) clearPart(a, b int64) {
	if a < b && r.committed.has(r.pageOf(a)) {
		clear((*r.mem.Load())[a:b])
	}
}

// Protect says what may be done with the pages of [off, off+size), which must
// begin and end on page boundaries ([ErrAlign]). Committed bytes keep their
// contents. A Commit that follows a Decommit makes pages writable again; a
// Commit alone leaves the protection of committed pages as it is. [Region.Move],
// and a Decommit of a part of a page, make writable what they touch.
//
// GoHeap and FromBytes regions return [ErrUnsupported]. Each change of
// protection inside a region may cost two of the mappings that the system
// grants a process; [Stats] counts them.
func (r *Region) Protect(off Offset, size int, p Prot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("protect", off, size); err != nil || size == 0 {
		return err
	}
	if !r.aligned(off, size) {
		return r.fail("protect", off, size, ErrAlign)
	}
	lo, hi := r.pagesAround(off, size)
	if err := r.back.protect(lo, hi, p); err != nil {
		return r.fail("protect", off, size, err)
	}
	return nil
}

// Sync writes the committed part of a File region to its device and returns
// when it is there. It does nothing for the other backings.
func (r *Region) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("sync", 0, 0); err != nil {
		return err
	}
	err := r.committed.runs(0, r.pages(), true, r.back.sync)
	if err != nil {
		return r.fail("sync", 0, r.size, err)
	}
	return nil
}

// Resident returns how many committed bytes the system says are in RAM:
// mincore on unix, QueryWorkingSetEx on Windows, else [ErrUnsupported]. For a
// private mapping these are the pages that were touched and not swapped out;
// for a File, pages in the system's page cache count whoever brought them in.
// O(committed pages).
func (r *Region) Resident() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("resident", 0, 0); err != nil {
		return 0, err
	}
	total := 0
	err := r.committed.runs(0, r.pages(), true, func(lo, hi int64) error {
		n, err := r.back.resident(lo, hi)
		total += n
		return err
	})
	if err != nil {
		return 0, r.fail("resident", 0, r.size, err)
	}
	return total, nil
}

// Shrink makes the region end after size bytes, rounded up to whole pages: what lies
// past them goes back to the system, memory and addresses, and views of it are dead, as
// after Close. It is for a reservation that turns out not to be needed as a whole. A
// guard page at the end moves along. A size that is not smaller changes nothing. What
// allocates in the region is not told: nothing of it may lie there, nor come to.
//
// The error is [ErrUnsupported] for other backings than Mmap and Sparse and where the
// system cannot divide a mapping (Windows), [ErrSize] for a size that is not positive,
// [ErrClosed], or the system's; then nothing has changed.
func (r *Region) Shrink(size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check("shrink", 0, 0); err != nil {
		return err
	}
	if size <= 0 {
		return &Error{Op: "shrink", Size: size, Limit: r.size, Err: ErrSize}
	}
	if size >= r.size {
		return nil
	}
	from := (int64(size) + r.page - 1) / r.page
	if from == r.pages() {
		return nil
	}
	if err := r.back.shrink(from); err != nil {
		return r.fail("shrink", 0, size, err)
	}
	r.committed.remove(from, r.pages())
	mem := (*r.mem.Load())[: from*r.page : from*r.page]
	r.cut += r.size - len(mem)
	r.size = len(mem)
	r.mem.Store(&mem)
	r.stats.Reserved = r.size
	r.account()
	return nil
}

// Close releases the region. Every view of it is dead afterwards: touching one
// ends the process. A region made by FromBytes leaves its bytes alone. Closing
// twice is fine and returns nil (under the invariants build tag it panics). If
// the system refuses, the error is its own, the region stays as it was and
// Close can be tried again; only when the memory of a File is released and
// closing the file fails is the region closed beside the error.
func (r *Region) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem.Load() == nil {
		return closedTwice("close region")
	}
	gone, err := r.back.close()
	if err != nil {
		err = r.fail("close", 0, r.size, err)
	}
	if !gone {
		return err
	}
	r.mem.Store(nil)
	r.cleanup.Stop()
	r.committed = pageSet{}
	r.account()
	return err
}

// closedTwice is what a second Close returns: nil, or a panic in builds that
// look for mistakes.
func closedTwice(op string) error {
	if invariants.Enabled {
		panic(&Error{Op: op, Err: ErrClosed})
	}
	return nil
}

// check returns the error of a range that is not in the region.
func (r *Region) check(op string, off Offset, size int) error {
	switch {
	case r.mem.Load() == nil:
		return &Error{Op: op, Off: off, Size: size, Err: ErrClosed}
	case size < 0:
		return &Error{Op: op, Off: off, Size: size, Err: ErrSize}
	case off > Offset(r.size) || size > r.size-int(off):
		return &Error{Op: op, Off: off, Size: size, Limit: r.size, Err: ErrRange}
	}
	return nil
}

// room reports whether the limit allows fresh more pages.
func (r *Region) room(fresh int64) bool {
	return r.limit <= 0 || fresh <= 0 || fresh <= (int64(r.limit)-int64(r.stats.Committed))/r.page
}

func (r *Region) fail(op string, off Offset, size int, err error) error {
	return &Error{Op: op, Off: off, Size: size, Have: r.stats.Committed, Limit: r.limit, Err: err}
}

// account brings the byte counts up to date with the page set.
func (r *Region) account() {
	r.stats.Committed = int(min(r.committed.count*r.page, int64(r.size)))
	r.stats.Peak = max(r.stats.Peak, r.stats.Committed)
}

// pages returns the number of pages, the last of which may be a part.
func (r *Region) pages() int64 { return r.pageOf(int64(r.size) + r.page - 1) }

// pageOf returns the page of the byte at offset off.
func (r *Region) pageOf(off int64) int64 { return off >> (bits.TrailingZeros64(uint64(r.page)) & 63) }

// pagesAround returns the pages that [off, off+size) touches.
func (r *Region) pagesAround(off Offset, size int) (lo, hi int64) {
	return r.pageOf(int64(off)), r.pageOf(int64(off) + int64(size) + r.page - 1)
}

// pagesInside returns the pages that lie in [off, off+size) as a whole. The
// end of the region ends its last page. lo ≥ hi means that there is none.
func (r *Region) pagesInside(off Offset, size int) (lo, hi int64) {
	end := int64(off) + int64(size)
	if end == int64(r.size) {
		end = r.pages() * r.page
	}
	return r.pageOf(int64(off) + r.page - 1), r.pageOf(end)
}

// aligned reports whether [off, off+size) begins and ends on page boundaries.
func (r *Region) aligned(off Offset, size int) bool {
	end := int64(off) + int64(size)
	return int64(off)%r.page == 0 && (end%r.page == 0 || end == int64(r.size))
}

// bytes returns the bytes of pages [lo, hi).
func (r *Region) bytes(lo, hi int64) []byte {
	return (*r.mem.Load())[lo*r.page : min(hi*r.page, int64(r.size))]
}

// pageSize returns the system's page size, or 4096 where it has none of use.
func pageSize() int64 {
	n := os.Getpagesize()
	if n < 4096 || n > 1<<20 || n&(n-1) != 0 {
		return 4096
	}
	return int64(n)
}
