package vm

import (
	"maps"
	"math/bits"
	"slices"
)

// A Space is the address space of a process under a [Kernel].
//
//	Low                                                                  High
//	 ├──────┬─────────────┬─────────────────────┬───────┬─────┬─────────┤
//	 │ heap │► Brk        │        ◄│ mappings  │ guard │  ◄│   stack    │
//	 └──────┴─────────────┴─────────────────────┴───────┴─────┴─────────┘
//	                                                    ◄─── StackSize ─►
//
// Pages get a frame when they are touched first (demand zero, or the file's
// page). The stack grows by itself down to the guard page, where nothing can
// ever be mapped.
//
// Not safe for concurrent use. After [Space.Destroy] every method fails with
// the fault Misuse.
type Space struct {
	k          *Kernel
	table      Mapper
	aging      Aging // table, if it is one
	asid       ASID
	shift      uint8
	areas      []*area           // by address
	entries    map[uint64]*entry // by page number: the pages that have data
	brk        VirtAddr          // end of the heap, any byte
	stackLimit VirtAddr          // the stack may grow down to here; the guard page is below
	pool       *pool             // what its pages are charged to
	filled     map[uint64]int    // by number of huge range: pages mapped there
	huge       map[uint64]bool   // by number of huge range: mapped by one entry
	pending    []VirtAddr        // pages that the TLB has still to forget, see changeRange
	merger     HugeMapper        // table, if huge pages are on
	dead       bool
}

// An entry ties a page number of a space to a page.
type entry struct {
	page   *page
	pins   int
	mapped bool // the page table maps it
}

func newSpace(k *Kernel, table Mapper, asid ASID) *Space {
	s := &Space{k: k, table: table, asid: asid, shift: uint8(bits.TrailingZeros64(k.frames.PageSize())), entries: map[uint64]*entry{}, brk: k.opts.Low}
	s.aging, _ = table.(Aging)
	s.stackLimit = k.opts.High - VirtAddr(k.opts.StackSize)
	s.insert(&area{lo: k.opts.High - s.pageSize(), hi: k.opts.High, perm: PermR | PermW, kind: AreaStack})
	return s
}

// ASID returns the tag that the space's translations have in the TLB.
func (s *Space) ASID() ASID { return s.asid }

// Table returns the page table, to look at.
func (s *Space) Table() Mapper { return s.table }

// Stack returns the address above the stack, where a stack pointer begins.
func (s *Space) Stack() VirtAddr { return s.k.opts.High }

// Kernel returns the kernel that the space belongs to.
func (s *Space) Kernel() *Kernel { return s.k }

// Resident returns how many pages of the space are in memory; a page that it
// shares counts as one of its own, the page of zeros as none. O(pages).
func (s *Space) Resident() int {
	n := 0
	for _, e := range s.entries {
		if e.page.resident && e.page != s.k.zero {
			n++
		}
	}
	return n
}

// Destroy ends the space: its pages lose a user, and frames, swap slots, page
// tables and TLB entries that nobody else needs are free afterwards. Destroying
// twice is destroying once. O(pages).
func (s *Space) Destroy() {
	if s.dead {
		return
	}
	s.changeRange(func() {
		for _, n := range slices.Sorted(maps.Keys(s.entries)) {
			s.unlink(n)
		}
	})
	for _, a := range s.areas {
		if a.file != nil {
			a.file.release()
		}
	}
	k := s.k
	k.mmu.Flush(FlushASID(s.asid))
	if k.running == s {
		k.running = nil
		k.mmu.Switch(noTable{}, 0)
	}
	s.destroyTable()
	delete(k.spaces, s.asid)
	k.freeASIDs = append(k.freeASIDs, s.asid)
	s.areas, s.dead = nil, true
}

// destroyTable gives the frames of the page table back.
func (s *Space) destroyTable() {
	if d, ok := s.table.(Destroyer); ok {
		d.Destroy()
	}
}

// alive is nil until Destroy.
func (s *Space) alive() error {
	if s.dead {
		return &Fault{Kind: Misuse, Level: -1, Note: "the address space was destroyed"}
	}
	return nil
}

func (s *Space) pageSize() VirtAddr             { return 1 << s.shift }
func (s *Space) number(va VirtAddr) uint64      { return uint64(va) >> s.shift }
func (s *Space) address(number uint64) VirtAddr { return VirtAddr(number << s.shift) }

// touched returns the page numbers of [lo, hi) that have an entry, in order.
// O(pages of the range or of the space, whichever are fewer).
func (s *Space) touched(lo, hi VirtAddr) []uint64 {
	var out []uint64
	first, end := s.number(lo), s.number(hi)
	if end-first <= uint64(len(s.entries)) {
		for n := first; n < end; n++ {
			if s.entries[n] != nil {
				out = append(out, n)
			}
		}
		return out
	}
	for n := range s.entries {
		if first <= n && n < end {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// link makes p the page of an address.
func (s *Space) link(n uint64, p *page) *entry {
	e := &entry{page: p}
	s.entries[n] = e
	p.users++
	return e
}

// unlink undoes link: unmapped, unpinned, and the page forgotten if nobody else
// has it.
func (s *Space) unlink(n uint64) {
	e := s.entries[n]
	s.zap(s.address(n), e)
	s.k.unpin(e.page, e.pins)
	delete(s.entries, n)
	s.leave(e.page)
}

// leave takes a user from p.
func (s *Space) leave(p *page) {
	k := s.k
	p.users--
	k.disown(p, s)
	if p == k.zero {
		k.leaveZero()
		return
	}
	if p.users == 0 && (p.file == nil || p.file.dev != nil && !p.resident) {
		k.freePage(p)
	}
}

// zap removes the mapping of an entry, if there is one, from page table, reverse
// map and TLB, after noting whether it was written through.
func (s *Space) zap(va VirtAddr, e *entry) {
	if !e.mapped {
		return
	}
	s.demote(va)
	e.page.dirty = e.page.dirty || e.page != s.k.zero && s.wrote(va)
	e.mapped = false
	s.fill(va, -1)
	must(s.table.Unmap(va, uint64(s.pageSize())))
	if e.page != s.k.zero {
		must(s.k.frames.RemoveMapping(e.page.frame, Mapping{s.asid, va}))
	}
	s.flushPage(va)
}

// must panics if the page table refuses to change a page that the kernel has
// mapped: then it was changed behind the kernel's back.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// wrote reports whether the mapped page at va was written since it was mapped or
// marked clean. Without dirty bits, every writable page was.
func (s *Space) wrote(va VirtAddr) bool {
	if s.aging != nil {
		_, dirty, f := s.aging.Used(va)
		return dirty && f == nil
	}
	e, f := s.table.Probe(va)
	return f == nil && e.Perm&PermW != 0
}

// markClean clears the dirty bit of the mapped page at va, and makes the TLB
// forget that it was set. Without dirty bits the page is unmapped, so that the
// next write faults.
func (s *Space) markClean(va VirtAddr) {
	if s.aging == nil {
		e := s.entries[s.number(va)]
		dirty := e.page.dirty
		s.zap(va, e)
		e.page.dirty = dirty
		return
	}
	s.demote(va)
	accessed, _, _ := s.aging.Used(va)
	if f := s.aging.SetUsed(va, accessed, false); f != nil {
		panic(f)
	}
	s.k.mmu.Flush(FlushVAASID(va, s.asid))
}
