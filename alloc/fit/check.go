package fit

import (
	"errors"
	"fmt"
	"iter"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// Blocks returns an iterator over every block, used and free, in address order.
// Off is the payload's start, Size the usable bytes of a used block and all
// bytes of a free one. The heap cannot change while it runs: Malloc returns
// [alloc.ErrBusy] and Free panics with it. It stops at a tag that cannot be
// walked past; [Heap.Check] says why.
func (h *Heap) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		if h.closed {
			return
		}
		h.walking++
		defer func() { h.walking-- }()
		for off := h.start; off < h.end; {
			t, wrong := h.readTag(off)
			if wrong != "" {
				return
			}
			b := h.freeBlock(off)
			b.Used, b.Size = t.used, t.size
			if t.used {
				b.Size -= h.o.Header
			}
			if !yield(b) {
				return
			}
			off += t.size
		}
	}
}

// freeBlock describes the free block off.
func (h *Heap) freeBlock(off int) alloc.Block {
	t, _ := h.readTag(off)
	return alloc.Block{Off: arena.Offset(off + h.o.Header), Size: t.size}
}

// Check walks the heap and returns every broken law, joined, or nil; see [Heap]
// for the laws. The heap's bytes are only read; a heap that is found damaged
// refuses further work. It neither loops nor crashes, whatever the bytes are.
// O(blocks + region bits).
func (h *Heap) Check() error {
	if h.closed {
		return nil
	}
	c := checker{h: h, free: map[int]int{}, starts: map[int]bool{}}
	c.walk()
	if c.whole {
		h.index.check(c.free, c.report)
		c.checkBits()
		c.checkCounters()
	}
	if len(c.errs) == 0 {
		return nil
	}
	err := &alloc.Fault{Op: "check", Off: arena.Offset(c.first), InRegion: true, Err: alloc.ErrCorrupt,
		Detail: alloc.ErrCorrupt.Error() + ": " + errors.Join(c.errs...).Error()}
	if h.bad == nil {
		h.bad = err
	}
	return err
}

// A checker gathers what one Check finds.
type checker struct {
	h      *Heap
	free   map[int]int  // free blocks and their sizes
	starts map[int]bool // used blocks
	whole  bool         // the walk reached the end

	counted counters
	first   int // where the first broken law is, roughly
	errs    []error
}

func (c *checker) report(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// walk goes over the blocks by address: laws L1, L2, L3.
func (c *checker) walk() {
	h := c.h
	prevUsed := true
	for off := h.start; ; {
		t, wrong := h.readTag(off)
		if wrong != "" {
			c.first = off
			c.report("L1: block %#x: %s", off, wrong)
			return
		}
		if t.prevUsed != prevUsed {
			c.report("L3: block %#x says that the block before it is used: %v", off, t.prevUsed)
		}
		if off == h.end {
			c.whole = true
			return
		}
		if t.used {
			c.starts[off] = true
			c.counted.countUsed(t.size-h.o.Header, t.slack, 1)
		} else {
			c.walkFree(off, t, prevUsed)
		}
		prevUsed = t.used
		off += t.size
	}
}

// walkFree looks at one free block.
func (c *checker) walkFree(off int, t tag, prevUsed bool) {
	if !prevUsed && c.h.o.Coalesce == Immediate {
		c.report("L2: block %#x and the one before it are both free", off)
	}
	v, ok := c.h.mem.get(off+t.size-wordSize, footerWord)
	if !ok || v != t.value() {
		c.report("L3: the footer of block %#x is not its tag", off)
	}
	c.free[off] = t.size
	c.counted.freeBytes += t.size
	c.counted.freeBlocks++
}

// checkBits proves law L5, over all start bits there are.
func (c *checker) checkBits() {
	h := c.h
	bytes := h.metaEnd
	if h.commitFrom > 0 {
		bytes = min(bytes, h.metaCommitted)
	}
	set := 0
	for i, b := range h.mem.bytes[:bytes] {
		for bit := 0; b != 0; bit, b = bit+1, b>>1 {
			if b&1 == 0 {
				continue
			}
			off := h.start + (i*8+bit)*h.o.Align
			set++
			if !c.starts[off] {
				c.report("L5: the start bit of %#x is set, where no used block starts", off)
			}
		}
	}
	if set < len(c.starts) {
		for off := range c.starts {
			if !h.startBit(off) {
				c.report("L5: the start bit of the used block %#x is clear", off)
			}
		}
	}
}

// checkCounters proves law L6.
func (c *checker) checkCounters() {
	got, want := c.h.counters, c.counted
	for _, f := range []struct {
		name      string
		got, want int
	}{
		{"live blocks", got.liveBlocks, want.liveBlocks}, {"live bytes", got.live, want.live},
		{"requested bytes", got.requested, want.requested},
		{"free bytes", got.freeBytes, want.freeBytes}, {"free blocks", got.freeBlocks, want.freeBlocks},
		{"mallocs less frees", int(got.mallocs - got.frees), want.liveBlocks},
	} {
		if f.got != f.want {
			c.report("L6: %s: counted %d, the walk finds %d", f.name, f.got, f.want)
		}
	}
}
