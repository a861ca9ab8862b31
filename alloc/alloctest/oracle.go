package alloctest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/memlab-go/memlab/alloc"
)

// An Oracle drives an allocator and keeps a shadow of what must be true of it.
// It is not safe for concurrent use.
//
// After every operation: the block has the size asked for and cap == len, is
// aligned, and overlaps no other live block; what Realloc kept is what was
// there; what Calloc gave is zero; a block that goes away still holds what was
// written. [Oracle.Verify] looks at all blocks and at the allocator's own
// Check and Stats.
type Oracle struct {
	a     alloc.Allocator
	live  map[int]*shadow
	order []*shadow // the live blocks by address
	next  uint64    // stamp of the next block

	requested int // bytes asked for, of the live blocks
}

// A shadow is what the oracle knows of one live block.
type shadow struct {
	b     []byte
	stamp uint64
}

// A Violation is a broken promise of an allocator, as the oracle saw it.
type Violation struct {
	Op   Op     // the operation, if any
	What string // what is wrong
}

// Error says which operation broke which promise.
func (v *Violation) Error() string {
	if v.Op.Kind == 0 {
		return "alloctest: " + v.What
	}
	return fmt.Sprintf("alloctest: %v: %s", v.Op, v.What)
}

// NewOracle returns an oracle for a, which must have no live blocks of others
// if its counters are to be checked.
func NewOracle(a alloc.Allocator) *Oracle {
	return &Oracle{a: a, live: map[int]*shadow{}}
}

// Live returns the number of live blocks.
func (o *Oracle) Live() int { return len(o.live) }

// Requested returns the bytes asked for of the live blocks.
func (o *Oracle) Requested() int { return o.requested }

// Block returns the live block of id, or nil. The caller must not write to it.
func (o *Oracle) Block(id int) []byte {
	if s := o.live[id]; s != nil {
		return s.b
	}
	return nil
}

// Do performs op. A broken promise is a [*Violation]; so is a panic, since the
// operations of an oracle are all legal. Any other error is the allocator's:
// nothing was changed then, which is checked.
func (o *Oracle) Do(op Op) error {
	var err error
	if fault := alloc.Try(func() { err = o.do(op) }); fault != nil {
		return &Violation{op, "a legal call panicked: " + fault.Error()}
	}
	return err
}

func (o *Oracle) do(op Op) error {
	s := o.live[op.ID]
	switch op.Kind {
	case OpMalloc, OpCalloc:
		if s != nil {
			return nil
		}
		return o.allocate(op)
	case OpRealloc:
		if s == nil {
			return nil
		}
		return o.realloc(op, s)
	case OpFree:
		if s == nil {
			return nil
		}
		if err := s.verify(op); err != nil {
			return err
		}
		o.drop(op.ID, s)
		o.a.Free(s.b)
		return nil
	}
	return fmt.Errorf("alloctest: unknown operation %v", op)
}

// allocate does OpMalloc and OpCalloc.
func (o *Oracle) allocate(op Op) error {
	var b []byte
	var err error
	size := op.Size
	switch al, aligned := o.a.(alloc.Aligned); {
	case op.Kind == OpCalloc:
		if size, err = alloc.CheckedSize(op.Count, op.Size); err != nil {
			return err
		}
		b, err = o.a.Calloc(op.Count, op.Size)
	case op.Align != 0 && aligned:
		b, err = al.MallocAligned(op.Size, op.Align)
	default:
		op.Align = 0
		b, err = o.a.Malloc(op.Size)
	}
	if err != nil {
		if b != nil {
			return &Violation{op, "a block came with the error " + err.Error()}
		}
		return err
	}
	if op.Kind == OpCalloc && !isZero(b) {
		return &Violation{op, "calloc gave bytes that are not zero"}
	}
	return o.adopt(op, b, size)
}

// realloc does OpRealloc on the live block s.
func (o *Oracle) realloc(op Op, s *shadow) error {
	if err := s.verify(op); err != nil {
		return err
	}
	kept := slices.Clone(s.b[:min(len(s.b), op.Size)])
	var b []byte
	var err error
	if al, ok := o.a.(alloc.Aligned); ok && op.Align != 0 {
		b, err = al.ReallocAligned(s.b, op.Size, op.Align)
	} else {
		op.Align = 0
		b, err = o.a.Realloc(s.b, op.Size)
	}
	if err != nil {
		if v := s.verify(op); v != nil {
			return v // the old block must be untouched
		}
		return err
	}
	o.drop(op.ID, s)
	if op.Size == 0 {
		if b != nil {
			return &Violation{op, "realloc to 0 returned a block"}
		}
		return nil
	}
	if len(b) >= len(kept) && !slices.Equal(b[:len(kept)], kept) {
		return &Violation{op, "realloc did not keep the contents"}
	}
	return o.adopt(op, b, op.Size)
}

