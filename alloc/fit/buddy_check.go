package fit

import (
	"errors"
	"fmt"
	"iter"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// locate returns the live block that starts at b's address, or panics with the
// fault. O(1) for a good b.
func (h *Buddy) locate(op string, b []byte) (int, state) {
	d := addr(b) - h.base
	if d >= uintptr(len(h.mem.bytes)) {
		panic(h.foreign(op, b))
	}
	off := int(d)
	if off < h.start || off >= h.end || (off-h.start)&(h.size(0)-1) != 0 {
		panic(h.explain(op, b, off))
	}
	s := h.stateAt(off)
	if !s.present || !s.used {
		panic(h.explain(op, b, off))
	}
	return off, s
}

// explain says why no live block starts at off. O(orders).
func (h *Buddy) explain(op string, b []byte, off int) *alloc.Fault {
	f := &alloc.Fault{Op: op, Addr: addr(b), Off: arena.Offset(off), InRegion: true, Size: len(b), Err: alloc.ErrInvalidFree}
	switch {
	case off < h.start:
		f.Detail = "an address in the heap's metadata, " + alloc.ErrInvalidFree.Error()
		return f
	case off >= h.end:
		f.Detail = "an address that was never allocated, " + alloc.ErrInvalidFree.Error()
		return f
	}
	for order := range maxOrders {
		start := h.start + (off-h.start)&^(h.size(order)-1)
		s := h.stateAt(start)
		if !s.present || s.order < order {
			continue
		}
		f.Block = &alloc.Block{Off: arena.Offset(start), Size: h.size(s.order), Used: s.used}
		if s.used {
			f.Block.Size = h.usable(start, s)
		} else if (off-h.start)&(h.size(0)-1) == 0 && off < h.peak {
			f.Err = alloc.ErrDoubleFree // free memory, where a block may have started
		}
		return f
	}
	h.corrupt(op, h.at(off), "no block contains the address")
	return nil
}

// Blocks returns an iterator over every block, used and free, in address order;
// see [Heap.Blocks].
func (h *Buddy) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		if h.closed {
			return
		}
		h.walking++
		defer func() { h.walking-- }()
		for off := h.start; off < h.end; {
			s, wrong := h.tryState(off)
			if wrong != "" || !s.present {
				return
			}
			b := alloc.Block{Off: arena.Offset(off), Size: h.size(s.order), Used: s.used}
			if s.used {
				b.Size = h.usable(off, s)
			}
			if !yield(b) {
				return
			}
			off += h.size(s.order)
		}
	}
}

// FreeList returns the free blocks, those of the smallest order first, each list
// in its order. It is for pictures and lessons. O(free blocks).
func (h *Buddy) FreeList() []alloc.Block {
	var blocks []alloc.Block
	for order, off := range h.heads {
		for n := 0; off != 0 && n <= h.freeBlocks; n++ {
			blocks = append(blocks, alloc.Block{Off: arena.Offset(off), Size: h.size(order)})
			off = h.getLink(off, nextWord)
		}
	}
	return blocks
}

// Stats returns the heap's figures. Requested is exact. Metadata counts the
// table of states, the words that keep requested sizes, and padding.
func (h *Buddy) Stats() alloc.Stats {
	if h.closed {
		return alloc.Stats{Mallocs: h.mallocs, Frees: h.mallocs, Searched: h.searched, Failed: h.failed}
	}
	s := alloc.Stats{
		LiveBlocks:  h.liveBlocks,
		Live:        h.live,
		Requested:   h.requested,
		Reserved:    len(h.mem.bytes),
		Committed:   h.committedBytes(),
		Metadata:    h.metaCommitted + h.start - h.commitFrom + h.tails,
		Retained:    h.freeBytes,
		FreeBlocks:  h.freeBlocks,
		LargestFree: h.largestFree(),
		Mallocs:     h.mallocs,
		Frees:       h.frees,
		Searched:    h.searched,
		Failed:      h.failed,
		Resident:    -1,
	}
	if n, err := h.region.Resident(); err == nil {
		s.Resident = n
	}
	return s
}

