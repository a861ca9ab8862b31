package pagetable

import (
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/stretchr/testify/require"
)

// tinyRows is the specification of a Tiny entry as a table: the first row that
// matches says what the entry is. It was written from the privileged
// specification (section 10.3.2), not from the code.
var tinyRows = []struct {
	mask, want uint64
	level      int // -1: both
	is         string
}{
	{0x0001, 0x0000, -1, "not present"},
	{0x0006, 0x0004, -1, "reserved encoding"}, // W without R
	{0x000e, 0x0000, 0, "not a leaf"},         // a pointer at the last level
	{0x2000, 0x2000, -1, "reserved bit"},
	{0x4000, 0x4000, -1, "reserved bit"},
	{0x8000, 0x8000, -1, "reserved bit"},
	{0x001e, 0x0010, 1, "reserved bit"}, // U, A, D in a pointer
	{0x004e, 0x0040, 1, "reserved bit"},
	{0x008e, 0x0080, 1, "reserved bit"},
	{0x000e, 0x0000, 1, "table"},
	{0x0100, 0x0100, 1, "misaligned"}, // a leaf of 32 bytes starts at a multiple of 32
	{0x0200, 0x0200, 1, "misaligned"},
	{0x0000, 0x0000, -1, "leaf"},
}

var tinyKinds = map[string]vm.FaultKind{
	"not present": vm.NotPresent, "reserved encoding": vm.ReservedEncoding, "not a leaf": vm.NotLeaf,
	"reserved bit": vm.ReservedBit, "misaligned": vm.MisalignedSuperpage,
}

// tinyRights is the specification of rights: for mode, operation and flag bits
// XWR (3 to 1) and U (4), with the switches, may the access be made?
func tinyRights(pte uint64, acc vm.Access) bool {
	r, w, x, u := pte>>1&1 == 1, pte>>2&1 == 1, pte>>3&1 == 1, pte>>4&1 == 1
	sum, mxr := acc&vm.SUM != 0, acc&(vm.MXR|vm.HMXR) != 0
	switch {
	case acc.IsUser() && !u:
		return false
	case !acc.IsUser() && u && (acc.Op() == vm.Execute || !sum):
		return false
	case acc.Op() == vm.Read:
		return r || mxr && x
	case acc.Op() == vm.Write:
		return w
	}
	return x
}

// tinySpec interprets memory by the tables above: the physical address and the
// leaf's place, or the fault.
func tinySpec(mem []byte, root uint64, va uint64, acc vm.Access) (pa uint64, leafAt uint64, kind vm.FaultKind) {
	table := root
	for level := 1; ; level-- {
		at := table + (va>>(3+2*level)&3)*2
		pte := uint64(mem[at]) | uint64(mem[at+1])<<8
		is := ""
		for _, r := range tinyRows {
			if (r.level < 0 || r.level == level) && pte&r.mask == r.want {
				is = r.is
				break
			}
		}
		frame := pte >> 8 & 31 * 8
		switch {
		case is == "table":
			table = frame
		case is != "leaf":
			return 0, at, tinyKinds[is]
		case !tinyRights(pte, acc):
			return 0, at, vm.Protection
		case level == 1:
			return frame + va&31, at, 0
		default:
			return frame + va&7, at, 0
		}
	}
}

func tinyAccesses() (all []vm.Access) {
	for a := range vm.Access(vm.NumAccesses) {
		if a.Valid() && a&vm.HMXR == 0 {
			all = append(all, a)
		}
	}
	return all
}

// Every value of an entry, at both levels, against every kind of access: the
// walk, the bits it leaves, and the fast walk agree with the specification.
// The addresses are one for each entry of the table, all 128 for the plain
// accesses to values without reserved bits.
func TestTinyExhaustive(t *testing.T) {
	buf := make([]byte, 256)
	mem, err := vm.NewMemory(buf, 0)
	require.NoError(t, err)
	tab, err := Open(mem, &Tiny, 0, nil)
	require.NoError(t, err)
	accesses := tinyAccesses()
	step := uint64(1)
	if testing.Short() {
		step = 7
	}
	for level := range 2 {
		for pte := uint64(0); pte < 1<<16; pte += step {
			image := tinyImage(level, pte)
			copy(buf, image[:])
			for i, acc := range accesses {
				for n := range uint64(4) {
					tinyCompare(t, tab, buf, &image, n*32+(n+pte)&3*8+pte&7, acc)
				}
				if pte < 1<<13 && i%8 == 0 && pte%5 == 0 {
					for va := range uint64(128) {
						tinyCompare(t, tab, buf, &image, va, acc)
					}
				}
			}
			if t.Failed() {
				t.Fatalf("level %d entry %#x", level, pte)
			}
		}
	}
}

// tinyImage is a memory with the root in frame 0 and a table in frame 1; the
// entries at the given level are all pte, the others good.
func tinyImage(level int, pte uint64) (b [256]byte) {
	put := func(at, v uint64) { b[at], b[at+1] = byte(v), byte(v>>8) }
	for i := range uint64(4) {
		put(2*i, 1<<8|rvV)
		put(8+2*i, (4+i)<<8|rvV|rvR|rvW|rvX|rvU|rvA)
		if level == 1 {
			put(2*i, pte)
		} else {
			put(8+2*i, pte)
		}
	}
	return b
}

func tinyCompare(t *testing.T, tab *Table, buf []byte, image *[256]byte, va uint64, acc vm.Access) {
	wantPA, at, kind := tinySpec(buf, 0, va, acc)
	fast, ok := tab.walkFast(vm.VirtAddr(va), acc)
	w := walker{t: tab, va: vm.VirtAddr(va), acc: acc}
	switch done := w.run(); {
	case done != (kind == 0):
		t.Errorf("va %#x %v: walked %v (%v), want fault %v", va, acc, done, w.fault.Kind, kind)
	case !done && (w.fault.Kind != kind || uint64(w.fault.PTEAddr) != at):
		t.Errorf("va %#x %v: fault %v at %v, want %v at %#x", va, acc, w.fault.Kind, w.fault.PTEAddr, kind, at)
	case !done && ok:
		t.Errorf("va %#x %v: the fast walk took what must fault", va, acc)
	case done && uint64(w.entry.Addr(w.va)) != wantPA:
		t.Errorf("va %#x %v: %v, want %#x", va, acc, w.entry.Addr(w.va), wantPA)
	case done && ok && fast != w.entry:
		t.Errorf("va %#x %v: fast %+v, exact %+v", va, acc, fast, w.entry)
	}
	if kind == 0 { // A, and D for a write, in the leaf; nothing else
		before := image[at]
		defer func() { image[at], buf[at] = before, before }()
		image[at] |= rvA
		if acc.Op() == vm.Write {
			image[at] |= rvD
		}
	}
	if string(buf) != string(image[:]) {
		t.Errorf("va %#x %v: memory is not as it must be", va, acc)
	}
}
