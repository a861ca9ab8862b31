package vm

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
)

// A HugeMapper is a page table that can map an aligned range by one entry.
type HugeMapper interface {
	Mapper

	// Merge makes one page of size bytes of the pages around va, which are all
	// mapped, adjacent and aligned in physical memory, and alike in rights. It is
	// accessed or dirty if one of them was. The TLB is not told. BadPageSize if the
	// table has no page of that size.
	Merge(va VirtAddr, size uint64) error

	// Split undoes Merge: no translation changes. The TLB is not told. OutOfFrames
	// if it needs a table and there is no frame for it.
	Split(va VirtAddr) error

	// PageSizes returns the sizes in bytes that pages may have, the smallest first.
	PageSizes() []uint64
}

// Huge pages. The pages of a huge page keep their numbers, frames and places in
// the reverse map: only the page table, and so the TLB, has one entry for all of
// them. Whatever is done to one of them undoes the huge page first.
//
//	promotion   when the last page of an aligned range is mapped, if all are
//	            private anonymous memory of this space alone, in one area, with the
//	            same rights, and not pinned; they are copied to adjacent frames
//	            unless they have them
//	demotion    when one of the pages is unmapped, evicted, moved, given other
//	            rights, copied on write, or written back
//
// Promotion spares the frame of a page table, which is kept in Kernel.deposit, so
// that demotion never fails, even when it is done because memory ran out.

// checkHuge prepares the space for huge pages, if they are on.
func (s *Space) checkHuge() error {
	size := s.k.opts.HugePage
	if size == 0 {
		return nil
	}
	m, ok := s.table.(HugeMapper)
	if !ok {
		return fmt.Errorf("vm: huge pages with a page table that has none: %T", s.table)
	}
	sizes := m.PageSizes()
	if i := slices.Index(sizes, size); i != 1 {
		return &Fault{Kind: BadPageSize, Level: -1, Note: fmt.Sprintf("huge pages of %#x bytes: the page table has %#x", size, sizes)}
	}
	s.merger, s.filled, s.huge = m, map[uint64]int{}, map[uint64]bool{}
	return nil
}

// hugeOf returns the number of the aligned range that va is in.
func (s *Space) hugeOf(va VirtAddr) uint64 {
	return uint64(va) >> bits.TrailingZeros64(s.k.opts.HugePage)
}

// hugePages is how many pages a huge page has.
func (k *Kernel) hugePages() int { return int(k.opts.HugePage / k.frames.PageSize()) }

// fill counts that a page of a range was mapped or unmapped.
func (s *Space) fill(va VirtAddr, by int) {
	if s.merger == nil {
		return
	}
	i := s.hugeOf(va)
	if s.filled[i] += by; s.filled[i] == 0 {
		delete(s.filled, i)
	}
}

// isHuge reports whether the page at va is part of a huge page.
func (s *Space) isHuge(va VirtAddr) bool { return s.merger != nil && s.huge[s.hugeOf(va)] }

// demote makes small pages of the huge page that va is in, if there is one.
func (s *Space) demote(va VirtAddr) {
	if !s.isHuge(va) {
		return
	}
	k := s.k
	s.keepDirty(va &^ VirtAddr(k.opts.HugePage-1))
	k.splitting = true
	err := s.merger.Split(va)
	k.splitting = false
	must(err)
	s.flushPage(va)
	delete(s.huge, s.hugeOf(va))
	k.stats.Demotions++
	k.emit(Event{Kind: EventDemote, ASID: s.asid, VA: va &^ VirtAddr(k.opts.HugePage-1)})
}

// keepDirty notes that all pages of the huge page at lo are dirty if it is. Of
// sixteen entries of Svnapot one may say so for all.
func (s *Space) keepDirty(lo VirtAddr) {
	dirty := false
	for i := 0; i < s.k.hugePages() && !dirty; i++ {
		dirty = s.wrote(lo + VirtAddr(i)<<s.shift)
	}
	for i := 0; i < s.k.hugePages() && dirty; i++ {
		s.entries[s.number(lo)+uint64(i)].page.dirty = true
	}
}

