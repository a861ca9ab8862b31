package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/memlab-go/memlab/bench/trace"
)

// A record of record.c: op, size, block and old, eight bytes each, in the order of the machine.
const recordSize = 32

// magic is the op of the first record.
const magic = 0x31636572626d656d

const (
	opEnd = iota
	opMalloc
	opRealloc
	opFree
)

// Lost counts what a recording does not explain. Both are 0 unless the program has other ways
// to its allocator than the functions that are recorded.
type Lost struct {
	Frees   int // frees of blocks that nobody was seen to allocate; left out of the trace
	Mallocs int // blocks handed out again without a free, for which one was put in
}

// Convert makes a trace of what record.c wrote. A block is known by an id that no other ever
// has; Realloc keeps it. Sizes of 0 are written as 1, as the form of the trace asks.
// The error names the offset of what is wrong. O(calls).
func Convert(r io.Reader) (*trace.Trace, Lost, error) {
	c := converter{live: map[uint64]int32{}, t: &trace.Trace{Weight: 1}}
	in := bufio.NewReaderSize(r, 1<<16)
	var buf [recordSize]byte
	for at := int64(0); ; at += recordSize {
		switch _, err := io.ReadFull(in, buf[:]); {
		case at == 0 && (err == io.EOF || err == io.ErrUnexpectedEOF):
			return nil, c.lost, errors.New("record: offset 0: the file has no first record")
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return c.t, c.lost, nil
		case err != nil:
			return nil, c.lost, fmt.Errorf("record: offset %d: %w", at, err)
		}
		word := func(i int) uint64 { return binary.NativeEndian.Uint64(buf[8*i:]) }
		switch op := word(0); {
		case at == 0 && op != magic:
			return nil, c.lost, fmt.Errorf("record: offset 0: %#x is not the start of a recording", op)
		case at == 0:
		case op == opEnd:
			return c.t, c.lost, nil
		default:
			if err := c.add(op, word(1), word(2), word(3)); err != nil {
				return nil, c.lost, fmt.Errorf("record: offset %d: %w", at, err)
			}
		}
	}
}

// A converter gives the blocks of a recording ids.
type converter struct {
	t    *trace.Trace
	live map[uint64]int32 // id by address
	lost Lost
}

// add appends what one record says.
func (c *converter) add(op, size, block, old uint64) error {
	if size > math.MaxInt64 {
		return fmt.Errorf("a block of %d bytes", size)
	}
	n := max(int64(size), 1)
	switch op {
	case opFree:
		if !c.free(block) {
			c.lost.Frees++
		}
		return nil
	case opRealloc:
		if id, ok := c.live[old]; ok {
			delete(c.live, old)
			c.replace(block)
			c.live[block] = id
			c.t.Ops = append(c.t.Ops, trace.Op{Kind: trace.Realloc, ID: id, Size: n})
			return nil
		}
		fallthrough
	case opMalloc:
		if c.t.IDs == math.MaxInt32 {
			return errors.New("more blocks than a trace can name")
		}
		c.replace(block)
		id := int32(c.t.IDs)
		c.t.IDs++
		c.live[block] = id
		c.t.Ops = append(c.t.Ops, trace.Op{Kind: trace.Malloc, ID: id, Size: n})
		return nil
	}
	return fmt.Errorf("unknown operation %d", op)
}

// free ends the block at an address, and reports whether there was one.
func (c *converter) free(block uint64) bool {
	id, ok := c.live[block]
	if ok {
		delete(c.live, block)
		c.t.Ops = append(c.t.Ops, trace.Op{Kind: trace.Free, ID: id})
	}
	return ok
}

// replace ends the block that was at an address that is handed out.
func (c *converter) replace(block uint64) {
	if c.free(block) {
		c.lost.Mallocs++
	}
}
