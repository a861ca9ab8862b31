package fit

import (
	"encoding/binary"
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A state is what stands in a buddy heap's table for the place where a block
// starts: two bytes, little-endian. Places where none starts have 0.
//
//	 15     11 10      8    7      6        1    0
//	├─────────┼─────────┼──────┼────────────┼──────┤
//	│ check   │ slack   │ tail │ order + 1  │ used │
//	└─────────┴─────────┴──────┴────────────┴──────┘
//
// A used block whose slack, the bytes past those that were asked for, is 8 or
// more has a tail: the size asked for, in a word at its end, which is then not
// usable. A smaller slack stands in the state itself. The check bits are a
// linear code in which every single and every double bit flip shows.
type state struct {
	present bool // a block starts here
	used    bool
	tail    bool
	order   int
	slack   int
}

const (
	stateSize = 2
	stateBits = 11
)

// stateFold returns the check bits of a state's value: the sum of one 5-bit
// column, of two bits or more, for each bit that is set.
func stateFold(v uint16) uint16 {
	const columns = 0x3<<0 | 0x5<<5 | 0x6<<10 | 0x7<<15 | 0x9<<20 | 0xa<<25 | 0xb<<30 | 0xc<<35 | 0xd<<40 | 0xe<<45 | 0xf<<50
	var c uint16
	for ; v != 0; v &= v - 1 {
		c ^= uint16(uint64(columns) >> (5 * bits.TrailingZeros16(v)) & 31)
	}
	return c
}

func (s state) value() uint16 {
	v := uint16(s.order+1)<<1 | uint16(s.slack)<<8
	if s.used {
		v |= 1
	}
	if s.tail {
		v |= 1 << 7
	}
	return v | stateFold(v)<<stateBits
}

// at is where the state of the block off stands.
func (h *Buddy) at(off int) int { return (off - h.start) >> h.shift * stateSize }

// tryState reads the state of off, a multiple of the smallest block from start
// and below end, and says what is wrong with it, or "".
func (h *Buddy) tryState(off int) (s state, wrong string) {
	at := h.at(off)
	if h.mem.access != nil {
		h.mem.access(alloc.Event{Kind: alloc.EventRead, Off: arena.Offset(at), Size: stateSize})
	}
	w := binary.LittleEndian.Uint16(h.mem.bytes[at:])
	if w == 0 {
		return s, ""
	}
	v := w & (1<<stateBits - 1)
	if w>>stateBits != stateFold(v) {
		return s, "the state's check bits are wrong"
	}
	s = state{present: true, used: v&1 != 0, tail: v>>7&1 != 0, order: int(v>>1&63) - 1, slack: int(v >> 8 & 7)}
	switch {
	case s.order < 0 || s.order >= maxOrders || h.size(s.order) > h.end-off || (off-h.start)&(h.size(s.order)-1) != 0:
		return s, "the state's order is impossible"
	case !s.used && (s.tail || s.slack != 0):
		return s, "a free block has slack"
	}
	return s, ""
}

// stateAt returns the state of off or finds the heap corrupt.
func (h *Buddy) stateAt(off int) state {
	s, wrong := h.tryState(off)
	if wrong != "" {
		h.corrupt("read", h.at(off), wrong)
	}
	return s
}

func (h *Buddy) setState(off int, s state) { h.writeState(off, s.value()) }

func (h *Buddy) clearState(off int) { h.writeState(off, 0) }

func (h *Buddy) writeState(off int, w uint16) {
	at := h.at(off)
	if h.mem.access != nil {
		h.mem.access(alloc.Event{Kind: alloc.EventWrite, Off: arena.Offset(at), Size: stateSize})
	}
	binary.LittleEndian.PutUint16(h.mem.bytes[at:], w)
}

// usable returns the bytes of the used block off that the caller may have.
func (h *Buddy) usable(off int, s state) int {
	if s.tail {
		return h.size(s.order) - wordSize
	}
	return h.size(s.order)
}

// requestedOf returns the bytes that were asked for of the used block off.
func (h *Buddy) requestedOf(off int, s state) int {
	if !s.tail {
		return h.size(s.order) - s.slack
	}
	at := off + h.size(s.order) - wordSize
	v, ok := h.mem.get(at, tailWord)
	if !ok || v > uint64(h.size(s.order)-wordSize) {
		h.corrupt("read", at, "the word that keeps the requested size is wrong")
	}
	return int(v)
}

// link puts the block off at the front of the list of its order, as free.
func (h *Buddy) link(off, order int) {
	head := h.heads[order]
	h.setState(off, state{order: order})
	h.setLink(off, nextWord, head)
	h.setLink(off+wordSize, prevWord, 0)
	if head != 0 {
		h.setLink(head+wordSize, prevWord, off)
	}
	h.heads[order] = off
	h.freeBytes += h.size(order)
	h.freeBlocks++
}

// unlink takes the free block off from the list of its order. Its state stays.
func (h *Buddy) unlink(off, order int) {
	if s := h.stateAt(off); !s.present || s.used || s.order != order {
		h.corrupt("unlink", off, "a block is on the list of another order")
	}
	prev, next := h.getLink(off+wordSize, prevWord), h.getLink(off, nextWord)
	if prev == 0 && h.heads[order] != off || prev != 0 && h.getLink(prev, nextWord) != off ||
		next != 0 && h.getLink(next+wordSize, prevWord) != off {
		h.corrupt("unlink", off, "the free list's links do not agree")
	}
	if next != 0 {
		h.setLink(next+wordSize, prevWord, prev)
	}
	if prev != 0 {
		h.setLink(prev, nextWord, next)
	} else {
		h.heads[order] = next
	}
	h.freeBytes -= h.size(order)
	h.freeBlocks--
}

func (h *Buddy) setLink(at int, kind wordKind, to int) {
	v := uint64(0)
	if to != 0 {
		v = uint64(to-h.start)>>h.shift + 1
	}
	h.mem.put(at, kind, v)
}

// getLink reads the link at offset at and finds the heap corrupt unless it is 0
// or leads into the heap.
func (h *Buddy) getLink(at int, kind wordKind) int {
	v, ok := h.mem.get(at, kind)
	if !ok || v > uint64(h.end-h.start)>>h.shift {
		h.corrupt("read", at, "the link is wrong")
	}
	if v == 0 {
		return 0
	}
	return h.start + int(v-1)<<h.shift
}
