package vm

import "iter"

// A PageID names a page to a replacement policy. Whoever manages the memory
// gives the numbers out, dense from 0, so that a policy may index slices by
// them; one page of one address space keeps its number for good, since some
// policies remember pages that have left memory.
type PageID uint32

// A Policy decides which resident page leaves memory when a frame is needed.
// It only orders pages: frames, contents, dirty pages and the disk are the
// caller's. The caller reports what happens and asks:
//
//	hit    Hit(p)
//	miss   memory full?  v, ok := Victim(p); v is evicted
//	       Insert(p)
//	gone   Remove(p)
//
// A pinned page is removed while it is pinned and inserted again afterwards,
// so that no policy has to know of pins.
//
// Hit and Insert are one reference each: a policy that needs a clock counts
// them. Implementations are deterministic, seeded where they are random, and
// not safe for concurrent use. Package vm/replace holds the classic ones; a
// first policy of one's own is some 20 lines:
//
//	type fifo struct{ queue []vm.PageID }
//
//	func (f *fifo) Hit(vm.PageID, bool)        {}
//	func (f *fifo) Insert(p vm.PageID, _ bool) { f.queue = append(f.queue, p) }
//	func (f *fifo) Remove(p vm.PageID) {
//		f.queue = slices.DeleteFunc(f.queue, func(q vm.PageID) bool { return q == p })
//	}
//	func (f *fifo) Victim(vm.PageID) (v vm.PageID, ok bool) {
//		if len(f.queue) == 0 {
//			return 0, false
//		}
//		v, f.queue = f.queue[0], f.queue[1:]
//		return v, true
//	}
type Policy interface {
	// Hit reports a reference to the resident page p, a write or not.
	Hit(p PageID, write bool)

	// Insert reports that p, which is not resident, was loaded, and the
	// reference it was loaded for.
	Insert(p PageID, write bool)

	// Victim chooses a resident page to give its frame to next, which is not
	// resident, or [NoPage] if the frame is for no page. The policy takes it
	// out of its resident pages at once (and may remember that it was there);
	// a caller that fails to evict it gives it back with Insert. The policy takes
	// that for a reference: one that remembers what left (ARC, CAR, 2Q, LIRS,
	// S3-FIFO) sees a page return that it has just evicted, and adapts to it,
	// although nobody asked for the page. ok is false if no page is resident.
	Victim(next PageID) (victim PageID, ok bool)

	// Remove reports that the resident page p left memory for a reason of the
	// caller's: unmapped, its process ended, or pinned. Nothing is remembered.
	Remove(p PageID)
}

// A Trimmer is a policy that gives pages up before memory is full, as working
// sets do. After every Hit and every Insert the caller evicts what Trim
// returns, until ok is false.
type Trimmer interface {
	Policy
	// Trim returns a resident page to evict now, which is no longer the
	// policy's.
	Trim() (victim PageID, ok bool)
}

// A Launderer is a policy that has dirty pages written back while they stay
// resident. After every Victim the caller writes back what Launder returns,
// until ok is false; the pages are clean then.
type Launderer interface {
	Policy
	// Launder returns a resident dirty page to write back now.
	Launder() (p PageID, ok bool)
}

// A Lister is a policy that shows its resident pages in an order of its own,
// for pictures and step-by-step views: where the order has a meaning, the page
// that leaves first comes first.
type Lister interface {
	// Pages yields every resident page once. The policy must not change
	// meanwhile.
	Pages() iter.Seq[PageID]
}