// adopt checks the shape and place of a new block and fills it.
func (o *Oracle) adopt(op Op, b []byte, size int) error {
	if b == nil || len(b) != size || cap(b) != size {
		return &Violation{op, fmt.Sprintf("block is nil: %v, len %d, cap %d, want len and cap %d", b == nil, len(b), cap(b), size)}
	}
	want := uintptr(max(op.Align, naturalAlign(size)))
	if addr(b)%want != 0 {
		return &Violation{op, fmt.Sprintf("address %#x is not a multiple of %d", addr(b), want)}
	}
	s := &shadow{b: b, stamp: o.next}
	o.next++
	i, exact := o.find(addr(b))
	if exact {
		return &Violation{op, fmt.Sprintf("address %#x is that of a live block", addr(b))}
	}
	if i > 0 && end(o.order[i-1].b) > addr(b) {
		return &Violation{op, fmt.Sprintf("block at %#x begins inside the live block at %#x", addr(b), addr(o.order[i-1].b))}
	}
	if i < len(o.order) && end(b) > addr(o.order[i].b) {
		return &Violation{op, fmt.Sprintf("block at %#x reaches into the live block at %#x", addr(b), addr(o.order[i].b))}
	}
	o.order = slices.Insert(o.order, i, s)
	o.live[op.ID] = s
	o.requested += size
	s.fill()
	return nil
}

// drop forgets the live block s of id.
func (o *Oracle) drop(id int, s *shadow) {
	delete(o.live, id)
	o.requested -= len(s.b)
	if i, ok := o.find(addr(s.b)); ok {
		o.order = slices.Delete(o.order, i, i+1)
	}
}

// find returns where the block at address a is, or belongs, in o.order.
func (o *Oracle) find(a uintptr) (int, bool) {
	return slices.BinarySearchFunc(o.order, a, func(s *shadow, a uintptr) int {
		switch x := addr(s.b); {
		case x < a:
			return -1
		case x > a:
			return 1
		}
		return 0
	})
}

// Verify checks the contents of every live block, the allocator's Check and
// the laws of its Stats. O(live bytes).
func (o *Oracle) Verify() error {
	var errs []error
	for _, s := range o.order {
		if err := s.verify(Op{}); err != nil {
			errs = append(errs, err)
		}
	}
	if c, ok := o.a.(alloc.Checker); ok {
		if err := c.Check(); err != nil {
			errs = append(errs, &Violation{What: "Check: " + err.Error()})
		}
	}
	if st, ok := o.a.(alloc.Statser); ok {
		s := st.Stats()
		errs = append(errs, CheckStats(s))
		if s.LiveBlocks != len(o.live) {
			errs = append(errs, &Violation{What: fmt.Sprintf("Stats.LiveBlocks = %d, want %d", s.LiveBlocks, len(o.live))})
		}
		if s.Requested < o.requested {
			errs = append(errs, &Violation{What: fmt.Sprintf("Stats.Requested = %d, want at least %d", s.Requested, o.requested)})
		}
	}
	return errors.Join(errs...)
}

// FreeAll frees every live block and verifies.
func (o *Oracle) FreeAll() error {
	for id := range o.live {
		if err := o.Do(Op{Kind: OpFree, ID: id}); err != nil {
			return err
		}
	}
	return o.Verify()
}

// CheckStats returns the laws of [alloc.Stats] that s breaks, joined, or nil.
func CheckStats(s alloc.Stats) error {
	var errs []error
	law := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, &Violation{What: "Stats: " + fmt.Sprintf(format, args...)})
		}
	}
	law(s.Requested <= s.Live, "requested %d > live %d", s.Requested, s.Live)
	law(s.Live <= s.Committed, "live %d > committed %d", s.Live, s.Committed)
	law(s.Committed <= s.Reserved, "committed %d > reserved %d", s.Committed, s.Reserved)
	law(s.Live+s.Retained+s.Quarantined+s.Metadata <= s.Committed,
		"live %d + retained %d + quarantined %d + metadata %d > committed %d",
		s.Live, s.Retained, s.Quarantined, s.Metadata, s.Committed)
	law(uint64(s.LiveBlocks) == s.Mallocs-s.Frees, "live blocks %d != mallocs %d - frees %d", s.LiveBlocks, s.Mallocs, s.Frees)
	law(s.LargestFree <= s.Retained, "largest free %d > retained %d", s.LargestFree, s.Retained)
	law(min(s.LiveBlocks, s.Live, s.Requested, s.Reserved, s.Committed, s.Metadata, s.Retained,
		s.Quarantined, s.FreeBlocks, s.LargestFree) >= 0, "a counter is negative: %+v", s)
	law(s.Resident >= -1, "resident %d", s.Resident)
	return errors.Join(errs...)
}

// naturalAlign is the alignment that the contract gives to a block of size bytes.
func naturalAlign(size int) int {
	if size >= 16 {
		return 16
	}
	return 8
}

// end is the address after the block; an empty block owns one byte.
func end(b []byte) uintptr { return addr(b) + uintptr(max(len(b), 1)) }
