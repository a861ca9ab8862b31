package replay

import (
	"unsafe"

	"github.com/memlab-go/memlab/alloc"
)

// runPart executes operations lo to hi, at least one, with memory that is raw or may be
// objects of Go's heap.
func (p *Program) runPart(a alloc.Allocator, tab table, lo, hi int, raw bool) error {
	run := runPlain[*byte]
	if raw {
		run = runPlain[uintptr]
	}
	in, last := &p.code[lo], &p.code[hi-1]
	for {
		var err error
		// SAFETY: the table's base, which run indexes with the slots of p.
		in, err = run(a, unsafe.Pointer(unsafe.SliceData(tab)), in, last)
		if err == nil && in.op&opBig != 0 {
			err = p.runBig(a, tab, in)
		}
		if err != nil {
			return &OpError{p.Name, p.index(in) + 1, err}
		}
		if in == last {
			return nil
		}
		in = next(in)
	}
}

// runPlain executes the operations from in to last, or to the first whose sizes do not
// fit it, and returns which it came to and whether that one failed. This is the loop
// that is timed: one indirect call and one table access an operation. It steps through
// the program and the table, whose base it is given, without bounds checks, as the
// replayer in C does. Memory that is raw, of which no block is an object of Go's heap that the
// table keeps alive, goes into the table as numbers: as pointers it would ask each time whether
// the collector is to be told, which takes up to 7 % of the time.
func runPlain[E *byte | uintptr](a alloc.Allocator, base unsafe.Pointer, in, last *instr) (*instr, error) {
	for {
		if in.op == opFree {
			entry := entryOf(base, in.slot)
			q := *entry
			put(entry, E(unsafe.Pointer(nil)))
			a.Free(view(q, int(in.b)))
		} else {
			var b []byte
			var err error
			switch in.op {
			case opMalloc:
				b, err = a.Malloc(int(in.a))
			case opRealloc:
				b, err = a.Realloc(view(*entryOf(base, in.slot), int(in.b)), int(in.a))
			case opCalloc:
				b, err = a.Calloc(int(in.a), int(in.b))
			default:
				return in, nil
			}
			if err != nil {
				return in, err
			}
			slot := in.slot
			if len(b) > 0 {
				b[0] = byte(slot)
			}
			// SAFETY: SliceData only reads the header of b.
			put(entryOf(base, slot), E(unsafe.Pointer(unsafe.SliceData(b))))
		}
		if in == last {
			return in, nil
		}
		in = next(in)
	}
}

// entryOf returns the entry of a slot in the table at base. It is computed when it is
// needed, so as not to be kept over a call.
func entryOf(base unsafe.Pointer, slot uint32) **byte {
	// SAFETY: the compiler numbers slots below Program.Slots, the length of the table.
	return (**byte)(unsafe.Add(base, uintptr(slot)*unsafe.Sizeof(base)))
}

// put stores v, which is a pointer or its number.
func put[E *byte | uintptr](entry **byte, v E) {
	// SAFETY: both have the size of a pointer. See runPlain for numbers.
	*(*E)(unsafe.Pointer(entry)) = v
}

// next returns the instruction after in, which is not the last.
func next(in *instr) *instr {
	// SAFETY: it lies in the same array.
	return (*instr)(unsafe.Add(unsafe.Pointer(in), unsafe.Sizeof(*in)))
}

// index returns which operation of p in points to.
func (p *Program) index(in *instr) int {
	// SAFETY: both point into p.code; the difference is a number only.
	return int((uintptr(unsafe.Pointer(in)) - uintptr(unsafe.Pointer(unsafe.SliceData(p.code)))) / unsafe.Sizeof(*in))
}
