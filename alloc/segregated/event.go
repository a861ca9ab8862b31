package segregated

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// What a heap with a sink reports. Without one, each of these places costs a
// branch on a path that is slow anyhow; with one, every call takes that path.

// emitBlock reports what was done with the block at off, after the accesses to
// its row that this took: the kind of its unit is read, the row written.
func (h *Heap) emitBlock(k alloc.EventKind, off uint64, size int) {
	h.emitRow(off)
	h.sink(alloc.Event{Kind: k, Off: arena.Offset(off), Size: size, Usable: h.usable(off)})
}

// emitRow reports the accesses to the row of the block at off.
func (h *Heap) emitRow(off uint64) {
	u := off >> unitShift
	t := h.tables()
	h.access(alloc.EventRead, t.kinds+u*kindSize, kindSize)
	if kind := uint64(h.kinds[u]); kind >= kindRun {
		u -= kind & runIndex
	}
	h.access(alloc.EventWrite, t.units+u*unitRow, unitRow)
}

// copy copies n bytes of blocks.
func (h *Heap) copy(to, from uint64, n int) {
	if h.sink != nil && n > 0 {
		h.access(alloc.EventRead, from, n)
		h.access(alloc.EventWrite, to, n)
	}
	copy(h.mem[to:][:n], h.mem[from:])
}

// emitRealloc reports a Realloc.
func (h *Heap) emitRealloc(from, to uint64, size int) {
	h.sink(alloc.Event{Kind: alloc.EventRealloc, Old: offset(from), Off: offset(to), Size: size, Usable: h.usable(to)})
}

// emitPages reports what was done with the pages of [lo, hi).
func (h *Heap) emitPages(lo, hi uint64, commit bool) {
	k := alloc.EventDecommit
	if commit {
		k = alloc.EventCommit
	}
	h.sink(alloc.Event{Kind: k, Off: arena.Offset(lo), Size: int(hi - lo)})
}

// binsOffset is where header.bins begins, in bytes: after 12 words and the bits.
const binsOffset = 8 * (13 + binWords)

// emitLinks reports that the links of the free span at g, in the given bin,
// were written.
func (h *Heap) emitLinks(g uint64, bin int) {
	h.access(alloc.EventWrite, h.linksAt(g, bin), 16)
}

// emitUnlink reports that what comes before and after in the bin was written:
// the links of other free spans, or where the bin begins.
func (h *Heap) emitUnlink(l links, bin int) {
	if l.prev == 0 {
		h.access(alloc.EventWrite, binsOffset+8*uint64(bin), 8)
	} else {
		h.emitLinks(l.prev, bin)
	}
	if l.next != 0 {
		h.emitLinks(l.next, bin)
	}
}

// emitLook reports that a search looked at the free span at g: its row, and the
// links that lead on.
func (h *Heap) emitLook(g uint64, bin int) {
	h.access(alloc.EventRead, h.tables().units+(g>>granuleBits)*unitRow, unitRow)
	h.access(alloc.EventRead, h.linksAt(g, bin), 16)
}

// linksAt returns the offset of the links of the free span at g.
func (h *Heap) linksAt(g uint64, bin int) uint64 {
	if bin < infoBin {
		return g << granuleShift
	}
	return h.tables().units + (g>>granuleBits+2)*unitRow
}

// emitSplit reports that n granules at g are what is kept of a free span of size.
func (h *Heap) emitSplit(g, n, size uint64) {
	h.sink(alloc.Event{Kind: alloc.EventSplit, Off: offset(g << granuleShift),
		Size: int(n << granuleShift), Usable: int(size << granuleShift)})
}

// access reports that the heap touched size bytes at off.
func (h *Heap) access(k alloc.EventKind, off uint64, size int) {
	h.sink(alloc.Event{Kind: k, Off: arena.Offset(off), Size: size})
}

// emitJoin reports the free span that covers [g, g+n) after it was freed, if it
// was joined with others; one that went to the top is no block any more.
func (h *Heap) emitJoin(g, n uint64) {
	if g >= h.top || h.err != nil {
		return
	}
	if at := h.spanAt(g); at != 0 {
		if size := h.spanSize(at); size != n {
			h.sink(alloc.Event{Kind: alloc.EventCoalesce, Off: offset(at << granuleShift), Size: int(size << granuleShift)})
		}
	}
}
