package segregated

import (
	"slices"

	"github.com/memlab-go/memlab/alloc"
)

// defaultQuarantine is how many bytes of freed blocks a checked heap holds back.
const defaultQuarantine = 1 << 20

// quarantine holds freed blocks back from reuse, first in, first out, so that a
// late write is found in them and a second free is told from the free of a new
// block at the address. The core counts them as live. They are entries without
// pointers: the collector does not look at them.
type quarantine struct {
	most      uint64            // bytes it may hold
	bytes     uint64            // bytes it holds, those of condemned blocks not included
	queue     []uint64          // core blocks, oldest first, from head on
	head      int               // of queue
	freeStack map[uint64]uint32 // by core block, held or condemned: the stack of its free, 0 if not traced
	condemned []uint64          // core blocks that were written to; never released
	kept      uint64            // bytes of those
}

// newQuarantine returns one for Options.Quarantine.
func newQuarantine(size int) quarantine {
	q := quarantine{freeStack: map[uint64]uint32{}}
	switch {
	case size == 0:
		q.most = defaultQuarantine
	case size > 0:
		q.most = uint64(size)
	}
	return q
}

// blocks returns how many blocks are held, without the condemned ones.
func (q *quarantine) blocks() int { return len(q.queue) - q.head }

// has reports whether the core block was freed and is held.
func (q *quarantine) has(core uint64) bool {
	_, ok := q.freeStack[core]
	return ok
}

// push adds a core block of size bytes.
func (q *quarantine) push(core, size uint64, stack uint32) {
	if q.head > 64 && q.head > len(q.queue)/2 {
		q.queue = q.queue[:copy(q.queue, q.queue[q.head:])]
		q.head = 0
	}
	q.queue = append(q.queue, core)
	q.freeStack[core] = stack
	q.bytes += size
}

// pop removes the oldest block; there must be one.
func (q *quarantine) pop(size uint64) {
	delete(q.freeStack, q.queue[q.head])
	q.head++
	q.bytes -= size
}

// makeRoom releases blocks until size more bytes have room, or none is left.
// It stops at a block that was written to after its free, which it returns as a
// fault of op and condemns.
func (c *checked) makeRoom(op string, size uint64) *alloc.Fault {
	q := &c.quarantine
	for q.blocks() > 0 && q.bytes+size > q.most {
		if f := c.evict(op); f != nil {
			return f
		}
	}
	return nil
}

// drain releases all blocks, or stops as makeRoom does.
func (c *checked) drain(op string) *alloc.Fault {
	for c.quarantine.blocks() > 0 {
		if f := c.evict(op); f != nil {
			return f
		}
	}
	return nil
}

// evict looks at the oldest block and gives it to the core. One that was
// written to is condemned instead.
func (c *checked) evict(op string) *alloc.Fault {
	q := &c.quarantine
	core := q.queue[q.head]
	size := uint64(c.h.usable(core))
	if f := c.held(op, core); f != nil {
		stack := q.freeStack[core]
		q.pop(size)
		q.freeStack[core] = stack
		q.condemned = append(q.condemned, core)
		q.kept += size
		return f
	}
	q.pop(size)
	c.erase(core)
	c.h.release(core)
	return nil
}

// held looks at a block in quarantine and returns what was written to it.
func (c *checked) held(op string, core uint64) *alloc.Fault {
	r, whole := c.get(core)
	if !whole || !r.freed {
		f := c.underflow(op, core)
		if f.Err == alloc.ErrUnderflow && f.Block == nil {
			f.Err, f.Detail = alloc.ErrWriteAfterFree, "write after free: the record of a freed block is broken"
		}
		f.FreeStack = c.stackOf(c.quarantine.freeStack[core])
		return f
	}
	end := core + uint64(c.h.usable(core))
	at, dirty := c.dirtyByte(core+recordSize, end, true)
	if !dirty {
		return nil
	}
	f := c.lateWrite(op, at, &alloc.Block{Off: offset(core + recordSize), Size: int(r.size)}, true)
	f.AllocStack, f.FreeStack = c.stackOf(r.stack), c.stackOf(c.quarantine.freeStack[core])
	return f
}

// isCondemned reports whether the core block was condemned.
func (q *quarantine) isCondemned(core uint64) bool { return slices.Contains(q.condemned, core) }
