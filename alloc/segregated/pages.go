package segregated

import (
	"math/bits"

	"github.com/memlab-go/memlab/arena"
)

// This file talks to the region: which pages may be touched, and which have
// been given back.

// Small data grows by commitPages at once: it keeps calls rare. When aheadLeast pages are
// one part in aheadShare of it or less, it grows by the most that are, a power of two up to
// aheadPages, and they are brought into memory together, which takes a quarter less
// time than one after the other as they are touched: what a program takes bit by bit it uses. A
// block for which more than aheadMost pages are missing may be left untouched by it, and its
// pages come when they are touched.
const (
	commitPages = 4
	aheadShare  = 64
	aheadLeast  = 2
	aheadPages  = 8
	aheadMost   = 2
)

// rowsPastTop is how many rows can be looked at from that of the top on, so that
// every row a span below the top may have is one of them.
const rowsPastTop = infoRows + 1

// grow makes sure that the data granules below to, and the rows that describe
// them and the top, may be touched.
func (h *Heap) grow(to uint64) bool {
	if to <= h.safe.commit {
		return true
	}
	if !h.isSound() {
		return false
	}
	step, ahead := h.growStep()
	credited := h.credited
	h.tradeFor(to, min(roundUp(to, step), h.endGranule()))
	from := h.safe.commit // trade may have lowered it
	for _, step := range [...]uint64{step, h.pageGranules} {
		end := min(roundUp(to, step), h.endGranule())
		if !h.within(end) {
			h.sysErr = nil
			continue
		}
		if h.growMeta(end>>granuleBits+rowsPastTop) && h.commit(gap{from, end}) {
			if ahead && to-from <= aheadMost*h.pageGranules {
				h.populate(gap{from, end})
			}
			h.grewTo(from, end, credited)
			return true
		}
	}
	h.credit -= min(h.credit, h.growthBrings(credited, h.credited))
	h.credited = credited
	return false
}

// endGranule is what hdr.end should be, out of reach of stray writes.
func (h *Heap) endGranule() uint64 { return h.end >> granuleShift }

// growStep returns by how many granules the data grows, and whether their pages are to
// be brought into memory.
func (h *Heap) growStep() (step uint64, ahead bool) {
	pages := (h.top - h.first) / aheadShare >> h.pageShift
	if pages < aheadLeast {
		return commitPages * h.pageGranules, false
	}
	return min(uint64(1)<<bits.Len64(pages)>>1, aheadPages) * h.pageGranules, true
}

// populate brings the pages of g, which were committed just now, into memory.
func (h *Heap) populate(g gap) {
	lo, hi := g.lo<<granuleShift, min(g.hi<<granuleShift, uint64(len(h.mem)))
	_ = h.region.Populate(arena.Offset(lo), int(hi-lo)) // it is only for speed
}

// within reports whether the limit allows the data to be committed up to the
// granule end, together with the rows for it.
func (h *Heap) within(end uint64) bool {
	if h.limit == 0 {
		return true
	}
	to := h.tableEnds(end>>granuleBits + rowsPastTop)
	need := (end - h.safe.commit) << granuleShift
	need += max(to.kinds, h.safe.kindsEnd) - h.safe.kindsEnd
	need += max(to.units, h.safe.unitsEnd) - h.safe.unitsEnd
	if s := h.shared; s != nil {
		need += max(to.words, s.wordsEnd) - s.wordsEnd
	}
	return need <= h.limit-min(h.limit, h.committed)
}

// growMeta commits the kinds, rows and words of the units below n.
func (h *Heap) growMeta(n uint64) bool {
	to, s := h.tableEnds(n), &h.safe
	ok := h.growTable(&s.kindsEnd, to.kinds) && h.growTable(&s.unitsEnd, to.units) &&
		(h.shared == nil || h.growTable(&h.shared.wordsEnd, to.words))
	h.hdr.kindsEnd, h.hdr.unitsEnd = s.kindsEnd, s.unitsEnd
	return ok
}

