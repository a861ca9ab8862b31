package segregated

import (
	"github.com/memlab-go/memlab/alloc"
)

// The calls of a checked heap. Each looks first and changes then, so that a
// call that panics or returns an error has changed nothing of the block it was
// given.
//
// What a write past the end or before the start does: the block stays live, and
// every Free and Realloc of it faults until the program ends; nothing else is
// affected, for what a program can reach by such a write are the bytes of its
// own blocks and records, and the core trusts neither. So the heap goes on. It
// refuses further work, as in mode Fast, when the metadata proper is damaged.
// A freed block that was written to is condemned: reported by the call that met
// it, then by Check as long as its record is whole, and never used again.

// malloc is Malloc, Calloc (zero) and MallocAligned.
func (c *checked) malloc(op string, size, align int, zero bool) ([]byte, error) {
	b, err := c.allocate(op, size, align, zero)
	if err == nil && c.h.sink != nil {
		k := alloc.EventMalloc
		if zero {
			k = alloc.EventCalloc
		}
		c.emit(k, uint64(addrOf(b)-addrOf(c.h.mem)), size)
	}
	return b, err
}

// allocate is malloc without a word to the sink.
func (c *checked) allocate(op string, size, align int, zero bool) ([]byte, error) {
	h := c.h
	if h.refused() {
		return nil, h.refusal(op)
	}
	if align <= 0 || align&(align-1) != 0 {
		return nil, &alloc.Fault{Op: op, Size: size, Err: alloc.ErrAlign}
	}
	if uint64(size) >= h.end { // negative ones too
		return nil, h.badSize(op, size)
	}
	if b, err := c.guards.malloc(op, size, align, zero); b != nil || err != nil {
		return b, err
	}
	a := anywhere()
	if align > granule {
		a.align = uint64(align) >> granuleShift
		a.bias = (h.baseGranule() + recordSize/granule) & (a.align - 1)
		if a.up(h.first) >= h.endGranule() {
			return nil, &alloc.Fault{Op: op, Size: size, Err: alloc.ErrAlign}
		}
	}
	return c.allocateOn(a, op, size, zero)
}

// allocateOn is allocate for a block with a canary, whose core block is placed on
// a.
func (c *checked) allocateOn(a grid, op string, size int, zero bool) ([]byte, error) {
	h := c.h
	core, err := c.take(a, op, size)
	if err != nil {
		return nil, err
	}
	end := core + uint64(h.usable(core))
	if at, dirty := c.dirtyByte(core, end, false); dirty {
		return nil, c.condemn(op, core, at)
	}
	r := record{size: uint64(size), stack: h.trace.sample(size)}
	user := core + recordSize
	if zero {
		h.clear(user, user+uint64(size))
	} else {
		c.fill(user, user+uint64(size), freshByte)
	}
	c.seat(core, r)
	c.mallocs++
	c.requested += size
	return h.block(user, size), nil
}

// seat writes the canary and the record of the block at core, which is there
// for Open once it has a record.
func (c *checked) seat(core uint64, r record) {
	c.writeCanary(core, c.canary(core, r))
	c.put(core, r)
}

// widened is told that the block at core, which had so many bytes, has become a little larger.
func (c *checked) widened(core, old uint64) {
	b := c.h.mem[core+old : core+uint64(c.h.usable(core))]
	r, whole := c.get(core)
	switch {
	case r.freed:
		set(b, c.poison)
		c.quarantine.kept += uint64(len(b))
	case whole:
		w := c.word(core)
		for i := range b {
			b[i] = pattern(w, int(old-recordSize-r.size)+i)
		}
	}
}

// condemn keeps the core block at core, which was just taken and in which the
// byte at was written after free, out of use for good.
func (c *checked) condemn(op string, core, at uint64) *alloc.Fault {
	q := &c.quarantine
	q.condemned = append(q.condemned, core)
	q.freeStack[core] = 0
	q.kept += uint64(c.h.usable(core))
	return c.lateWrite(op, at, nil, false)
}

// take returns a core block on a for size bytes, their record and canary. When
// the core has no room the quarantine, then the addresses of the freed guarded
// blocks are given up.
func (c *checked) take(a grid, op string, size int) (uint64, error) {
	h := c.h
	for {
		core := h.takeCore(uint64(size)+overhead, a)
		switch {
		case core != 0:
			return core, nil
		case h.err != nil:
			return 0, h.refusal(op)
		case c.quarantine.blocks() > 0:
			if f := c.drain(op); f != nil {
				return 0, f
			}
		case !c.guards.giveUp():
			return 0, h.noMemory(op, size)
		}
	}
}

// takeCore returns a block of the core of at least size bytes, placed on a, or 0
// if there is no room.
func (h *Heap) takeCore(size uint64, a grid) uint64 {
	if size >= h.end {
		return 0
	}
	if a.align == 1 && size <= uint64(h.maxSize) {
		ci := h.classFor(int(size))
		if ci != 0 && h.refill(ci) {
			off := uint64(addrOf(h.takeSlot(&h.classes[ci], 0)) - addrOf(h.mem))
			h.classes[ci].avail = 0
			return off
		}
	}
	return h.spanOrPurge(spanFor(int(size)), a) << granuleShift
}

// free is Free.
func (c *checked) free(b []byte) {
	t := c.find("free", b)
	c.ready("free", t)
	c.drop("free", t)
}

// ready panics if the live block t must not be freed now: its canary is broken,
// or a block that has to leave the quarantine for it was written to.
func (c *checked) ready(op string, t target) {
	if t.guarded {
		c.guards.ready(op, t)
		return
	}
	if f := c.overflow(op, t.core, t.record); f != nil {
		panic(f)
	}
	if size := uint64(c.h.usable(t.core)); size <= c.quarantine.most {
		if f := c.makeRoom(op, size); f != nil {
			panic(f)
		}
	}
}