// Check walks the heap and returns every broken law, joined, or nil; see [Buddy]
// for the laws and [Heap.Check]. O(heap size / smallest block).
func (h *Buddy) Check() error {
	if h.closed {
		return nil
	}
	c := buddyChecker{h: h, free: map[int]int{}}
	if c.walk() {
		c.lists()
		c.counters()
	}
	if len(c.errs) == 0 {
		return nil
	}
	err := &alloc.Fault{Op: "check", InRegion: true, Err: alloc.ErrCorrupt,
		Detail: alloc.ErrCorrupt.Error() + ": " + errors.Join(c.errs...).Error()}
	if h.bad == nil {
		h.bad = err
	}
	return err
}

// A buddyChecker gathers what one Check finds.
type buddyChecker struct {
	h       *Buddy
	free    map[int]int // free blocks and their orders
	counted counters
	tails   int
	errs    []error
}

func (c *buddyChecker) report(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// try calls f and turns a fault into a report. The heap is not marked.
func (c *buddyChecker) try(law string, f func()) bool {
	bad := c.h.bad
	err := alloc.Try(f)
	c.h.bad = bad
	if err != nil {
		c.report("%s: %w", law, err)
	}
	return err == nil
}

// walk goes over the table of states: laws B1, B2, B4. It reports whether it got
// to the end.
func (c *buddyChecker) walk() bool {
	h := c.h
	for off := h.start; off < h.end; {
		s, wrong := h.tryState(off)
		if wrong != "" || !s.present {
			c.report("B1: block %#x: no block, or %s", off, wrong)
			return false
		}
		size := h.size(s.order)
		for inner := off + h.size(0); inner < off+size; inner += h.size(0) {
			if st, wrong := h.tryState(inner); st.present || wrong != "" {
				c.report("B4: there is a state at %#x, inside of block %#x", inner, off)
			}
		}
		if s.used {
			c.try("B1", func() { c.counted.countUsed(h.usable(off, s), h.usable(off, s)-h.requestedOf(off, s), 1) })
			if s.tail {
				c.tails += wordSize
			}
		} else {
			c.free[off] = s.order
			c.counted.freeBytes += size
			c.counted.freeBlocks++
			if order, ok := c.free[h.buddyOf(off, s.order)]; ok && order == s.order {
				c.report("B2: block %#x and its buddy are both free", off)
			}
		}
		off += size
	}
	return true
}

// lists goes over the free lists: law B3.
func (c *buddyChecker) lists() {
	h := c.h
	seen := map[int]bool{}
	for order, head := range h.heads {
		prev := 0
		for off := head; off != 0; {
			if got, ok := c.free[off]; !ok || got != order || seen[off] {
				c.report("B3: the list of order %d leads to %#x, which is no free block of it, or was seen before", order, off)
				break
			}
			seen[off] = true
			next := 0
			ok := c.try("B3", func() {
				if back := h.getLink(off+wordSize, prevWord); back != prev {
					c.report("B3: block %#x links back to %#x, not to %#x", off, back, prev)
				}
				next = h.getLink(off, nextWord)
			})
			if !ok {
				break
			}
			prev, off = off, next
		}
	}
	for off := range c.free {
		if !seen[off] {
			c.report("B3: free block %#x is on no list", off)
		}
	}
}

// counters compares what was counted: law B5.
func (c *buddyChecker) counters() {
	got, want := c.h.counters, c.counted
	want.mallocs, want.frees, want.failed = got.mallocs, got.frees, got.failed
	want.searched, want.lastSearched = got.searched, got.lastSearched
	if got != want || c.h.tails != c.tails || got.mallocs-got.frees != uint64(want.liveBlocks) {
		c.report("B5: counted %+v and %d bytes of tails, the walk finds %+v and %d", got, c.h.tails, want, c.tails)
	}
}
