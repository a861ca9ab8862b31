package segregated

import (
	"fmt"
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A Heap is a general-purpose allocator in one region. It is not safe for
// concurrent use. The package comment describes how it works; every method of
// [alloc.Allocator] is O(1) but for the bounded searches and lists named there,
// and for bytes that are copied or cleared.
type Heap struct {
	// The order of the fields puts classes and quick lists on cache lines.

	view
	smallState

	region     *arena.Region
	own        bool // Close releases the region
	closed     bool
	zeroOnFree bool
	durable    bool // the region is a file: Close leaves a heap that Open opens again
	kept       bool // the system has kept pages that were abandoned
	reserveCut bool // a run was cut from the reserve since ageReserve was called last
	mode       Mode
	pageShift  uint8        // granule number >> pageShift is its page
	walking    int          // loops over Blocks that are running
	err        *alloc.Fault // sticky: the corruption that was found, nil if none
	sysErr     error        // why the last commit failed, nil if the limit did

	pageSize     uint64
	pageGranules uint64
	end          uint64 // bytes of the region that data can reach
	limit        uint64 // bytes that may be committed, 0: no limit
	committed    uint64 // bytes that are
	sink         alloc.Sink
	chk          *checked // the layer of the modes Checked and Guarded, else nil
	trace        *tracer  // of call stacks, nil without Options.ProfileRate

	topPeak     uint64      // highest top since the last sweep
	first       uint64      // hdr.first again, out of reach of stray writes
	top         uint64      // hdr.top again
	safe        safeFigures // the others of the header again
	freeSpans   int
	freeSum     uint64 // granules in them
	demand      [maxClasses]demand
	lastPartial [maxClasses]uint32 // last run of the class's partial list, if it has any
	dissolving  dissolveState
	spanStats
	heldTo   uint64 // operations until which huge free spans are held, 0 if there are none
	peak     uint64 // most bytes that were committed since Trim, but for what economize gave back at once
	quick    quickLists
	deferred deferredFrees
	idle     idleRuns
	reserve  gap // of what runs are cut, see reserve.go
	tiny     tinyRuns
	shared   *Shared // that has runs in the heap, nil if nobody else has

	// What is seldom asked for.
	seed       uint64
	restored   gap        // what the last span that was taken had committed again
	compacting *compactor // scratch of Compact, nil before the first
	maxAlign   int        // largest alignment that was ever asked for
	owners     *alloc.Owners
	disown     func() // takes the heap off owners
	credited   uint64 // granule up to which the data brought credit
}

// spanStats are counters kept outside the runs.
type spanStats struct {
	searched  uint64
	failed    uint64
	sweepAt   uint64 // tick when there were so many Mallocs and Frees
	lastTick  uint64 // how many there were at the last tick
	lastSweep uint64 // and when it was last time for a sweep
	earned    uint64 // operations that have not made a page of credit
	credit    uint64 // pages that may be given back
}

// New makes a heap in r, whose contents are lost, or in a region of its own if
// r is nil: 64 GiB of address space where the system grants it, released by
// Close. A region that was passed in stays the caller's. nil options mean the
// defaults.
//
// The error is [alloc.ErrSize] for a region too small to hold the metadata and
// a page, or for options that make no sense, and the region's own error if
// memory cannot be had.
func New(r *arena.Region, o *Options) (*Heap, error) {
	opts, err := o.complete()
	if err != nil {
		return nil, err
	}
	return newHeap(r, opts, nil)
}

// newHeap is New for complete options; the heap is to be the one that s has its runs in, if
// that is not nil.
func newHeap(r *arena.Region, opts Options, s *Shared) (h *Heap, err error) {
	h = &Heap{region: r, own: r == nil, shared: s}
	if h.own {
		if h.region, err = arena.Reserve(0, nil); err != nil {
			return nil, fmt.Errorf("segregated: %w", err)
		}
	}
	if err := h.format(opts); err != nil {
		if h.own {
			h.region.Close()
		}
		return nil, err
	}
	h.joinOwners(opts)
	return h, nil
}

// joinOwners tells those who are to know it whose the region is, until detach.
func (h *Heap) joinOwners(o Options) {
	h.owners, h.disown = o.Owners, o.Owners.Add(o.Name, h.region.Bytes())
}

// baseGranule is the address of the region in granules, for alignments of more than a page.
func (h *Heap) baseGranule() uint64 { return uint64(addrOf(h.mem)) >> granuleShift }

// setPageGranules derives the page size in granules.
func (h *Heap) setPageGranules() {
	h.pageGranules = h.pageSize >> granuleShift
	h.pageShift = uint8(bits.TrailingZeros64(h.pageGranules)) & 63
}

// inReach returns the part of a region that a heap can use.
func inReach(mem []byte) []byte {
	if uint64(len(mem)) > maxGranules<<granuleShift {
		n := uint64(maxGranules << granuleShift)
		return mem[:n:n]
	}
	return mem
}

// format writes an empty heap into the region.
func (h *Heap) format(o Options) error {
	mem := inReach(h.region.Bytes())
	h.pageSize = uint64(h.region.PageSize())
	h.setPageGranules()
	n := len(mem) / unitSize
	t := tablesOf(n, h.pageSize, h.wordRow())
	data := t.data
	if data+h.pageSize > uint64(n-1)*unitSize || n < 2 {
		return fmt.Errorf("segregated: region of %d bytes: %w: at least %d are needed", len(mem), alloc.ErrSize, data+2*h.pageSize)
	}
	if addrOf(mem)%granule != 0 {
		return fmt.Errorf("segregated: region at %#x: %w: want a multiple of %d", addrOf(mem), alloc.ErrAlign, granule)
	}
	h.limit, h.zeroOnFree, h.sink = uint64(o.Limit), o.ZeroOnFree, o.Sink
	h.durable = h.region.Backing() == arena.File
	if err := h.region.Decommit(0, len(mem)); err != nil {
		return fmt.Errorf("segregated: %w", err)
	}
	if !h.commitBytes(0, headerSize) {
		return h.noMemory("new", headerSize)
	}
	h.view = newView(mem, t)
	first := data >> granuleShift
	from := t.starts(first>>granuleBits, h.pageSize)
	if h.shared != nil {
		h.shared.wordsEnd = from.words
	}
	*h.hdr = header{
		magic: magic, version: version, size: uint64(len(mem)),
		first: first, end: uint64(n-1) << granuleBits, top: first, dirty: first, highest: first, commit: first,
		kindsEnd: from.kinds, unitsEnd: from.units,
	}
	h.trustHeader()
	if !h.growMeta(first>>granuleBits + rowsPastTop) {
		return h.noMemory("new", int(h.pageSize))
	}
	h.sweepAt = sweepEvery
	h.initSmall(o)
	h.setMode(o)
	h.describe(o)
	h.setTop(first)
	h.credited, h.peak = first, h.committed
	h.arm()
	return nil
}
