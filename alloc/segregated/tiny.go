package segregated

// A row of the metadata has one bit for each granule of its unit. Blocks of up to tinySize bytes, of which
// two have room in a granule, need two: a tiny run is one unit of 128 of them without anything else
// in it, and its bits are in a table outside of the region, where a stray write does not find them;
// its row has the number of the entry there. So the fast path of Free, which goes by rows, leaves
// these blocks to freeTiny; that of Malloc takes their slots as those of any class: the tiny class's
// live word is that of one half of the current run.
//
// Options.Classes asks for them by a class of tinySize. Heaps that are hooked, in a file or a
// [Shared] have none; there, at first, and when no unit is free, such blocks are of the next class.

import (
	"math"
	"math/bits"

	"github.com/memlab-go/memlab/alloc"
)

const (
	tinySize  = 8
	tinyHalf  = 64                  // slots that a live word has bits for
	tinyHalfB = tinyHalf * tinySize // bytes of these
	tinySlots = unitSize / tinySize
	tinyChunk = 32 // entries that are made at once
	tinyFirst = 64 // requests that are of the next class before there is a tiny run, as it would be mostly waste
	_         = uint(2*tinyHalf - tinySlots)
	_         = uint(tinySlots - 2*tinyHalf)
)

// tinyRun is the entry of a tiny run.
type tinyRun struct {
	live       [2]uint64 // bit set: the slot is somebody's
	run        uint32    // its unit; 0 of an entry that is not in use
	next, prev uint32    // the partial runs after it and before; of a spare entry the next of these
	listed     bool      // it is on the list of partial runs
}

func (r *tinyRun) isFull() bool  { return r.live[0]&r.live[1] == ^uint64(0) }
func (r *tinyRun) isEmpty() bool { return r.live[0]|r.live[1] == 0 }

// numLive returns how many slots of r are somebody's.
func (r *tinyRun) numLive() int { return bits.OnesCount64(r.live[0]) + bits.OnesCount64(r.live[1]) }

// isLive reports whether slot i is somebody's.
func (r *tinyRun) isLive(i uint64) bool { return r.live[i/tinyHalf%2]>>(i%tinyHalf)&1 != 0 }

// tinyRuns has the tiny runs of a heap. Entries are numbered from 1.
type tinyRuns struct {
	chunks      []*[tinyChunk]tinyRun
	class       uint8  // the tiny class, 0 if there is none
	kind        uint16 // of its units
	wait        uint16 // requests before a new run is looked for, at first and when there was no room for one
	spare       uint32 // first entry that is not in use, 0 if there is none
	current     uint32 // that of the run that Malloc takes slots of
	first, last uint32 // list of those that are neither full, empty nor current
}

// at returns entry i, or nil if there is none of that number.
func (t *tinyRuns) at(i uint64) *tinyRun {
	if i--; i >= uint64(len(t.chunks))*tinyChunk {
		return nil
	}
	return &t.chunks[i/tinyChunk][i%tinyChunk]
}

// add returns the number of a new entry.
func (t *tinyRuns) add() uint32 {
	if t.spare == 0 {
		n := uint32(len(t.chunks)) * tinyChunk
		t.chunks = append(t.chunks, new([tinyChunk]tinyRun))
		for i := n + tinyChunk; i > n; i-- {
			t.drop(i)
		}
	}
	i := t.spare
	t.spare = t.at(uint64(i)).next
	return i
}

// drop makes entry i a spare one.
func (t *tinyRuns) drop(i uint32) {
	*t.at(uint64(i)) = tinyRun{next: t.spare}
	t.spare = i
}

// list puts entry i last on the list of partial runs.
func (t *tinyRuns) list(i uint32) {
	r := t.at(uint64(i))
	r.listed, r.prev, r.next = true, t.last, 0
	if t.last == 0 {
		t.first = i
	} else {
		t.at(uint64(t.last)).next = i
	}
	t.last = i
}

