package segregated

import (
	"github.com/memlab-go/memlab/alloc"
)

// target is a live block of a checked heap.
type target struct {
	core uint64 // offset of the core's block; for a guarded one, recordSize before the caller's
	record
	guarded bool
}

// user returns the offset of the caller's bytes.
func (t *target) user() uint64 { return t.core + recordSize }

// find returns the live block that starts at b's base, or panics with what is
// wrong with b. It dereferences nothing of b.
func (c *checked) find(op string, b []byte) target {
	h := c.h
	if h.refused() {
		panic(h.badBlock(op, b, h.state()))
	}
	return c.seek(op, b)
}

// seek is find, also while the heap is being walked.
func (c *checked) seek(op string, b []byte) target {
	h := c.h
	off := uint64(addrOf(b) - addrOf(h.mem))
	switch {
	case off >= uint64(len(h.mem)):
		panic(h.foreign(op, b))
	case c.guards.covers(off):
		return c.guards.find(op, b, off)
	case off%granule != 0 || off>>granuleShift <= h.first || off>>granuleShift > h.top:
		panic(c.classify(op, b, off))
	}
	core := off - recordSize
	if !c.isLive(core) {
		panic(c.classify(op, b, off))
	}
	if c.quarantine.has(core) {
		panic(c.doubleFree(op, b, off))
	}
	r, whole := c.get(core)
	switch {
	case !whole:
		f := c.underflow(op, core)
		f.Size = len(b)
		panic(f)
	case r.freed:
		panic(c.doubleFree(op, b, off))
	}
	return target{core: core, record: r}
}

// isLive reports whether a live block of the core starts at off, which is in
// the data.
func (c *checked) isLive(off uint64) bool {
	if off>>granuleShift >= c.h.top {
		return false
	}
	blk, ok := c.h.containing(off)
	return ok && blk.Used && uint64(blk.Off) == off
}

// doubleFree is the fault of a block that is in quarantine or condemned.
func (c *checked) doubleFree(op string, b []byte, off uint64) *alloc.Fault {
	f := c.fault(op, b, alloc.ErrDoubleFree)
	core := off - recordSize
	if r, whole := c.get(core); whole && r.freed {
		f.Block = &alloc.Block{Off: offset(off), Size: int(r.size)}
		f.AllocStack = c.stackOf(r.stack)
	}
	f.FreeStack = c.stackOf(c.quarantine.freeStack[core])
	return f
}

// classify says why no live block starts at off, which is in the region.
func (c *checked) classify(op string, b []byte, off uint64) *alloc.Fault {
	h := c.h
	g := off >> granuleShift
	if g < h.first || g >= h.top {
		return h.classify(op, b, off)
	}
	f := c.fault(op, b, alloc.ErrInvalidFree)
	blk, ok := h.containing(off)
	if !ok {
		return f
	}
	core := uint64(blk.Off)
	if !blk.Used {
		f.Block = &blk
		if off%granule == 0 && (h.kinds[off>>unitShift] < kindRun || off == core+recordSize) {
			f.Err = alloc.ErrDoubleFree
		}
		return f
	}
	if r, whole := c.get(core); whole {
		f.Block = &alloc.Block{Off: offset(core + recordSize), Size: int(r.size), Used: !r.freed}
		f.AllocStack = c.stackOf(r.stack)
	}
	if off < core+recordSize {
		f.Block, f.Owner = nil, "record of a block"
	}
	return f
}
