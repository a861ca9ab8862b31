package segregated

import (
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
)

// Stats returns the figures of this moment. Live counts blocks at their usable
// size, and so does Requested, since the heap does not keep the sizes asked
// for; in the modes Checked and Guarded it does, and Requested is exact. Retained counts the bytes of free blocks, and of what lies past the
// top, that have not been given back; LargestFree is the largest of them, a free
// slot counting for nothing. It walks the heap: O(spans + runs), and
// O(pages) for Resident. After Close everything but the counters is 0.
func (h *Heap) Stats() (s alloc.Stats) {
	var damage error // what is wrong is for Check to say
	defer h.catch("stats", nil, &damage)
	s = alloc.Stats{
		Mallocs: h.mallocs, Frees: h.frees, Searched: h.searched, Failed: h.failed,
		LiveBlocks: int(h.mallocs - h.frees),
	}
	if h.chk != nil {
		s.Mallocs, s.Frees, s.LiveBlocks = h.chk.mallocs, h.chk.frees, int(h.chk.mallocs-h.chk.frees)
	}
	if h.closed {
		return s
	}
	s.Reserved = h.region.Size()
	s.Committed = h.region.Stats().Committed
	s.Resident = -1
	if r, err := h.region.Resident(); err == nil {
		s.Resident = r
	}
	for p := range h.pieces() {
		if p.bad != "" {
			break
		}
		switch {
		case p.class != 0:
			h.addRun(&s, p)
		case p.stocked:
			s.FreeBlocks++
			s.LiveBlocks--
			s.Frees++
		case p.used:
			s.Live += int(p.n << granuleShift)
		default:
			s.FreeBlocks++
		}
	}
	s.Requested = s.Live
	s.Metadata = h.metadataBytes()
	if h.chk != nil {
		h.chk.stats(&s)
	}
	s.Retained = max(0, s.Committed-s.Metadata-s.Live-s.Quarantined)
	slack := (h.safe.commit - h.top) << granuleShift
	s.LargestFree = min(int(max(h.largestSpan(), slack)), s.Retained)
	return s
}

// addRun counts the slots of a run.
func (h *Heap) addRun(s *alloc.Stats, p piece) {
	if h.isTiny(p.class) {
		used := h.numTiny(p)
		s.Live += used * tinySize
		s.FreeBlocks += tinySlots - used
		return
	}
	c := &h.classes[p.class]
	used := bits.OnesCount64(h.liveSlots(p.g>>granuleBits, p.class) & c.valid)
	s.Live += used * int(c.size)
	s.FreeBlocks += c.numSlots() - used
}

// metadataBytes returns the committed bytes of the header and the tables.
func (h *Heap) metadataBytes() int {
	from := h.tables().starts(h.first>>granuleBits, h.pageSize)
	n := h.pageSize + h.safe.kindsEnd - from.kinds + h.safe.unitsEnd - from.units
	if h.shared != nil {
		n += h.shared.wordsEnd - from.words
	}
	return int(n)
}

// largestFree returns the size in bytes of the largest block that could be had:
// of the largest free span, or of what the top can still grow by.
func (h *Heap) largestFree() int {
	if h.hdr == nil || h.refused() { // no header yet: New found no room for it
		return 0
	}
	room := (h.endGranule() - h.top) << granuleShift
	if h.limit != 0 {
		room = min(room, (h.safe.commit-h.top)<<granuleShift+h.limit-min(h.limit, h.committed))
	}
	return int(max(room, h.largestSpan()))
}

// largestSpan returns the size in bytes of the largest free span, given back or
// not, joined with its neighbours or not. O(spans in the highest bin that has any, and what the
// heap keeps for speed).
func (h *Heap) largestSpan() uint64 {
	largest := max(h.quick.largest(), h.largestListed(), h.largestNoted(), h.largestIdle(), h.reserve.size()) << granuleShift
	for bin := numBins - 1; bin > 0; bin-- {
		if h.hdr.bins[bin] == 0 {
			continue
		}
		for g, i := h.hdr.bins[bin], 0; g != 0 && i < h.freeSpans && h.isFree(g); i++ {
			largest = max(largest, h.spanSize(g)<<granuleShift)
			g = h.links(g, bin).next
		}
		break
	}
	return largest
}
