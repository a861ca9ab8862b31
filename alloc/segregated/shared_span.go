package segregated

import "sync/atomic"

// spanWord says of a span of a [Shared] who has it. It is in the table of the words of runs, at
// the unit in which the span begins; those that a stock does not keep have none, so that no unit needs
// two:
//
//	101 │ live 1 │ 4 │ size 16 │ start 40      both in granules
//
// What is live is somebody's block, what is not lies in a stock (stock.go), or is on its way
// there or from there. Only who makes a word that is not live out of one that is, by a
// compare-and-swap, has freed the block. As the word has the start, any address but that of the block
// finds a word that does not fit. The best-fit space knows nothing of this: to it the span is used,
// and its own spans have no words.
type spanWord uint64

const (
	spanMagic     = 5 << 61 // not that of a run's word
	spanMagicBits = 7 << 61
	spanLive      = 1 << 60
	spanSizeShift = 40
	spanSizeMask  = 1<<16 - 1
	spanStartMask = 1<<spanSizeShift - 1

	_ = uint(spanSizeMask - stockMax)
)

func liveSpan(g, n uint64) spanWord { return spanWord(spanMagic | spanLive | n<<spanSizeShift | g) }
func (w spanWord) start() uint64    { return uint64(w) & spanStartMask }
func (w spanWord) size() uint64     { return uint64(w) >> spanSizeShift & spanSizeMask }

// isSpan reports whether w is the word of a span at all.
func (w spanWord) isSpan() bool { return uint64(w)&spanMagicBits == spanMagic }

// isOf reports whether w is the word of a span that starts at granule g, live or not.
func (w spanWord) isOf(g uint64) bool {
	return uint64(w)&(spanMagicBits|spanStartMask) == spanMagic|g
}

// isLiveAt reports whether w says that a live span starts at granule g.
func (w spanWord) isLiveAt(g uint64) bool {
	return uint64(w)&(spanMagicBits|spanLive|spanStartMask) == spanMagic|spanLive|g
}

// stocked returns w as it is in a stock.
func (w spanWord) stocked() spanWord { return w &^ spanLive }

// noteSpan writes the word of the used span at off, which is about to be handed out, if it is to
// have one. s.mu is held.
func (s *Shared) noteSpan(off uint64) {
	g := off >> granuleShift
	if n := s.h.spanSize(g); isStockSize(n) {
		_, at := s.word(uintptr(off >> unitShift))
		setMask(at, uint64(liveSpan(g, n)))
	}
}

// claimSpan takes the word of the live span at off away, so that nobody frees it without s.mu,
// which is held. It reports whether there is no word, or there was one of a live span.
func (s *Shared) claimSpan(off uintptr) bool {
	for {
		w, at := s.word(off >> unitShift)
		switch g := uint64(off >> granuleShift); {
		case !spanWord(w).isOf(g):
			return true // off may be anything; the rows tell
		case !spanWord(w).isLiveAt(g):
			return false
		}
		if atomic.CompareAndSwapUint64(at, w, 0) {
			return true
		}
	}
}

// liveSize returns how many granules b has if it is a live span with a word, else 0.
func (s *Shared) liveSize(b []byte) uint64 {
	off := addrOf(b) - uintptr(s.base)
	if off-s.first >= s.reach.Load() || off%granule != 0 {
		return 0
	}
	w, _ := s.word(off >> unitShift)
	if !spanWord(w).isLiveAt(uint64(off >> granuleShift)) {
		return 0
	}
	return spanWord(w).size()
}

// isStocked reports whether the used span at granule g, of the central heap, is nobody's block.
func (s *Shared) isStocked(g uint64) bool {
	w, _ := s.word(uintptr(g >> granuleBits))
	return spanWord(w).isOf(g) && !spanWord(w).isLiveAt(g)
}

// countStocked returns how many spans are in stocks. All locks are held.
func (s *Shared) countStocked() (n uint64) {
	for p := range s.h.pieces() {
		if p.bad == "" && p.stocked {
			n++
		}
	}
	return n
}

// takeBack gives spans that are in no stock any more to the best-fit space, and returns how many
// there were.
func (s *Shared) takeBack(spans []spanWord) int {
	if len(spans) == 0 {
		return 0
	}
	s.lock()
	defer s.unlock()
	if s.h.refused() {
		return 0 // what is in a heap that was closed meanwhile goes with it
	}
	defer func() {
		if r := recover(); r != nil && s.h.err == nil {
			panic(r)
		}
	}()
	for _, w := range spans {
		g := w.start()
		_, at := s.word(uintptr(g >> granuleBits))
		if setMask(at, 0); !s.h.isUsed(g) {
			s.h.fail("span %#x, which was freed, is not a used one", g<<granuleShift)
			break
		}
		s.h.Free(s.bytesOf(uintptr(g)<<granuleShift, 1))
	}
	return len(spans)
}
