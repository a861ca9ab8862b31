package segregated

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// What a checked heap knows of its free bytes: each holds the poison, or 0 on a
// page that the system supplied and nobody used yet. All that a program may
// have written is poisoned before the core gets it, and the core wipes the links
// that it keeps inside small free spans (see [Heap.unlinked]). So a byte with
// any other value was written after free.
//
// Blocks of more than fillMax bytes are filled and looked at only at their
// ends, fillEnd bytes each; the pages between go back to the system when the
// block is freed, and are zero when they come back.
const (
	fillMax = 1 << 20
	fillEnd = 64 << 10
)

// ends calls f with the parts of [lo, hi) that are filled and looked at.
func ends(lo, hi uint64, f func(lo, hi uint64)) {
	if hi-lo <= fillMax {
		f(lo, hi)
		return
	}
	f(lo, lo+fillEnd)
	f(hi-fillEnd, hi)
}

// fill sets the bytes of [lo, hi), or its ends, to x.
func (c *checked) fill(lo, hi uint64, x byte) {
	ends(lo, hi, func(lo, hi uint64) { set(c.h.mem[lo:hi], x) })
}

// set sets the bytes of b to x.
func set(b []byte, x byte) {
	if x == 0 {
		clear(b)
		return
	}
	for i := range min(len(b), 64) {
		b[i] = x
	}
	for n := 64; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// wipe makes [lo, hi), which a program may have written, free bytes.
func (c *checked) wipe(lo, hi uint64) {
	if hi-lo > fillMax {
		page := c.h.pageSize
		from, to := roundUp(lo+fillEnd, page), (hi-fillEnd)&^(page-1)
		if c.discard(from, to) {
			set(c.h.mem[lo:from], c.poison)
			set(c.h.mem[to:hi], c.poison)
			return
		}
		if c.h.err != nil {
			return // pages of it are lost
		}
	}
	set(c.h.mem[lo:hi], c.poison)
}

// discard gives the pages of [lo, hi) back to the system and takes them again,
// zero, and reports whether that went well. If they could be given back but not
// had again the heap has lost them, which is damage.
func (c *checked) discard(lo, hi uint64) bool {
	h := c.h
	if lo >= hi || h.region.Decommit(arena.Offset(lo), int(hi-lo)) != nil {
		return false
	}
	h.committed -= min(h.committed, hi-lo)
	if h.sink != nil {
		h.emitPages(lo, hi, false)
	}
	if !h.commitBytes(lo, hi) {
		return h.fail("pages from %#x to %#x are lost", lo, hi)
	}
	return true
}

// dirtyByte returns where in [lo, hi) the first byte is that free memory cannot
// hold. With strict, zero counts as such: the bytes were poisoned.
func (c *checked) dirtyByte(lo, hi uint64, strict bool) (at uint64, dirty bool) {
	at = hi
	ends(lo, hi, func(lo, hi uint64) {
		if !dirty {
			if i := c.firstDirty(c.h.mem[lo:hi], strict); i >= 0 {
				at, dirty = lo+uint64(i), true
			}
		}
	})
	return at, dirty
}

// firstDirty returns the index of the first byte of b that is neither the
// poison nor, unless strict, 0; -1 if there is none.
func (c *checked) firstDirty(b []byte, strict bool) int {
	word := uint64(c.poison) * 0x0101010101010101
	for i := 0; i < len(b); i += 8 {
		for len(b)-i >= len(c.clean) && bytes.Equal(b[i:i+len(c.clean)], c.clean[:]) {
			i += len(c.clean) // as most bytes are looked at
		}
		if i+8 <= len(b) {
			if w := binary.LittleEndian.Uint64(b[i:]); w == word || w == 0 && !strict {
				continue
			}
		}
		for j, x := range b[i:min(i+8, len(b))] {
			if x != c.poison && (strict || x != 0) {
				return i + j
			}
		}
	}
	return -1
}

// unlinked is called when the free span at g has left its bin: a checked heap
// wipes the links that lay inside it.
func (h *Heap) unlinked(g uint64, bin int) {
	if h.chk != nil && bin < infoBin {
		set(h.mem[g<<granuleShift:][:granule], h.chk.poison)
	}
}

// lateWrite is the fault of a write after free at offset at, into what was the
// block blk, if that is known.
func (c *checked) lateWrite(op string, at uint64, blk *alloc.Block, strict bool) *alloc.Fault {
	f := &alloc.Fault{
		Op: op, Addr: addrOf(c.h.mem) + uintptr(at), Off: offset(at), InRegion: true, Block: blk, Err: alloc.ErrWriteAfterFree,
	}
	want := fmt.Sprintf("%#02x", c.poison)
	if !strict && c.poison != 0 {
		want += " or 0"
	}
	f.Detail = fmt.Sprintf("%v: byte %#x is %#02x, want %s", alloc.ErrWriteAfterFree, at, c.h.mem[at], want)
	if blk != nil {
		f.At = int(f.Off - blk.Off)
	}
	return f
}
