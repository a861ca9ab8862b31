package pagetable

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// An Inverted table has one node for each physical frame, which says whose page
// is in it; hash chains lead from a page to its frame. One table serves all
// address spaces, and its size goes with memory alone (IBM RT, PowerPC, IA-64).
// The price: a frame holds one page at a time, so nothing can be shared. Pages are
// 4 KiB, addresses have 60 bits.
//
// Safe for concurrent use.
type Inverted struct {
	c      *chains
	frames vm.PhysAddr // address of frame 0
}

// InvertedBytes returns the memory that NewInverted needs.
func InvertedBytes(buckets, frames int) uint64 { return chainBytes(uint64(buckets), uint64(frames)) }

// NewInverted makes an empty table at base in mem, aligned to 8, for n frames
// from the address frames on. All of its memory is cleared.
func NewInverted(mem *vm.Memory, base vm.PhysAddr, buckets int, frames vm.PhysAddr, n int) (*Inverted, error) {
	c, err := newChains(mem, base, buckets, n)
	if err != nil {
		return nil, err
	}
	return &Inverted{c: c, frames: frames &^ (1<<chainPage - 1)}, nil
}

// Space returns the address space tagged asid. Spaces need no making.
func (t *Inverted) Space(asid vm.ASID) *InvertedSpace { return &InvertedSpace{t: t, asid: asid} }

// An InvertedSpace is one address space of an [Inverted] table.
type InvertedSpace struct {
	t    *Inverted
	asid vm.ASID
}

func (s *InvertedSpace) frame(i, _ uint64) vm.PhysAddr {
	return s.t.frames + vm.PhysAddr((i-1)<<chainPage)
}

// Walk translates va; see [vm.PageTable]. O(1) expected, O(frames) at worst.
func (s *InvertedSpace) Walk(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return s.t.c.walk(s.asid, va, acc, modeAccess, s.frame)
}

// WalkDry says how Walk would end; see [vm.DryWalker].
func (s *InvertedSpace) WalkDry(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return s.t.c.walk(s.asid, va, acc, modeCheck, s.frame)
}

// WalkAll translates a stream; see [vm.PageTable].
func (s *InvertedSpace) WalkAll(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) (int, *vm.Fault) {
	return walkEach(s, vas, acc, pas)
}

// Probe translates va whatever its rights are; see [vm.PageTable].
func (s *InvertedSpace) Probe(va vm.VirtAddr) (vm.Entry, *vm.Fault) {
	return s.t.c.walk(s.asid, va, vm.Read, modeProbe, s.frame)
}

// Permits returns which rights allow acc; see [vm.PageTable].
func (s *InvertedSpace) Permits(acc vm.Access) vm.PermSet { return s.t.c.permits(acc) }

// SetEvents makes the table report the nodes that its walks read, for all its spaces.
func (s *InvertedSpace) SetEvents(sink vm.Sink) { s.t.c.setEvents(sink) }

// Map puts pages into frames; see [vm.Mapper]. AlreadyMapped if a page is mapped
// or a frame holds another page, BadFrame outside the table's frames.
func (s *InvertedSpace) Map(va vm.VirtAddr, pa vm.PhysAddr, length, pageSize uint64, perm vm.Perm) error {
	if err := checkMap(va, pa, length, pageSize, perm); err != nil {
		return err
	}
	c := s.t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	first := uint64(pa-s.t.frames) >> chainPage
	if pa < s.t.frames || first >= c.nodes || length>>chainPage > c.nodes-first {
		return &vm.Fault{Kind: vm.BadFrame, VA: va, Level: -1, PA: pa}
	}
	err := checkPages(va, length, func(at vm.VirtAddr) error {
		i := first + uint64(at-va)>>chainPage + 1
		word, _ := c.mem.Load(c.node(i)+8, 8)
		if _, _, _, _, ok := c.find(tagOf(s.asid, at), nil); ok || word&rvV != 0 {
			return badRange(vm.AlreadyMapped, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkPages(va, length, func(at vm.VirtAddr) error {
		c.push(first+uint64(at-va)>>chainPage+1, tagOf(s.asid, at), c.flagsOf(perm))
		return nil
	})
}

// Unmap takes pages out of their frames; see [vm.Mapper].
func (s *InvertedSpace) Unmap(va vm.VirtAddr, length uint64) error {
	return s.t.c.unmap(s.asid, va, length, func(uint64) {})
}

// Protect sets the rights of a range; see [vm.Mapper].
func (s *InvertedSpace) Protect(va vm.VirtAddr, length uint64, perm vm.Perm) error {
	return s.t.c.protect(s.asid, va, length, perm)
}

// Mappings yields the space's pages by address, as they are when the iteration begins;
// the table may be changed meanwhile. O(n log n) in the frames.
func (s *InvertedSpace) Mappings() iter.Seq[vm.Entry] { return s.t.c.mappings(s.asid, s.frame) }
