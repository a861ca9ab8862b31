package segregated

import (
	"fmt"
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
)

// A process that ends without Close may have been anywhere. What it leaves is
// rebuilt from what the operations change by single words, in an order that
// makes each state on the way a readable one:
//
//   - a slot is live if its bit is set in the live word of a run, and a run is
//     what has all its kinds; one that lacks some is none;
//   - a span begins at each mark of a row whose kind is that of marks, and ends
//     where the next one, or a run, begins; it is used if its mark says so.
//     Where a large used span knows a lesser size, it has that. Rows of other
//     kinds say nothing else;
//   - granules that belong to nothing are free.
//
// Everything else (lists, bins, counters, what was given back) is made anew. At
// most the block of the call that was under way is lost: it may be live without
// anybody knowing it, and [Heap.Blocks] lists it.
//
// A process may be killed while it rebuilds, too. So each row changes from what it was to
// what says of runs and used spans the same, and is a readable one on the way.

// stretch is a used span or a run as rebuild found it.
type stretch struct {
	g, n  uint64 // granules
	class uint64 // 0: a span
	gone  gap    // pages that are given back of the free granules before it
}

// rebuild makes a sound heap of one that was not closed.
func (h *Heap) rebuild() error {
	d := h.hdr
	found, loose := h.survey()
	past := h.vacate(found)
	if !h.commitFound(found, past) {
		return h.noMemory("open", int(past<<granuleShift))
	}
	h.unlinkLoose(found, loose, past)
	h.rewrite(found)
	h.clearPastTop() // there may be what a block was about to grow into
	d.wordSet = 0
	d.bins, d.binSet, d.partial, d.runs = [numBins]uint64{}, [binWords]uint64{}, [maxClasses]uint32{}, [maxClasses]uint32{}
	d.dirty = min(max(d.dirty, d.top), d.commit)
	d.highest = max(d.highest, d.dirty)
	h.trustHeader()
	h.topPeak = d.dirty
	end := d.first
	for _, s := range found {
		switch rest := s.g - end; {
		case !isPiece(rest):
			h.fail("%d granules at %#x are no span", rest, end<<granuleShift)
		case rest != 0 && h.putFree(end, rest) && s.gone.size() != 0:
			h.info(end).gone = pagesOf(s.gone)
		}
		h.adopt(s)
		end = s.g + s.n
	}
	h.setTop(end)
	h.setCommit(past)
	h.setDirty(min(d.dirty, past))
	h.topPeak = d.dirty
	if h.err != nil {
		return fmt.Errorf("%w: %w", alloc.ErrCorrupt, h.err)
	}
	return nil
}

// rewrite leaves of the rows and kinds those of what was found, and the marks of what is free
// between and behind that.
func (h *Heap) rewrite(found []stretch) {
	d := h.hdr
	first, end := d.first>>granuleBits, d.first
	rows := make([]uint64, d.top>>granuleBits+1-first)
	kinds := make([]uint16, len(rows))
	for _, s := range found {
		if rest := s.g - end; rest != 0 && isPiece(rest) {
			rows[end>>granuleBits-first] |= mark(asFree, end)
		}
		u := s.g>>granuleBits - first
		if s.class != 0 {
			copy(kinds[u:], h.kinds[first+u:][:s.n>>granuleBits])
		} else if rows[u] |= mark(asUsed, s.g); s.n >= tagMin {
			kinds[u+1], rows[u+1] = kindLarge, tagOf(s.g, s.n)
		}
		end = s.g + s.n
	}
	rows[end>>granuleBits-first] |= mark(asFree, end)
	for i, k := range kinds {
		if k < kindRun {
			h.rewriteRow(first+uint64(i), rows[i], k)
		}
	}
}

// rewriteRow makes the row of unit u, which is no run's, that row of kind k. What it is on the
// way says nothing.
func (h *Heap) rewriteRow(u, row uint64, k uint16) {
	if h.kinds[u] != k {
		h.clearRow(u)
		h.kinds[u] = k
	}
	h.units[u] = row
}

