package fit

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// An extent says which part of the region is what:
//
//	0         metaEnd      start                 end       max
//	├─────────┼────────────┼─────────────────────┼─┼───────┤
//	│ start   │ (padding)  │ blocks              │e│ not   │
//	│ bits    │            │                     │ │ yet   │
//	└─────────┴────────────┴─────────────────────┴─┴───────┘
//
// The start bits have one bit for each multiple of the alignment from start to
// max; bit 0 is the payload of a block at start. e is the epilogue. In a region
// of more than a few pages start is on a page of its own, so that both parts
// are committed as they grow.
type extent struct {
	region *arena.Region
	own    bool // the region is ours to close
	sink   alloc.Sink
	beyond int // bytes after end that are in use

	metaEnd int // bytes of start bits, if all of [start, max) were blocks
	start   int // the first block
	end     int // after the last block: the epilogue
	initial int // end of a fresh heap
	max     int // most that end may become
	peak    int // largest end of a block that was ever handed out

	page          int // bytes of a page of the region
	metaCommitted int // bytes of start bits that are committed, 0 if they share the blocks' pages
	committed     int // end of what is committed for blocks
	commitFrom    int // where the blocks' committed part begins

	owners *alloc.Owners
	disown func() // takes the heap off owners
}

// joinOwners tells those who are to know it whose the region is, until disown is called.
func (x *extent) joinOwners(o Options) {
	x.owners, x.disown = o.Owners, o.Owners.Add(o.Name, x.region.Bytes())
}

// foreign is the fault for b, which lies outside of the region.
func (x *extent) foreign(op string, b []byte) *alloc.Fault {
	return &alloc.Fault{Op: op, Addr: addr(b), Size: len(b), Owner: x.owners.Of(b), Err: alloc.ErrForeign}
}

// largeMeta is the size from which new metadata is zeroed by giving its pages
// back and taking them again.
const largeMeta = 1 << 20

// layout finds the places for start bits and blocks.
func (h *Heap) layout() error {
	size := min(uint64(len(h.mem.bytes)), maxHeap)
	if h.o.Limit > 0 {
		size = min(size, uint64(h.o.Limit))
	}
	n := int(size)
	h.metaEnd = (n/h.o.Align + 7) / 8
	from := h.metaEnd
	if n >= 64*h.page {
		h.metaEnd = roundUp(h.metaEnd, h.page)
		from, h.commitFrom = h.metaEnd, h.metaEnd
	}
	// The payload of the first block, from+header, rounds up to the alignment
	// as an address; the region itself may begin anywhere.
	payload := from + h.o.Header
	payload += int(-(h.base + uintptr(payload)) & uintptr(h.o.Align-1))
	h.start = payload - h.o.Header
	h.max = n - wordSize
	if h.max-h.start < h.minBlock {
		return fmt.Errorf("fit: region of %d bytes: %w: no room for a block of %d and %d bytes of metadata",
			n, alloc.ErrSize, h.minBlock, h.start+wordSize)
	}
	h.max -= (h.max - h.start) % h.o.Align
	h.initial = h.start + min(h.max-h.start, roundUp(max(h.o.Grow, h.minBlock), h.o.Align))
	return nil
}

// fresh makes the heap one free block of the initial size.
func (h *Heap) fresh() error {
	if err := h.commit(h.initial); err != nil {
		return err
	}
	h.end = h.initial
	h.setTag(h.end, tag{used: true})
	h.addFree(h.start, h.end-h.start, true)
	return nil
}

// commitTo makes the region usable for blocks up to end, and metaSize bytes of
// metadata, which become zero when they are new.
func (x *extent) commitTo(end, metaSize int) error {
	bytes := x.region.Bytes()
	if x.commitFrom > 0 {
		meta := min(roundUp(metaSize, x.page), x.metaEnd)
		if n := meta - x.metaCommitted; n > 0 {
			at := arena.Offset(x.metaCommitted)
			// Large parts are zeroed by the system, which need not touch them.
			zero := n > largeMeta && x.region.Decommit(at, n) == nil
			if err := x.region.Commit(at, n); err != nil {
				return err
			}
			if !zero {
				clear(bytes[x.metaCommitted:meta])
			}
			x.metaCommitted = meta
		}
	}
	upTo := min(roundUp(end+x.beyond, x.page), len(bytes))
	if x.committed == 0 {
		x.committed = x.commitFrom
	}
	if upTo <= x.committed {
		return nil
	}
	if err := x.region.Commit(arena.Offset(x.committed), upTo-x.committed); err != nil {
		return err
	}
	if x.committed == 0 {
		clear(bytes[:x.metaEnd])
	}
	x.tell(alloc.EventCommit, x.committed, upTo-x.committed)
	x.committed = upTo
	return nil
}