// unlist takes entry i off the list.
func (t *tinyRuns) unlist(i uint32) {
	r := t.at(uint64(i))
	if r.prev == 0 {
		t.first = r.next
	} else {
		t.at(uint64(r.prev)).next = r.next
	}
	if r.next == 0 {
		t.last = r.prev
	} else {
		t.at(uint64(r.next)).prev = r.prev
	}
	r.listed, r.prev, r.next = false, 0, 0
}

// initTiny makes class ci the tiny one.
func (h *Heap) initTiny(ci uintptr) {
	h.tiny.class, h.tiny.kind, h.tiny.wait = uint8(ci), uint16(ci<<8), tinyFirst
	// Without a reciprocal and valid slots the test of Free fails for its blocks.
	h.classes[ci] = class{size: tinySize, units: 1}
	h.setClasses(int(ci))
	h.maxSize = max(h.maxSize, tinySize)
}

// isTiny reports whether class ci is the tiny one.
func (h *Heap) isTiny(ci uint64) bool { return ci == uint64(h.tiny.class) && ci != 0 }

// tinyAt returns the entry of the tiny run at unit u. It is nil if the run has none, as it is empty and
// waits to be joined; damage is an error that the heap keeps.
func (h *Heap) tinyAt(u uint64) *tinyRun {
	r := h.tiny.of(u, *h.row(u))
	if r == nil && *h.row(u) != 0 {
		h.fail("tiny run %#x has entry %d, which is another's", u<<unitShift, *h.row(u))
	}
	return r
}

// of returns entry i if it is that of the tiny run at unit u, else nil.
func (t *tinyRuns) of(u, i uint64) *tinyRun {
	if r := t.at(i); r != nil && uint64(r.run) == u {
		return r
	}
	return nil
}

// slotsOfTiny is slots for the tiny run p.
func (h *Heap) slotsOfTiny(p piece, yield func(alloc.Block) bool) bool {
	u := p.g >> granuleBits
	r := h.tiny.of(u, h.units[u])
	for i := range uint64(tinySlots) {
		off := offset(u<<unitShift + i*tinySize)
		if !yield(alloc.Block{Off: off, Size: tinySize, Used: r != nil && r.isLive(i)}) {
			return false
		}
	}
	return true
}

// numTiny returns how many slots of the tiny run p are somebody's.
func (h *Heap) numTiny(p piece) int {
	u := p.g >> granuleBits
	if r := h.tiny.of(u, h.units[u]); r != nil {
		return r.numLive()
	}
	return 0
}

// mallocTiny is Malloc for up to tinySize bytes when the tiny class has no slot at hand; ok is
// false if it has none at all.
func (h *Heap) mallocTiny(size int) (b []byte, ok bool, err error) {
	c := &h.classes[h.tiny.class%maxClasses]
	if !h.refreshTiny(c) {
		if ok, err := h.moreTiny(); !ok {
			return nil, false, err
		}
		h.refreshTiny(c)
	}
	b = h.takeSlot(c, size)
	if h.committed > h.peak {
		h.economize()
	}
	return b, true, nil
}

// refreshTiny gives the tiny class c slots of the current run, and reports whether that has any.
func (h *Heap) refreshTiny(c *class) bool {
	r := h.tiny.at(uint64(h.tiny.current))
	if r == nil {
		return false
	}
	for half := range r.live {
		if avail := ^r.live[half]; avail != 0 {
			c.avail, c.live = avail, &r.live[half]
			h.setSlots(c, uintptr(r.run)<<unitShift+uintptr(half)*tinyHalfB)
			return true
		}
	}
	return false
}

// moreTiny makes another run the current one: the partial one that was listed first, or a new one. It
// reports whether there was one.
func (h *Heap) moreTiny() (ok bool, err error) {
	done := false
	defer func() {
		if !done {
			err = h.caught(recover())
		}
	}()
	t := &h.tiny
	if i := t.first; i != 0 {
		t.unlist(i)
		t.current = i
		ok = true
	} else if t.current = 0; t.wait > 0 {
		t.wait--
	} else if ok = h.newTiny(); !ok {
		t.wait = classWait
	}
	done = true
	if h.err != nil {
		return false, h.err
	}
	return ok, nil
}

