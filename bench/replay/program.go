package replay

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/memlab-go/memlab/bench/trace"
)

// A Program is a trace made ready for execution: 16 bytes an operation and a
// table of one pointer per block that is live at a time. Sizes of 4 GiB and
// more are kept apart. A Program does not change and may be shared.
type Program struct {
	Name     string
	Ops      int   // operations of the trace
	PeakLive int64 // largest sum of live sizes, in bytes
	PeakOp   int   // the first operation after which it is reached
	Slots    int   // blocks live at a time, and slot 0, which is nil for ever

	code []instr
	left []instr // frees of what is live at the end, in order of allocation ids
	big  [][2]int64
}

// An instr is one operation. What a and b mean depends on op:
//
//	opMalloc   a: size                opFree     b: the block's size
//	opCalloc   a: count, b: size      opRealloc  a: new size, b: the block's size
//
// With opBig added, a indexes Program.big, which holds the two.
type instr struct{ slot, op, a, b uint32 }

const (
	opMalloc  = uint32(trace.Malloc)
	opFree    = uint32(trace.Free)
	opRealloc = uint32(trace.Realloc)
	opCalloc  = uint32(trace.Calloc)
	opBig     = 8
)

// A compiler assigns slots to ids. Slot 0 stays nil, so that a free of nil and
// a realloc of what is not live need no case of their own.
type compiler struct {
	p    *Program
	slot []uint32 // of each id, 0 while it is not live
	size []int64  // of each id
	idle []uint32 // slots to use again, the last first
	live int64
}

// Compile makes a Program of t, which must be sound (see [trace.Trace.Check]).
// O(ops).
func Compile(t *trace.Trace) (*Program, error) {
	c := compiler{
		p:    &Program{Name: t.Name, Ops: len(t.Ops), Slots: 1, code: make([]instr, 0, len(t.Ops))},
		slot: make([]uint32, t.IDs),
		size: make([]int64, t.IDs),
	}
	for i, o := range t.Ops {
		if o.Bytes() > math.MaxInt || o.Size > math.MaxInt || o.Count > math.MaxInt {
			return nil, fmt.Errorf("%s: operation %d: %d bytes are more than this system can address", t.Name, i+1, o.Bytes())
		}
		c.p.code = append(c.p.code, c.op(o))
		if c.live > c.p.PeakLive {
			c.p.PeakLive, c.p.PeakOp = c.live, i
		}
	}
	for id, slot := range c.slot {
		if slot != 0 {
			c.p.left = append(c.p.left, c.pack(slot, opFree, 0, c.size[id]))
		}
	}
	return c.p, nil
}

func (c *compiler) op(o trace.Op) instr {
	if o.ID == trace.NoID {
		return instr{op: opFree}
	}
	slot, old := c.slot[o.ID], c.size[o.ID]
	c.live += o.Bytes() - old
	c.size[o.ID] = o.Bytes()
	if slot == 0 && o.Kind != trace.Free {
		slot = c.takeSlot()
		c.slot[o.ID] = slot
	}
	switch o.Kind {
	case trace.Malloc:
		return c.pack(slot, opMalloc, o.Size, 0)
	case trace.Calloc:
		return c.pack(slot, opCalloc, o.Count, o.Size)
	case trace.Realloc:
		if o.Size == 0 {
			c.drop(o.ID)
		}
		return c.pack(slot, opRealloc, o.Size, old)
	default:
		c.drop(o.ID)
		return c.pack(slot, opFree, 0, old)
	}
}

func (c *compiler) takeSlot() uint32 {
	if n := len(c.idle); n > 0 {
		s := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return s
	}
	c.p.Slots++
	return uint32(c.p.Slots - 1)
}

// drop ends the block of id; its slot is used by the next block.
func (c *compiler) drop(id int32) {
	if s := c.slot[id]; s != 0 {
		c.idle = append(c.idle, s)
		c.slot[id] = 0
	}
}

func (c *compiler) pack(slot, op uint32, a, b int64) instr {
	if a > math.MaxUint32 || b > math.MaxUint32 {
		c.p.big = append(c.p.big, [2]int64{a, b})
		return instr{slot, op | opBig, uint32(len(c.p.big) - 1), 0}
	}
	return instr{slot, op, uint32(a), uint32(b)}
}

// unpack returns the operation and its two numbers.
func (p *Program) unpack(in *instr) (op uint32, a, b int64) {
	if in.op&opBig != 0 {
		return in.op &^ opBig, p.big[in.a][0], p.big[in.a][1]
	}
	return in.op, int64(in.a), int64(in.b)
}

// head returns the first n operations of p, for warming up. What is live after
// them is not freed.
func (p *Program) head(n int) *Program {
	h := *p
	h.code, h.left = p.code[:min(n, len(p.code))], nil
	return &h
}

// WriteBinary writes p for replayers in other languages. All words are
// little-endian and of 32 bits unless stated:
//
//	"mlprog1\n"  8 bytes
//	slots, operations, frees of what is left, 0
//	peak live bytes, 64 bits
//	the operations, then the frees, 16 bytes each: slot, op, a, b
//
// Op is 0 malloc, 1 free, 2 realloc, 3 calloc; a and b are as at the type
// instr: sizes asked for, and in b of a free or realloc the size before. A
// program with sizes of 4 GiB and more is refused.
func (p *Program) WriteBinary(w io.Writer) error {
	if len(p.big) > 0 {
		return fmt.Errorf("replay: %s has sizes of 4 GiB and more, which the binary form cannot hold", p.Name)
	}
	buf := []byte("mlprog1\n")
	for _, v := range [...]int{p.Slots, len(p.code), len(p.left), 0} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(v))
	}
	buf = binary.LittleEndian.AppendUint64(buf, uint64(p.PeakLive))
	for _, code := range [...][]instr{p.code, p.left} {
		for _, in := range code {
			buf = binary.LittleEndian.AppendUint32(buf, in.slot)
			buf = binary.LittleEndian.AppendUint32(buf, in.op)
			buf = binary.LittleEndian.AppendUint32(buf, in.a)
			buf = binary.LittleEndian.AppendUint32(buf, in.b)
		}
	}
	_, err := w.Write(buf)
	return err
}
