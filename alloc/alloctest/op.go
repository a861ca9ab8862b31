package alloctest

import (
	"bufio"
	"fmt"
	"io"
)

// OpKind is the verb of an [Op].
type OpKind uint8

// The kinds of operation. The zero value is none of them.
const (
	OpMalloc  OpKind = iota + 1 // ID = Malloc(Size), or MallocAligned(Size, Align) if Align is not 0
	OpCalloc                    // ID = Calloc(Count, Size)
	OpRealloc                   // ID = Realloc(ID, Size), or ReallocAligned if Align is not 0
	OpFree                      // Free(ID)
)

// An Op is one call of an allocator, on a block that is known by a number.
//
// An allocation of an ID that is live, and a free or realloc of one that is
// not, does nothing: any part of a list of operations is itself a good list.
type Op struct {
	Kind  OpKind
	ID    int // which block
	Count int // OpCalloc: how many elements
	Size  int // bytes, of an element for OpCalloc
	Align int // 0: what the contract gives
}

// String formats o as a line of a .rep trace, with the alignment if it has one.
func (o Op) String() string {
	var s string
	switch o.Kind {
	case OpMalloc:
		s = fmt.Sprintf("a %d %d", o.ID, o.Size)
	case OpCalloc:
		s = fmt.Sprintf("c %d %d %d", o.ID, o.Count, o.Size)
	case OpRealloc:
		s = fmt.Sprintf("r %d %d", o.ID, o.Size)
	case OpFree:
		return fmt.Sprintf("f %d", o.ID)
	default:
		return fmt.Sprintf("?%d", o.Kind)
	}
	if o.Align != 0 {
		s += fmt.Sprintf(" # align %d", o.Align)
	}
	return s
}

// bytes is the size of the block that o asks for; the product may overflow.
func (o Op) bytes() int {
	if o.Kind == OpCalloc {
		return o.Count * o.Size
	}
	return o.Size
}

// WriteRep writes ops as a .rep trace: four header integers (peak live payload
// in bytes, number of ids, number of operations, weight 1), then one operation
// a line. Alignments are lost, operations that do nothing are left out, and a
// realloc to nothing is written as the free that it is.
func WriteRep(w io.Writer, ops []Op) error {
	var lines []string
	live := map[int]int{}
	ids, bytes, peak := 0, 0, 0
	for _, o := range ops {
		size, isLive := live[o.ID]
		switch alloc := o.Kind == OpMalloc || o.Kind == OpCalloc; {
		case alloc == isLive:
			continue
		case o.Kind == OpFree || o.Kind == OpRealloc && o.Size == 0:
			delete(live, o.ID)
			bytes -= size
			o = Op{Kind: OpFree, ID: o.ID}
		default:
			live[o.ID] = o.bytes()
			bytes += o.bytes() - size
		}
		o.Align = 0
		lines = append(lines, o.String())
		ids, peak = max(ids, o.ID+1), max(peak, bytes)
	}
	bw := bufio.NewWriter(w)
	fmt.Fprintf(bw, "%d\n%d\n%d\n1\n", peak, ids, len(lines))
	for _, l := range lines {
		fmt.Fprintln(bw, l)
	}
	return bw.Flush()
}

// DecodeOps turns a fuzzer's bytes into operations, four bytes each: verb and
// alignment, id, and a size that is small most of the time. Every input is
// good.
func DecodeOps(data []byte) []Op {
	var ops []Op
	for ; len(data) >= 4; data = data[4:] {
		o := Op{ID: int(data[1]) % 32, Size: int(data[2])}
		switch exp := data[3] >> 5; {
		case exp >= 6:
			o.Size <<= exp - 2 // up to 8 KiB
			o.Size += int(data[3] & 31)
		case exp >= 4:
			o.Size += int(data[3]&31) << 4
		}
		switch data[0] & 7 {
		case 0, 1, 2:
			o.Kind = OpMalloc
		case 3:
			o.Kind, o.Count = OpCalloc, int(data[0]>>4)
		case 4, 5:
			o.Kind = OpRealloc
		default:
			o.Kind, o.Size = OpFree, 0
		}
		if (o.Kind == OpMalloc || o.Kind == OpRealloc) && data[0]&0xc0 == 0xc0 {
			o.Align = 1 << (data[0] >> 3 & 7)
		}
		ops = append(ops, o)
	}
	return ops
}