// tableEnds returns up to where the tables are to be committed for the units
// below n. Where Free may go back past the first row or word, see tables.starts, it is the
// kinds, or the rows, that lie there: then all of them.
func (h *Heap) tableEnds(n uint64) (to tables) {
	t := h.tables()
	n = min(n, uint64(len(h.units)))
	to.kinds = roundUp(t.kinds+n*kindSize, h.pageSize)
	to.units = roundUp(t.units+n*unitRow, h.pageSize)
	to.words = roundUp(t.words+n*sharedRow, h.pageSize)
	if h.first>>granuleBits < runIndex {
		to.kinds = t.units
		if h.shared != nil {
			to.units = t.words
		}
	}
	return to
}

// growTable commits a table of the metadata from its committed end on up to the byte
// offset to, where a page ends.
func (h *Heap) growTable(end *uint64, to uint64) bool {
	if to <= *end {
		return true
	}
	if !h.commitBytes(*end, to) {
		return false
	}
	*end = to
	return true
}

// commit makes the data granules of g usable.
func (h *Heap) commit(g gap) bool { return h.commitBytes(g.lo<<granuleShift, g.hi<<granuleShift) }

// recommit is commit for pages that were given back and are about to be touched, which costs
// credit again. In a heap that comes back to what it was (rounds.go) they are brought into
// memory together, if they are for a block of less than soonPages: those that this leaves untouched
// would come one by one in the next rounds, as blocks lie otherwise then. If that brings
// memory above its peak, lookAround sees to it when the span has been taken.
func (h *Heap) recommit(g gap) bool {
	if !h.commit(g) {
		return false
	}
	h.credit -= min(h.credit, g.size()/h.pageGranules)
	if g.size() < h.soonGranules() && (h.rounds.emptied || h.inRounds()) {
		h.populate(g)
	}
	if h.committed > h.peak {
		h.sweepAt = min(h.sweepAt, h.mallocs+h.frees) // for Malloc to look around
	}
	return true
}

// commitBytes makes the pages that [lo, hi) touches usable, within the limit.
func (h *Heap) commitBytes(lo, hi uint64) bool {
	lo, hi = lo&^(h.pageSize-1), roundUp(hi, h.pageSize)
	if lo >= hi {
		return true
	}
	if h.limit != 0 && hi-lo > h.limit-min(h.limit, h.committed) {
		h.sysErr = nil
		return false
	}
	before := h.countKept()
	if err := h.region.Commit(arena.Offset(lo), int(hi-lo)); err != nil {
		h.sysErr = err
		return false
	}
	if h.kept {
		h.committed += h.countKept() - before
	} else {
		h.committed += hi - lo
	}
	if h.sink != nil {
		h.emitPages(lo, hi, true)
	}
	return true
}

// decommit gives the data pages of g back to the system and reports whether it
// took them. g ends with a page, or where the data does: nobody else uses the
// rest of that page.
func (h *Heap) decommit(g gap) bool {
	if g.lo >= g.hi {
		return true
	}
	lo, hi := g.lo<<granuleShift, min(roundUp(g.hi<<granuleShift, h.pageSize), uint64(len(h.mem)))
	n, before := hi-lo, h.countKept()
	if err := h.region.Decommit(arena.Offset(lo), int(hi-lo)); err != nil {
		return false
	}
	if h.kept {
		n = before - h.countKept()
	}
	h.committed -= min(h.committed, n)
	if h.sink != nil {
		h.emitPages(lo, hi, false)
	}
	return true
}

// abandon is decommit for pages that are taken for given back from now on even if the
// system refuses. Those that it keeps go on counting as committed, and are cleared, as
// whoever commits them again takes them for zero.
func (h *Heap) abandon(g gap) {
	if h.decommit(g) {
		return
	}
	h.kept = true
	if hi := min(g.hi, h.safe.dirty); g.lo < hi {
		h.clear(g.lo<<granuleShift, hi<<granuleShift)
	}
}

// countKept returns the committed bytes of the region once the system has kept pages
// that were abandoned: then it alone knows which of a range are committed.
func (h *Heap) countKept() uint64 {
	if !h.kept {
		return 0
	}
	return uint64(h.region.Stats().Committed)
}
