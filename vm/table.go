package vm

import "iter"

// An Entry is a translation: one page and its frame. A walk yields it and a TLB
// keeps it.
type Entry struct {
	Page   VirtAddr // first address of the page, a multiple of its size
	Frame  PhysAddr // first address of the frame
	ASID   ASID     // filled in by the MMU
	Perm   Perm     // all levels combined
	Shift  uint8    // log2 of the page size in bytes
	Level  int8     // level of the leaf: 0 is the last
	Refs   uint8    // memory references that the walk made
	Global bool     // valid in every address space
}

// Size returns the page size in bytes.
func (e Entry) Size() uint64 { return 1 << e.Shift }

// Contains reports whether va lies in the page.
func (e Entry) Contains(va VirtAddr) bool { return va&^(1<<e.Shift-1) == e.Page }

// Addr returns the physical address of va, which must lie in the page.
func (e Entry) Addr(va VirtAddr) PhysAddr { return e.Frame | PhysAddr(va)&(1<<e.Shift-1) }

// A PageTable is one address space as hardware sees it. [MMU] needs nothing
// more, so a page table of your own plugs in; the optional interfaces
// ([Mapper], [CachedWalker], [Emitter]) add to it.
//
// Implementations never panic on what they find in memory, read a bounded
// number of entries, and change nothing when they return a fault.
type PageTable interface {
	// Walk translates va for acc. On success it has set the accessed and
	// dirty bits if that is the hardware's work. It does not allocate unless
	// it returns a fault.
	Walk(va VirtAddr, acc Access) (Entry, *Fault)

	// WalkAll translates vas[i] to pas[i] in order and stops at the first
	// fault; n is how many were translated. len(pas) must be at least
	// len(vas). It is Walk in a loop, only faster.
	WalkAll(vas []VirtAddr, acc Access, pas []PhysAddr) (n int, f *Fault)

	// Probe returns the translation of va whatever its permissions are, and
	// changes nothing. The fault, if any, is the one that every access meets.
	Probe(va VirtAddr) (Entry, *Fault)

	// Permits returns which permissions allow acc without a further walk: a
	// write needs PermD where the format has a dirty bit.
	Permits(acc Access) PermSet
}

// A Mapper is a page table whose mappings can be changed. A range is
// [va, va+length); faults are *Fault with the kinds BadLength to Misuse or
// OutOfFrames, and a failed call changes nothing.
type Mapper interface {
	PageTable

	// Map maps length bytes at va to the frames from pa on, in pages of the
	// given size in bytes (0: the smallest). AlreadyMapped if any is mapped.
	Map(va VirtAddr, pa PhysAddr, length, pageSize uint64, perm Perm) error

	// Unmap removes the mappings of the range, splitting huge pages at its
	// ends. NotMapped if part of it is a hole. The TLB is not told.
	Unmap(va VirtAddr, length uint64) error

	// Protect sets the permissions of the range, splitting huge pages at its
	// ends. NotMapped if part of it is a hole. The TLB is not told.
	Protect(va VirtAddr, length uint64, perm Perm) error

	// Mappings yields the leaf mappings in order of address.
	Mappings() iter.Seq[Entry]
}

// An Aging table keeps accessed and dirty bits that software may read and
// write, which is what replacement policies live on.
type Aging interface {
	// Used returns the accessed and dirty bits of the page at va.
	Used(va VirtAddr) (accessed, dirty bool, f *Fault)
	// SetUsed sets the bits of the page at va to these values. The TLB is not told.
	SetUsed(va VirtAddr, accessed, dirty bool) *Fault
}

// A FrameSource supplies frames for the tables themselves.
type FrameSource interface {
	// AllocFrames returns n contiguous frames of 4 KiB, aligned to n*4 KiB (n
	// a power of two), zeroed or not; the error is a *Fault of kind OutOfFrames.
	AllocFrames(n int) (PhysAddr, error)
	// FreeFrames takes back what AllocFrames(n) returned.
	FreeFrames(pa PhysAddr, n int)
}

// A FrameOwner knows to whom frames belong, for an MMU that checks it.
type FrameOwner interface {
	// Owns reports whether the address space may use all of [pa, pa+size).
	Owns(asid ASID, pa PhysAddr, size uint64) bool
}

// A TableOwner is a [FrameOwner] that knows about frames of page tables as well.
type TableOwner interface {
	FrameOwner
	// OwnsTable reports whether the address space may have a table, or a part of
	// one, at pa.
	OwnsTable(asid ASID, pa PhysAddr) bool
}

// A Locator is a page table that tells where its entries are. An MMU asks it which
// tables a walk goes through, and for the entry behind a fault of its own.
type Locator interface {
	// Locate returns the entry for va at the given level (0 is the last), and
	// where it is, if the tables above lead there.
	Locate(va VirtAddr, level int) (addr PhysAddr, pte uint64, ok bool)
}

// A WalkStep is what a page-walk cache remembers: a prefix of the address leads
// to this table.
type WalkStep struct {
	Table  PhysAddr // the table to go on with
	Level  int8     // its level: 0 is the last
	Perm   Perm     // what the levels above it grant together
	Global bool     // a level above it makes everything below global
}

// A Flusher drops cached translations.
type Flusher interface {
	// Flush drops what f describes and returns how many entries that were.
	Flush(f Flush) int
}

// A WalkCache remembers the upper levels of walks. One that is a [Flusher] is
// flushed by [MMU.Flush] together with the TLB; with [Flush.OneVA] it drops every
// step on the way to the address.
type WalkCache interface {
	// FindStep returns the deepest step known for va.
	FindStep(asid ASID, va VirtAddr) (WalkStep, bool)
	// FillStep remembers a step.
	FillStep(asid ASID, va VirtAddr, s WalkStep)
}

// A CachedWalker is a page table that can begin a walk in the middle.
type CachedWalker interface {
	// WalkCached is Walk that begins at the step c knows and tells c the steps
	// of a successful walk. Entry.Refs counts only what was read.
	WalkCached(va VirtAddr, acc Access, asid ASID, c WalkCache) (Entry, *Fault)
}
