package segregated

import (
	"iter"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Blocks returns an iterator over every block, used and free, in address
// order: slots one by one, free spans as one block each. In the modes Checked and
// Guarded a used block has the size that was asked for, and one that was freed
// and is held back is free. Inside the loop the
// heap does not change: Malloc returns [alloc.ErrBusy] and Free panics with it; Close
// ends the loop. The loop stops at metadata that cannot be walked past; [Heap.Check] says why.
// A closed heap has no blocks.
func (h *Heap) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		if h.closed {
			return
		}
		visit := yield
		yield = func(b alloc.Block) bool { return visit(b) && !h.closed }
		if h.chk != nil {
			yield = h.chk.callers(yield)
		}
		h.walking++
		h.arm()
		defer func() {
			h.walking--
			h.arm()
		}()
		for p := range h.pieces() {
			if p.class == 0 {
				if !yield(alloc.Block{Off: offset(p.g << granuleShift), Size: int(p.n << granuleShift), Used: p.used && !p.stocked}) {
					return
				}
				continue
			}
			if !h.slots(p, yield) {
				return
			}
		}
	}
}

// slots yields the slots of the run p and reports whether to go on.
func (h *Heap) slots(p piece, yield func(alloc.Block) bool) bool {
	if h.isTiny(p.class) {
		return h.slotsOfTiny(p, yield)
	}
	c := &h.classes[p.class]
	live := h.liveSlots(p.g>>granuleBits, p.class)
	for i := range c.numSlots() {
		off := p.g<<granuleShift + uint64(i)*uint64(c.size)
		if !yield(alloc.Block{Off: offset(off), Size: int(c.size), Used: live>>i&1 != 0}) {
			return false
		}
	}
	return true
}

// liveSlots returns the used slots of the run of class ci at unit run; bits of
// slots that do not exist have no meaning.
func (h *Heap) liveSlots(run, ci uint64) uint64 {
	if h.shared != nil {
		return h.shared.liveSlots(run, ci)
	}
	return h.units[run]
}

// piece is a span or a run.
type piece struct {
	g, n  uint64 // granules
	class uint64 // 0: a span
	used  bool   // of a span
	quick bool   // of a free span: it is in a quick list, or to be joined later
	bad   string // why the walk ends here, if it does

	stocked bool // of a used span of a Shared: it is nobody's block
}

// pieces walks spans and runs from the first granule to the top. A damaged
// one is yielded with bad set, and ends the walk.
func (h *Heap) pieces() iter.Seq[piece] {
	return func(yield func(piece) bool) {
		top := min(h.top, uint64(len(h.units))<<granuleBits)
		for g := h.first; g < top; {
			p := h.pieceAt(g)
			if p.bad == "" && (p.n == 0 || p.n > top-g) {
				p.bad = "reaches past the top"
			}
			if !yield(p) || p.bad != "" {
				return
			}
			g += p.n
		}
	}
}

// pieceAt reads the span or run that starts at g.
func (h *Heap) pieceAt(g uint64) piece {
	u := g >> granuleBits
	switch k := h.kinds[u]; {
	case k >= kindRun:
		ci := uint64(k >> 8)
		if k&0xff != 0 || g&granuleMask != 0 || ci > uint64(h.safe.classes) {
			return piece{g: g, bad: "is not the start of a run"}
		}
		return piece{g: g, n: uint64(h.classes[ci].units) << granuleBits, class: ci}
	case k != kindMarks:
		return piece{g: g, bad: "is inside a large span"}
	}
	row := h.units[u]
	if !isStart(row, g) {
		return piece{g: g, bad: "is not the start of a span"}
	}
	p := piece{g: g, n: h.spanSize(g), used: isMarked(row, asUsed, g), quick: isMarked(row, asKept, g)}
	if p.n == 0 {
		p.bad = "has no end"
	}
	p.stocked = p.used && !h.isLive(g)
	return p
}

// offset is an offset in the words of package arena.
func offset(off uint64) arena.Offset { return arena.Offset(off) }