// survey returns the runs and used spans by address, as far as they are
// believed. Where free spans were to begin is what else it returns.
func (h *Heap) survey() (found []stretch, loose []uint64) {
	d := h.hdr
	last := d.top >> granuleBits // the unit of the top
	exact := h.exactSizes()
	open := false // the last of found may go on
	finish := func(g uint64) {
		if open {
			s := &found[len(found)-1]
			s.n = g - s.g
			if n, ok := exact[s.g]; ok && n+minSpan <= s.n {
				s.n = n
			}
		}
		open = false
	}
	for u := d.first >> granuleBits; u <= last; u++ {
		k := h.kinds[u]
		if k >= kindRun {
			finish(u << granuleBits) // no span has gone on where a run is, was or was about to be
			if n := h.wholeRun(u, last); n > 0 {
				found = append(found, stretch{g: u << granuleBits, n: n << granuleBits, class: uint64(k >> 8)})
				u += n - 1
				continue
			}
		}
		if k != kindMarks {
			continue
		}
		row := h.units[u]
		for w := row; w != 0; w = withoutFirst(w) {
			g := u<<granuleBits + firstStart(w)
			if g >= d.top {
				break
			}
			finish(g)
			if isMarked(row, asUsed, g) {
				found = append(found, stretch{g: g})
				open = true
			} else {
				loose = append(loose, g)
			}
		}
	}
	finish(d.top)
	return found, loose
}

// vacate gives back the whole pages of what is free between and behind the stretches:
// which of them had been given back before is not known any more, and to have all at
// once could be more than the limits allow. It returns the granule up to which there
// are pages to be had.
func (h *Heap) vacate(found []stretch) (past uint64) {
	end := h.hdr.first
	for i := range found {
		s := &found[i]
		g := gap{roundUp(end, h.pageGranules), s.g &^ (h.pageGranules - 1)}
		if s.g-end >= infoMin && g.lo < g.hi && h.leavePages(g) {
			s.gone = g
		}
		end = s.g + s.n
	}
	past = min(roundUp(end, h.pageGranules), h.hdr.commit)
	if past < h.hdr.commit && !h.leavePages(gap{past, h.hdr.commit}) {
		past = h.hdr.commit
	}
	return past
}

// leavePages is decommit for pages that h has not counted.
func (h *Heap) leavePages(g gap) bool {
	before := h.committed
	ok := h.decommit(g)
	h.committed = before
	return ok
}

// commitFound makes the data up to past usable but for what vacate gave back.
func (h *Heap) commitFound(found []stretch, past uint64) bool {
	at := h.hdr.first
	for _, s := range found {
		if s.gone.size() == 0 {
			continue
		}
		if !h.commit(gap{at, s.gone.lo}) {
			return false
		}
		at = s.gone.hi
	}
	return h.commit(gap{at, past})
}

// unlinkLoose tells of the free spans of old that are about to be joined with their
// neighbours, but for those whose pages are gone.
func (h *Heap) unlinkLoose(found []stretch, loose []uint64, past uint64) {
	i := 0
	for _, g := range loose {
		for i < len(found) && found[i].g < g {
			i++
		}
		gone := gap{past, h.hdr.commit}
		if i < len(found) {
			gone = found[i].gone
		}
		if g < gone.lo || g >= gone.hi {
			h.unlinked(g, 0)
		}
	}
}

// exactSizes returns the sizes that large spans know themselves, by start.
func (h *Heap) exactSizes() map[uint64]uint64 {
	sizes := map[uint64]uint64{}
	d := h.hdr
	for u := d.first >> granuleBits; u < d.top>>granuleBits; u++ {
		if n := h.units[u] >> granuleBits; h.kinds[u] == kindLarge && n >= tagMin {
			sizes[(u-1)<<granuleBits|h.units[u]&granuleMask] = n
		}
	}
	return sizes
}

// wholeRun returns how many units the run at unit u has, 0 if it is not whole
// or has no live slot.
func (h *Heap) wholeRun(u, last uint64) uint64 {
	ci := uint64(h.kinds[u] >> 8)
	if h.kinds[u]&0xff != 0 || ci > uint64(h.safe.classes) {
		return 0
	}
	c := &h.classes[ci]
	n := uint64(c.units)
	if n == 0 || u+n > last {
		return 0
	}
	for i := range n {
		if h.kinds[u+i] != uint16(ci<<8|i) {
			return 0
		}
	}
	if h.units[u]&c.valid == 0 {
		return 0
	}
	return n
}

// adopt writes the rows of a run or used span that survey found.
func (h *Heap) adopt(s stretch) {
	if s.class == 0 {
		h.markUsed(s.g, s.n)
		h.countSpan(s.n)
		return
	}
	u, c := s.g>>granuleBits, &h.classes[s.class]
	live := h.units[u] | c.empty()
	clear(h.units[u+1:][:s.n>>granuleBits-1])
	h.units[u] = live
	h.hdr.runs[s.class]++
	h.mallocs += uint64(bits.OnesCount64(live & c.valid))
	if live != ^uint64(0) {
		h.linkRun(uintptr(s.class), uintptr(u))
	}
}
