package pagetable

import (
	"fmt"
	"slices"

	"github.com/memlab-go/memlab/vm"
)

// A Format describes a page-table format as data: how an address is cut up,
// and which bit of an entry means what. One walker serves them all.
//
// The formats of this package are variables so that their addresses can be handed
// to [New] and [Open], which copy what they get. Nothing in the package reads them:
// to assign to one changes no table and no other format. Copy one to derive your own.
//
// A mask of zero means that the format has no such bit.
type Format struct {
	Name  string  // as case files spell it: "sv39"
	Title string  // as the manual does
	Arch  vm.Arch // whose permission rules and fault codes hold

	PTESize uint8   // bytes per entry: 2, 4 or 8
	VABits  uint8   // bits of the address that are translated
	PABits  uint8   // bits of a physical address that an entry can express
	Signed  bool    // unused upper address bits repeat the top bit, else they are zero
	Levels  []Level // root first

	Present uint64 // must be set in every entry

	// Where the frame number is: the physical address of the frame is
	// (entry & Frame) << FrameShift; a negative shift goes right.
	Frame      uint64
	FrameShift int8

	// Bits of a leaf.
	Read, Write, Exec, User uint64 // set: granted
	ReadOnly, NoExec, PXN   uint64 // set: taken away
	Global, NotGlobal       uint64
	Accessed, Dirty         uint64
	DirtyModifier           uint64 // Arm's DBM: with ReadOnly set, the page is writable and clean
	HugeBit                 uint64 // x86's PS, set in a leaf above the last level
	PageBits                uint64 // must be set in a leaf at the last level to make it one (Arm)
	LeafAny                 uint64 // RISC-V: an entry with any of these bits set is a leaf

	// Bits of a table entry.
	TablePresent              uint64 // set when a table entry is made, besides Present
	TableWrite, TableUser     uint64 // must be set to pass on the right (x86)
	TableNoWrite, TableNoUser uint64 // set: takes the right away below (Arm)
	TableNoExec, TablePXN     uint64
	TableAccessed             bool // Accessed is set in table entries as well
	NapotBit                  uint64
	Reserved, TableReserved   uint64    // must be zero in every entry; in table entries
	Illegal                   []Pattern // combinations that the format reserves
	AlignReserved             bool      // low frame bits of a huge leaf are reserved bits (x86), not a misalignment
	AlignIgnored              bool      // low frame bits of a huge leaf are ignored (Arm)
	Flags                     []Flag    // for drawings, from the top bit down
	SecondStage               bool      // translates guest-physical addresses; every access is a user access
	RightsAlways              vm.Perm   // rights the format cannot take away
}

// A Level is one level of tables.
type Level struct {
	Name         string // of an entry there: "PML4E"
	Shift        uint8  // lowest address bit of the index; an entry covers 1<<Shift bytes
	Bits         uint8  // width of the index
	Leaf         bool   // an entry may be a leaf
	Reserved     uint64 // must be zero in any entry of this level
	LeafReserved uint64 // must be zero in a leaf above the last level
	Plain        bool   // entries carry neither rights nor an accessed bit (x86's PDPTE in PAE)

	// PSE-36: bits [HighFrom, HighFrom+HighBits) of a leaf are bits 32 and up
	// of its frame.
	HighFrom, HighBits uint8
}

// A Pattern matches entries with entry&Mask == Want.
type Pattern struct {
	Mask, Want uint64
	Level      int8 // only at this level (0: last); -1 at every level
	Why        string
}

// A Flag names bits of an entry for drawings.
type Flag struct {
	Name string
	Bit  uint8
	Bits uint8 // width; 0 means 1
}

// Check reports what makes f no format that the walker can follow: it wants 1 to 5
// levels, the indices of which and the page offset make up the address without a
// gap, entries of 2, 4 or 8 bytes that hold all the bits named, a present bit, a
// frame field, and leaves at the last level. New and Open check it themselves.
func (f *Format) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("pagetable: format %q: %s", f.Name, fmt.Sprintf(format, args...))
	}
	if len(f.Levels) < 1 || len(f.Levels) > maxLevels {
		return bad("%d levels, want 1 to %d", len(f.Levels), maxLevels)
	}
	if f.PTESize != 2 && f.PTESize != 4 && f.PTESize != 8 {
		return bad("entries of %d bytes, want 2, 4 or 8", f.PTESize)
	}
	top := int(f.VABits)
	for i, l := range f.Levels {
		if l.Bits < 1 || l.Bits > maxIndexBits || int(l.Shift)+int(l.Bits) != top {
			return bad("level %d (%s) indexes with bits %d to %d, want 1 to %d bits below bit %d", i, l.Name, l.Shift, int(l.Shift)+int(l.Bits)-1, maxIndexBits, top)
		}
		top = int(l.Shift)
	}
	switch used := f.Present | f.Frame | f.Read | f.Write | f.Exec | f.User | f.ReadOnly | f.NoExec | f.PXN | f.Global | f.Accessed | f.Dirty; {
	case f.VABits > 64 || f.PageShift() < 1:
		return bad("addresses of %d bits, pages of %d bytes", f.VABits, f.PageSize())
	case f.PABits < f.PageShift() || f.PABits > 64:
		return bad("physical addresses of %d bits", f.PABits)
	case f.FrameShift <= -64 || f.FrameShift >= 64:
		return bad("frame shift %d", f.FrameShift)
	case f.Present == 0 || f.Frame == 0:
		return bad("no present bit or no frame field")
	case f.PTESize < 8 && used>>(8*f.PTESize) != 0:
		return bad("bits %#x do not fit entries of %d bytes", used, f.PTESize)
	case !f.Levels[len(f.Levels)-1].Leaf:
		return bad("no leaves at the last level")
	}
	return nil
}

// The limits of a format.
const (
	maxLevels    = 5
	maxIndexBits = 24
)

// clone returns a copy that shares nothing with f.
func (f *Format) clone() Format {
	c := *f
	c.Levels, c.Illegal, c.Flags = slices.Clone(f.Levels), slices.Clone(f.Illegal), slices.Clone(f.Flags)
	return c
}

// Size returns the bytes that one entry of l covers.
func (l Level) Size() uint64 { return 1 << l.Shift }

// PageShift returns log2 of the smallest page.
func (f *Format) PageShift() uint8 { return f.Levels[len(f.Levels)-1].Shift }

// PageSize returns the bytes of the smallest page.
func (f *Format) PageSize() uint64 { return 1 << f.PageShift() }

// level returns the i-th level from the bottom: 0 is the last.
func (f *Format) level(i int) *Level { return &f.Levels[len(f.Levels)-1-i] }

// tableSize returns the bytes of a table at level i.
func (f *Format) tableSize(i int) uint64 { return uint64(f.PTESize) << f.level(i).Bits }

// Canonical reports whether va may be used at all: its unused upper bits repeat
// the top bit, or are zero, as the format wants it.
func (f *Format) Canonical(va vm.VirtAddr) bool { return f.Extend(va) == va }

// Extend makes the canonical address that shares va's translated bits.
func (f *Format) Extend(va vm.VirtAddr) vm.VirtAddr {
	s := 64 - f.VABits
	if f.Signed {
		return vm.VirtAddr(int64(va) << s >> s)
	}
	return va << s >> s
}

const (
	bit0  = 1 << 0
	bit63 = 1 << 63
)

// bitsOf returns a mask of bits lo to hi, both included.
func bitsOf(lo, hi uint) uint64 {
	if hi < lo {
		return 0
	}
	return (^uint64(0) >> (63 - hi + lo)) << lo
}