// decommitFrom gives back the pages beyond end, and those of the metadata beyond
// metaSize, which is zero there. It reports whether the system took the first;
// if not nothing has changed.
func (x *extent) decommitFrom(end, metaSize int) bool {
	if from := roundUp(end+x.beyond, x.page); from < x.committed {
		if err := x.region.Decommit(arena.Offset(from), x.committed-from); err != nil {
			return false
		}
		x.tell(alloc.EventDecommit, from, x.committed-from)
		x.committed = from
	}
	if from := roundUp(metaSize, x.page); from < x.metaCommitted {
		if err := x.region.Decommit(arena.Offset(from), x.metaCommitted-from); err == nil {
			x.metaCommitted = from
		}
	}
	return true
}

func (x *extent) tell(kind alloc.EventKind, off, size int) {
	if x.sink != nil {
		x.sink(alloc.Event{Kind: kind, Off: arena.Offset(off), Size: size})
	}
}

// closeRegion closes the region if it is the heap's own. If the system refuses
// it can be tried again.
func (x *extent) closeRegion() error {
	if !x.own {
		return nil
	}
	if err := x.region.Close(); err != nil {
		return err
	}
	x.own = false
	return nil
}

// closeAgain is what the second Close does: nothing, loudly in builds that check
// invariants, unless the region is still to be closed.
func (x *extent) closeAgain() error {
	if invariants.Enabled && !x.own {
		panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
	}
	return x.closeRegion()
}

// committedBytes is what Stats calls committed.
func (x *extent) committedBytes() int { return x.metaCommitted + x.committed - x.commitFrom }

// Region returns the region that the heap lives in.
func (x *extent) Region() *arena.Region { return x.region }

// commit makes the region usable for blocks up to end, with an epilogue and the
// start bits.
func (h *Heap) commit(end int) error {
	return h.commitTo(end, h.bitsFor(end))
}

// bitsFor returns the bytes of start bits for blocks up to end.
func (h *Heap) bitsFor(end int) int { return (end-h.start)/h.o.Align/8 + 1 }

// grow adds a free block at the end, so that the last block is free and has at
// least need bytes, and returns it.
func (h *Heap) grow(op string, need, requested int) (off int, err error) {
	last, lastFree := h.lastFree()
	if lastFree >= need {
		return last, nil // TLSF does not look at every block that fits
	}
	missing := need - lastFree
	if last == 0 {
		missing = max(missing, h.minBlock)
	}
	if missing > h.max-h.end {
		return 0, h.noMemory(op, requested, nil)
	}
	by := min(roundUp(max(missing, min(h.o.Grow, h.max-h.end)), h.o.Align), h.max-h.end)
	err = h.commit(h.end + by)
	if err != nil && by > missing {
		by = missing // the rest would have been nice to have
		err = h.commit(h.end + by)
	}
	if err != nil {
		return 0, h.noMemory(op, requested, err)
	}
	epilogue := h.tagAt(h.end)
	off, size := h.end, by
	if last != 0 {
		h.dropFree(last, lastFree)
		off, size = last, lastFree+by
		epilogue = h.tagAt(last)
	}
	h.end += by
	h.setTag(h.end, tag{used: true})
	h.addFree(off, size, epilogue.prevUsed)
	return off, nil
}

// lastFree returns the last block and its size if it is free and may be joined
// with what comes after it, else 0, 0.
func (h *Heap) lastFree() (off, size int) {
	if h.tagAt(h.end).prevUsed || h.o.Coalesce == Never {
		return 0, 0
	}
	off = h.before(h.end)
	return off, h.end - off
}

// trim gives the end of the heap back to the region: all beyond the initial
// size when nothing is live, and otherwise all but Grow bytes of a last free
// block once it has more than sixteen times that.
func (h *Heap) trim() {
	if h.liveBlocks == 0 && h.o.Coalesce == Deferred {
		h.coalesceAll()
	}
	if h.tagAt(h.end).prevUsed || h.end == h.initial {
		return
	}
	last := h.before(h.end)
	size := h.end - last
	keep := last + roundUp(max(h.o.Grow, h.minBlock), h.o.Align)
	switch {
	case h.liveBlocks == 0 && last == h.start:
		keep = h.initial
	case size <= 16*h.o.Grow:
		return
	}
	keep = max(keep, h.initial)
	if keep >= h.end || keep-last < h.minBlock {
		return
	}
	if !h.decommitFrom(keep, h.bitsFor(keep)) {
		return // the memory stays ours
	}
	prevUsed := h.tagAt(last).prevUsed
	h.dropFree(last, size)
	h.end = keep
	h.setTag(h.end, tag{used: true})
	h.addFree(last, h.end-last, prevUsed)
}

// roundUp returns n rounded up to a multiple of align, a power of two. n must
// be small enough not to overflow.
func roundUp(n, align int) int { return (n + align - 1) &^ (align - 1) }
