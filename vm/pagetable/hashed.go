package pagetable

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// A Hashed table finds a page by hashing its number: an array of heads, each the
// start of a chain of nodes. Its size goes with the pages mapped, not with the
// address space; a walk reads one head and the nodes before the right one (Talluri,
// Hill and Khalidi, SOSP 1995, describe the kind). Pages are 4 KiB, addresses have
// 60 bits.
//
// Safe for concurrent use.
type Hashed struct {
	c    *chains
	asid vm.ASID
	free []uint64
}

// HashedBytes returns the memory that NewHashed needs.
func HashedBytes(buckets, nodes int) uint64 { return chainBytes(uint64(buckets), uint64(nodes)) }

// NewHashed makes an empty table for up to nodes pages at base in mem, aligned to
// 8. All of its memory is cleared.
func NewHashed(mem *vm.Memory, base vm.PhysAddr, buckets, nodes int) (*Hashed, error) {
	c, err := newChains(mem, base, buckets, nodes)
	if err != nil {
		return nil, err
	}
	h := &Hashed{c: c}
	for i := nodes; i > 0; i-- {
		h.free = append(h.free, uint64(i))
	}
	return h, nil
}

func (h *Hashed) frame(_, word uint64) vm.PhysAddr { return vm.PhysAddr(word >> 32 << chainPage) }

// Walk translates va; see [vm.PageTable]. It reads a head and a chain: O(1)
// expected, O(nodes) at worst.
func (h *Hashed) Walk(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return h.c.walk(h.asid, va, acc, modeAccess, h.frame)
}

// WalkDry says how Walk would end; see [vm.DryWalker].
func (h *Hashed) WalkDry(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return h.c.walk(h.asid, va, acc, modeCheck, h.frame)
}

// WalkAll translates a stream; see [vm.PageTable].
func (h *Hashed) WalkAll(vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) (int, *vm.Fault) {
	return walkEach(h, vas, acc, pas)
}

// walkEach is WalkAll by way of Walk.
func walkEach(t vm.PageTable, vas []vm.VirtAddr, acc vm.Access, pas []vm.PhysAddr) (int, *vm.Fault) {
	for i, va := range vas {
		e, f := t.Walk(va, acc)
		if f != nil {
			return i, f
		}
		pas[i] = e.Addr(va)
	}
	return len(vas), nil
}

// Probe translates va whatever its rights are; see [vm.PageTable].
func (h *Hashed) Probe(va vm.VirtAddr) (vm.Entry, *vm.Fault) {
	return h.c.walk(h.asid, va, vm.Read, modeProbe, h.frame)
}

// Permits returns which rights allow acc; see [vm.PageTable].
func (h *Hashed) Permits(acc vm.Access) vm.PermSet { return h.c.permits(acc) }

// SetEvents makes h report the nodes that its walks read.
func (h *Hashed) SetEvents(sink vm.Sink) { h.c.setEvents(sink) }

// Map maps a range of 4 KiB pages; see [vm.Mapper]. OutOfFrames when the nodes
// are used up.
func (h *Hashed) Map(va vm.VirtAddr, pa vm.PhysAddr, length, pageSize uint64, perm vm.Perm) error {
	if err := checkMap(va, pa, length, pageSize, perm); err != nil {
		return err
	}
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mem.Contains(pa, length) || uint64(pa)+length > 1<<(32+chainPage) {
		return &vm.Fault{Kind: vm.BadFrame, VA: va, Level: -1, PA: pa}
	}
	if length>>chainPage > uint64(len(h.free)) {
		return &vm.Fault{Kind: vm.OutOfFrames, VA: va, Level: -1, Note: "no node is free"}
	}
	err := checkPages(va, length, func(at vm.VirtAddr) error {
		if _, _, _, _, ok := c.find(tagOf(h.asid, at), nil); ok {
			return badRange(vm.AlreadyMapped, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkPages(va, length, func(at vm.VirtAddr) error {
		i := h.free[len(h.free)-1]
		h.free = h.free[:len(h.free)-1]
		frame := uint64(pa+vm.PhysAddr(at-va)) >> chainPage
		c.push(i, tagOf(h.asid, at), frame<<32|c.flagsOf(perm))
		return nil
	})
}

// Unmap removes the mappings of a range; see [vm.Mapper].
func (h *Hashed) Unmap(va vm.VirtAddr, length uint64) error {
	return h.c.unmap(h.asid, va, length, func(i uint64) { h.free = append(h.free, i) })
}

// Protect sets the rights of a range; see [vm.Mapper].
func (h *Hashed) Protect(va vm.VirtAddr, length uint64, perm vm.Perm) error {
	return h.c.protect(h.asid, va, length, perm)
}

// Mappings yields the pages by address, as they are when the iteration begins; h may
// be changed meanwhile. O(n log n) in the nodes.
func (h *Hashed) Mappings() iter.Seq[vm.Entry] { return h.c.mappings(h.asid, h.frame) }
