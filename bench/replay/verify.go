package replay

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/bench/trace"
)

// Verify replays t twice, each time on a fresh heap of e, under an oracle that
// knows what a correct allocator may answer:
//
//	length     len and cap are the size asked for
//	alignment  e.Align for 16 bytes and more, 8 at most below
//	overlap    no two live blocks share a byte, empty ones not even their address
//	contents   a block holds what was last written to it: checked at its free, its
//	           realloc and the end of the trace; realloc keeps the common prefix
//	zeroes     calloc's blocks are zero
//	laws       Check returns nil at the end, and again after everything was freed
//
// The error is an *[OpError] where an operation is to blame. Memory that runs
// out is an error as well. O(bytes of all blocks).
func Verify(t *trace.Trace, e Entry, cfg Config) error {
	pat := newPatterns()
	for range 2 {
		h, err := e.New(cfg)
		if err != nil {
			return err
		}
		o := oracle{h: h, align: e.Align, pat: pat, shadow: newShadow(e.Align), blocks: make([]block, t.IDs), trace: t, cfg: &cfg, mover: newMover(e, t.PeakLive())}
		if err := o.mover.start(h, o.moved); err != nil {
			return err
		}
		if err := errors.Join(o.replay(), closeHeap(h)); err != nil {
			return err
		}
	}
	return nil
}

// closeHeap closes a heap that is expected to be empty, or whose error does not
// matter any more.
func closeHeap(h Heap) error {
	if err := h.Close(); err != nil && !errors.Is(err, alloc.ErrLeak) {
		return err
	}
	return nil
}

// A block is what the oracle knows of one id.
type block struct {
	b   []byte // nil while the id is not live
	gen uint64 // chooses the pattern
}

type oracle struct {
	h      Heap
	align  int
	pat    *patterns
	shadow *shadow
	blocks []block
	trace  *trace.Trace
	cfg    *Config
	mover  *mover // nil unless the entry is to be compacted
	gen    uint64
	op     int // the operation under way, from 1
}

// replay runs the trace and the checks after it. A panic of the allocator on a
// sound trace is its fault and becomes an error.
func (o *oracle) replay() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &OpError{o.trace.Name, o.op, fmt.Errorf("the allocator panicked: %v", r)}
		}
	}()
	for i, op := range o.trace.Ops {
		o.op = i + 1
		if i%stopEvery == 0 && o.cfg.stopped() {
			return &OpError{o.trace.Name, i, ErrStopped}
		}
		if err := o.step(op); err != nil {
			return &OpError{o.trace.Name, o.op, err}
		}
	}
	if err := o.laws("at the end of the trace"); err != nil {
		return err
	}
	for id := range o.blocks {
		if err := o.free(int32(id)); err != nil {
			return fmt.Errorf("%s: at the end: %w", o.trace.Name, err)
		}
	}
	return o.laws("after everything was freed")
}

func (o *oracle) laws(when string) error {
	c, ok := o.h.(alloc.Checker)
	if !ok {
		return nil
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("%s: %s: %w", o.trace.Name, when, err)
	}
	return nil
}

func (o *oracle) step(op trace.Op) error {
	switch op.Kind {
	case trace.Malloc:
		b, err := o.h.Malloc(int(op.Size))
		if err != nil {
			return err
		}
		return o.take(op.ID, b, int(op.Size))
	case trace.Calloc:
		b, err := o.h.Calloc(int(op.Count), int(op.Size))
		if err != nil {
			return err
		}
		if at := o.pat.notZero(b); at >= 0 {
			return fmt.Errorf("id %d: calloc left byte %d of %d as %#02x, not 0", op.ID, at, len(b), b[at])
		}
		return o.take(op.ID, b, int(op.Bytes()))
	case trace.Realloc:
		return o.realloc(op.ID, int(op.Size))
	default:
		if op.ID == trace.NoID {
			o.h.Free(nil)
			return nil
		}
		return o.free(op.ID)
	}
}

// take checks a block that was handed out, claims its bytes and fills it.
func (o *oracle) take(id int32, b []byte, size int) error {
	if len(b) != size || cap(b) != size {
		return fmt.Errorf("id %d: asked for %d bytes, got len %d and cap %d", id, size, len(b), cap(b))
	}
	if b == nil {
		return fmt.Errorf("id %d: got nil without an error", id)
	}
	addr, align := address(b), min(o.align, 8)
	if size >= 16 {
		align = o.align
	}
	if addr%uintptr(align) != 0 {
		return fmt.Errorf("id %d: block of %d bytes at %#x is not aligned to %d", id, size, addr, align)
	}
	if clash, ok := o.shadow.claim(addr, size); !ok {
		return fmt.Errorf("id %d: block [%#x, %#x) overlaps a live block at %#x", id, addr, addr+uintptr(size), clash)
	}
	o.gen++
	o.pat.fill(b, o.gen)
	o.blocks[id] = block{b, o.gen}
	return o.mover.placed(uint32(id), b)
}

// moved says that the block of id is at to now.
func (o *oracle) moved(id uint32, to []byte) {
	bl := &o.blocks[id]
	o.shadow.release(address(bl.b), len(bl.b))
	if clash, ok := o.shadow.claim(address(to), len(bl.b)); !ok {
		panic(fmt.Sprintf("id %d: block [%#x, %#x) moves over a live block at %#x", id, address(to), address(to)+uintptr(len(bl.b)), clash))
	}
	bl.b = to[:len(bl.b):len(bl.b)]
}

// give checks that the block of id still holds its pattern and ends its claim.
func (o *oracle) give(id int32) error {
	bl := o.blocks[id]
	if bl.b == nil {
		return nil
	}
	if at := o.pat.differs(bl.b, bl.gen); at >= 0 {
		return fmt.Errorf("id %d: byte %d of %d of a live block at %#x was changed", id, at, len(bl.b), address(bl.b))
	}
	o.shadow.release(address(bl.b), len(bl.b))
	o.blocks[id].b = nil
	return nil
}

func (o *oracle) free(id int32) error {
	b := o.blocks[id].b
	if err := o.give(id); err != nil {
		return err
	}
	o.h.Free(b)
	return nil
}

func (o *oracle) realloc(id int32, size int) error {
	old := o.blocks[id]
	if err := o.give(id); err != nil {
		return err
	}
	b, err := o.h.Realloc(old.b, size)
	if err != nil {
		return err
	}
	if size == 0 && old.b != nil {
		if b != nil {
			return fmt.Errorf("id %d: realloc to 0 bytes returned a block, not nil", id)
		}
		return nil
	}
	if old.b != nil && len(b) >= min(len(old.b), size) {
		if at := o.pat.differs(b[:min(len(old.b), size)], old.gen); at >= 0 {
			return fmt.Errorf("id %d: realloc from %d to %d bytes changed byte %d", id, len(old.b), size, at)
		}
	}
	return o.take(id, b, size)
}