// promote makes a huge page of the aligned range that va is in, if it qualifies,
// and reports whether it did.
func (s *Space) promote(va VirtAddr) bool {
	k := s.k
	if s.merger == nil || s.filled[s.hugeOf(va)] < k.hugePages() || s.isHuge(va) {
		return false
	}
	lo := va &^ VirtAddr(k.opts.HugePage-1)
	if !s.uniform(lo) || !s.adjacent(lo) {
		return false
	}
	k.merging = true
	err := s.merger.Merge(lo, k.opts.HugePage)
	k.merging = false
	if err != nil {
		return false // the format cannot express the frame
	}
	k.mmu.Flush(FlushASID(s.asid))
	s.huge[s.hugeOf(va)] = true
	k.stats.Promotions++
	k.emit(Event{Kind: EventPromote, ASID: s.asid, VA: lo})
	return true
}

// uniform reports whether the range at lo, all mapped, may be one page.
func (s *Space) uniform(lo VirtAddr) bool {
	a := s.areaAt(lo)
	if a == nil || a.file != nil || a.shared || a.hi-lo < VirtAddr(s.k.opts.HugePage) {
		return false
	}
	first, _ := s.table.Probe(lo)
	for i := range s.k.hugePages() {
		at := lo + VirtAddr(i)<<s.shift
		p := s.entries[s.number(at)].page
		e, f := s.table.Probe(at)
		if p == s.k.zero || p.users > 1 || p.pins > 0 || f != nil || (e.Perm^first.Perm)&^PermD != 0 {
			return false
		}
	}
	return true
}

// adjacent gives the pages of the range at lo adjacent and aligned frames, if they
// have others and such a block is free, and reports whether they have them.
func (s *Space) adjacent(lo VirtAddr) bool {
	k, n, size := s.k, s.k.hugePages(), PhysAddr(s.pageSize())
	first := s.entries[s.number(lo)].page.frame
	in := uint64(first)%k.opts.HugePage == 0
	for i := range n {
		in = in && s.entries[s.number(lo)+uint64(i)].page.frame == first+PhysAddr(i)*size
	}
	if in {
		return true
	}
	block, err := k.frames.AllocFrames(n)
	if err != nil {
		k.stats.PromoteFails++
		return false
	}
	must(k.frames.SplitBlock(block, n))
	for i := range n {
		at := lo + VirtAddr(i)<<s.shift
		s.moveFrame(at, s.entries[s.number(at)], block+PhysAddr(i)*size)
	}
	k.mmu.Flush(FlushASID(s.asid))
	return true
}

// moveFrame moves the page at va, which only this space maps, to another frame.
func (s *Space) moveFrame(va VirtAddr, e *entry, to PhysAddr) {
	k, p, size := s.k, e.page, uint64(s.pageSize())
	perm, f := s.table.Probe(va)
	if f != nil {
		panic(f)
	}
	copy(k.frameBytes(to), k.bytes(p))
	p.dirty = p.dirty || s.wrote(va)
	must(s.table.Unmap(va, size)) // the table it is in still has others, or there is a frame free for it
	must(k.frames.RemoveMapping(p.frame, Mapping{s.asid, va}))
	k.frames.FreeFrames(p.frame, 1)
	p.frame = to
	must(s.table.Map(va, to, size, size, perm.Perm&(PermR|PermW|PermX|PermU)))
	must(k.frames.AddMapping(to, Mapping{s.asid, va}))
}

// Collapse makes huge pages of all ranges of all spaces that qualify, and returns
// how many: what a background thread does (Linux's khugepaged) for ranges that
// were not uniform, or found no adjacent frames, when they were filled. O(pages).
func (k *Kernel) Collapse() int {
	n := 0
	for _, s := range k.Spaces() {
		for _, i := range slices.Sorted(maps.Keys(s.filled)) {
			if s.promote(VirtAddr(i * k.opts.HugePage)) {
				n++
			}
		}
	}
	return n
}

// HugePages returns the addresses of the huge pages of the space, in order.
func (s *Space) HugePages() []VirtAddr {
	var out []VirtAddr
	for _, i := range slices.Sorted(maps.Keys(s.huge)) {
		out = append(out, VirtAddr(i*s.k.opts.HugePage))
	}
	return out
}

// protectHuge sets the rights of the huge page at lo as a whole, for all pages of
// which a fork has just taken the right to be written.
func (s *Space) protectHuge(lo VirtAddr, perm Perm) error {
	s.keepDirty(lo)
	if err := s.table.Protect(lo, s.k.opts.HugePage, perm); err != nil {
		return err
	}
	s.k.mmu.Flush(FlushVAASID(lo, s.asid))
	return nil
}