// newTiny makes a new run the current one.
func (h *Heap) newTiny() bool {
	g := h.findRun(unitGranules, true)
	if g == 0 {
		return false
	}
	u := g >> granuleBits
	if u > math.MaxUint32 {
		h.freeSpan(g, unitGranules)
		return false
	}
	t := &h.tiny
	i := t.add()
	t.at(uint64(i)).run = uint32(u)
	t.current = i
	h.kinds[u], *h.row(u) = t.kind, uint64(i)
	h.hdr.runs[t.class%maxClasses]++
	return true
}

// freeTiny is Free for b, off bytes behind the first byte of data, for which Free has found that it is
// no slot of a run that goes by its row.
func (h *Heap) freeTiny(b []byte, off uintptr) {
	t, u := &h.tiny, h.first>>granuleBits+uint64(off>>unitShift)
	if k := *h.kind(u); k == t.kind && k != 0 && off%tinySize == 0 {
		i := *h.row(u) - 1
		if k := i / tinyChunk; k < uint64(len(t.chunks)) {
			r := &t.chunks[k][i%tinyChunk]
			live, bit := &r.live[off/tinyHalfB%2], uint64(1)<<(off/tinySize%tinyHalf)
			if m := *live; uint64(r.run) == u && m&bit != 0 {
				*live = m &^ bit
				h.frees++
				if m == ^uint64(0) || m == bit {
					if h.tinyEdge(uint32(i+1), r, m); h.err != nil {
						h.failFree(b)
					}
				}
				return
			}
		}
	}
	h.freeRare(b)
}

// tinyEdge does what a free leaves over that has made the half of r, entry i, that was m before one with
// room, or empty.
func (h *Heap) tinyEdge(i uint32, r *tinyRun, m uint64) {
	switch {
	case i == h.tiny.current:
		return
	case r.isEmpty():
		h.endRow()
		h.leaveTiny(i)
		h.tick()
	case m == ^uint64(0) && !r.listed:
		h.tiny.list(i)
	}
}

// releaseTiny frees the live block at offset off, of the tiny run at its unit.
func (h *Heap) releaseTiny(off uint64) {
	i := h.units[off>>unitShift]
	r := h.tiny.at(i)
	live := &r.live[off/tinyHalfB%2]
	m := *live
	*live = m &^ (1 << (off / tinySize % tinyHalf))
	h.frees++
	if *live == 0 || m == ^uint64(0) {
		h.tinyEdge(uint32(i), r, m)
	}
}

// leaveTiny gives the empty run of entry i back to the best-fit space, at once or with others
// later.
func (h *Heap) leaveTiny(i uint32) {
	r := h.tiny.at(uint64(i))
	u := uint64(r.run)
	if r.listed {
		h.tiny.unlist(i)
	}
	h.tiny.drop(i)
	*h.row(u) = 0
	if !h.defers(u << granuleBits) {
		h.leaveRun(uintptr(h.tiny.class), uintptr(u))
	}
}

// dropTiny gives the current run back if it is empty, and reports whether it was.
func (h *Heap) dropTiny() bool {
	t := &h.tiny
	r := t.at(uint64(t.current))
	if r == nil || !r.isEmpty() {
		return false
	}
	i := t.current
	t.current = 0
	h.classes[t.class%maxClasses].avail = 0
	h.leaveTiny(i)
	return true
}

// forgetTiny gives the table up if no entry is in use.
func (h *Heap) forgetTiny() {
	if t := &h.tiny; t.class != 0 && h.hdr.runs[t.class%maxClasses] == 0 {
		h.classes[t.class%maxClasses].live = nil
		*t = tinyRuns{class: t.class, kind: t.kind}
	}
}
