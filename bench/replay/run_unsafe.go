package replay

import (
	"unsafe"

	"github.com/memlab-go/memlab/alloc"
)

// runPart executes operations lo to hi, at least one. This is the loop that is
// timed: one indirect call and one table access an operation. It steps through
// the program and the table without bounds checks, as the replayer in C does, and leaves
// what is rare to a function of its own, so that little is kept over the calls.
func (p *Program) runPart(a alloc.Allocator, tab table, lo, hi int) error {
	in, last := &p.code[lo], &p.code[hi-1]
	base := unsafe.Pointer(unsafe.SliceData(tab))
	for {
		// SAFETY: the compiler numbers slots below Program.Slots, the length of tab.
		entry := (**byte)(unsafe.Add(base, uintptr(in.slot)*unsafe.Sizeof(base)))
		if in.op == opFree {
			q := *entry
			*entry = nil
			a.Free(view(q, int(in.b)))
		} else {
			var b []byte
			var err error
			switch in.op {
			case opMalloc:
				b, err = a.Malloc(int(in.a))
			case opRealloc:
				b, err = a.Realloc(view(*entry, int(in.b)), int(in.a))
			default:
				b, err = p.rare(a, base, in)
			}
			if err != nil {
				return p.failed(in, err)
			}
			if len(b) > 0 {
				b[0] = byte(in.slot)
			}
			// SAFETY: as above; computed again so that it need not be kept over the call.
			*(**byte)(unsafe.Add(base, uintptr(in.slot)*unsafe.Sizeof(base))) = unsafe.SliceData(b)
		}
		if in == last {
			return nil
		}
		// SAFETY: in is not the last of code.
		in = (*instr)(unsafe.Add(unsafe.Pointer(in), unsafe.Sizeof(*in)))
	}
}

// rare executes a calloc, or an operation whose sizes do not fit its instruction. base
// is that of the table.
func (p *Program) rare(a alloc.Allocator, base unsafe.Pointer, in *instr) ([]byte, error) {
	// SAFETY: as in runPart.
	old := *(**byte)(unsafe.Add(base, uintptr(in.slot)*unsafe.Sizeof(base)))
	switch op, x, y := p.unpack(in); op {
	case opMalloc:
		return a.Malloc(int(x))
	case opRealloc:
		return a.Realloc(view(old, int(y)), int(x))
	case opCalloc:
		return a.Calloc(int(x), int(y))
	default:
		a.Free(view(old, int(y)))
		return nil, nil
	}
}

// failed says that a's allocator returned err for in.
func (p *Program) failed(in *instr, err error) error {
	return &OpError{p.Name, p.index(in) + 1, err}
}

// index returns which operation of p in points to.
func (p *Program) index(in *instr) int {
	// SAFETY: both point into p.code; the difference is a number only.
	return int((uintptr(unsafe.Pointer(in)) - uintptr(unsafe.Pointer(unsafe.SliceData(p.code)))) / unsafe.Sizeof(*in))
}