// drop frees the live block t, which is ready for it: into the quarantine, or to the core at
// once if it is too large for that.
func (c *checked) drop(op string, t target) {
	h := c.h
	if h.sink != nil && op == "free" {
		c.emit(alloc.EventFree, t.user(), int(t.size))
	}
	c.frees++
	c.requested -= int(t.size)
	if t.guarded {
		c.guards.drop(t)
		return
	}
	size := uint64(h.usable(t.core))
	t.freed = true
	c.put(t.core, t.record) // first: if the process ends here, the block is a freed one
	c.wipe(t.core+recordSize, t.core+size)
	switch {
	case h.err != nil:
	case size > c.quarantine.most:
		c.erase(t.core)
		h.release(t.core)
	default:
		c.quarantine.push(t.core, size, h.trace.trace(t.stack != 0))
	}
	if h.err != nil {
		panic(&alloc.Fault{Op: op, Err: h.err})
	}
}

// realloc is Realloc and ReallocAligned of a block that is not nil.
func (c *checked) realloc(b []byte, size, align int) ([]byte, error) {
	h := c.h
	t := c.find("realloc", b)
	switch {
	case size < 0:
		return nil, &alloc.Fault{Op: "realloc", Size: size, Err: alloc.ErrSize}
	case size == 0:
		c.free(b)
		return nil, nil
	case uint64(size) >= h.end:
		return nil, h.badSize("realloc", size)
	}
	c.ready("realloc", t)
	// In a file a block never changes its size where it is: its record is two
	// words, and the process may end between them.
	if !t.guarded && !h.durable && addrOf(b)&uintptr(align-1) == 0 {
		if done, err := c.resize(t, size); done || err != nil {
			if err != nil {
				return nil, err
			}
			if h.sink != nil {
				c.emitRealloc(t.user(), t.user(), size)
			}
			return h.block(t.core+recordSize, size), nil
		}
	}
	return c.move(t, size, align)
}

// resize changes the size of the block t where it is, if the core can.
func (c *checked) resize(t target, size int) (done bool, err error) {
	h := c.h
	old := uint64(h.usable(t.core))
	need := uint64(size) + overhead
	if need < old && h.kinds[t.core>>unitShift] < kindRun {
		// The core may take the tail: it must hold what free bytes hold.
		c.wipe(t.core+recordSize+min(t.size, uint64(size)), t.core+old)
	}
	done = h.resize(t.core, int(need))
	if h.err != nil {
		return false, h.refusal("realloc")
	}
	if !done {
		c.seat(t.core, t.record)
		return false, nil
	}
	if end := t.core + uint64(h.usable(t.core)); end > old+t.core {
		if at, dirty := c.dirtyByte(t.core+old, end, false); dirty {
			c.seat(t.core, t.record)
			return false, c.lateWrite("realloc", at, nil, false)
		}
	}
	c.requested += size - int(t.size)
	user := t.core + recordSize
	if uint64(size) > t.size {
		c.fill(user+t.size, user+uint64(size), freshByte)
	}
	if t.stack == 0 {
		t.stack = h.trace.sample(size - int(t.size))
	}
	t.size = uint64(size)
	c.seat(t.core, t.record)
	return true, nil
}

// move gives the block t, which is ready to be freed, a new place.
func (c *checked) move(t target, size, align int) ([]byte, error) {
	h := c.h
	if t.size >= remapMin && uint64(size) > t.size && align == 1 && !t.guarded {
		return c.remap(t, size)
	}
	b, err := c.allocate("realloc", size, align, false)
	if err != nil {
		return nil, err
	}
	to := uint64(addrOf(b) - addrOf(h.mem))
	h.copy(to, t.user(), min(size, int(t.size)))
	if h.sink != nil {
		c.emitRealloc(t.user(), to, size)
	}
	c.drop("realloc", t)
	return b, nil
}

// remap is move for a large block, whose pages change their address instead of
// being copied.
func (c *checked) remap(t target, size int) ([]byte, error) {
	h := c.h
	pg := h.pageGranules
	b, err := c.allocateOn(grid{align: pg, bias: -(t.core >> granuleShift) & (pg - 1)}, "realloc", size, false)
	if err != nil {
		return nil, err
	}
	to := uint64(addrOf(b) - addrOf(h.mem))
	if !h.carry(to, t.user(), int(t.size)) {
		return nil, h.err
	}
	if h.sink != nil {
		c.emitRealloc(t.user(), to, size)
	}
	c.drop("realloc", t)
	return b, nil
}

// usable is Usable: the canary is not the caller's, so it is what was asked for.
func (c *checked) usable(b []byte) int { return int(c.find("usable", b).size) }

// emit reports what was done with the block at offset user: the row of the
// core's block was written, and its record if it has one, as guarded blocks
// have not.
func (c *checked) emit(k alloc.EventKind, user uint64, size int) {
	if c.guards.covers(user) {
		c.h.emitRow((user/c.h.pageSize - 1) * c.h.pageSize)
	} else {
		core := user - recordSize
		c.h.emitRow(core)
		c.h.access(alloc.EventWrite, core, recordSize)
	}
	c.h.sink(alloc.Event{Kind: k, Off: offset(user), Size: size, Usable: size})
}

// emitRealloc reports a Realloc.
func (c *checked) emitRealloc(from, to uint64, size int) {
	c.h.sink(alloc.Event{Kind: alloc.EventRealloc, Old: offset(from), Off: offset(to), Size: size, Usable: size})
}
