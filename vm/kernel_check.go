package vm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Check reports every broken law. It changes nothing.
//
//	K1  the laws of the frame allocator hold ([Frames.Check])
//	K2  frames in use are those of resident pages, of page tables and those kept
//	    for tables; no two pages have the same frame
//	K3  the reverse map and the page tables name the same mappings, but for the
//	    page of zeros, which the reverse map leaves out
//	K4  a page has as many users, and as many pins, as entries of spaces give it
//	K5  every swap slot in use has one owner, and every owner's slot is in use
//	K6  areas are in order, apart from each other, and hold every entry
//	K7  a mapping grants no more than its area; a private page that others have,
//	    or a file's, is not writable
//	K8  the counters keep the identities of [KernelStats]
//	K9  no TLB entry is stale ([MMU.CheckTLB])
//	K10 the huge pages of a space are those of its page table, and their pages lie
//	    in adjacent frames; a range counts as many pages as are mapped in it
//	K11 a pool counts the resident pages that are charged to it; the page of zeros
//	    is charged to none and full of zeros
//
// O(frames + pages × mappings).
func (k *Kernel) Check() error {
	c := kernelChecker{k: k, users: map[*page]int{}, pins: map[*page]int{}}
	if err := k.frames.Check(); err != nil {
		c.errorf("K1: %w", err)
	}
	mapped := 0
	for _, s := range k.Spaces() {
		c.areas(s)
		mapped += c.table(s)
	}
	refs := 0
	for i := range k.frames.frame {
		refs += int(k.frames.frame[i].refs)
	}
	if refs != mapped {
		c.errorf("K3: the reverse map has %d mappings, the page tables have %d", refs, mapped)
	}
	c.pages()
	c.pools()
	c.swap()
	c.counters()
	if err := k.mmu.CheckTLB(); err != nil {
		c.errorf("K9: %w", err)
	}
	return errors.Join(c.errs...)
}

type kernelChecker struct {
	k     *Kernel
	users map[*page]int
	pins  map[*page]int
	errs  []error
}

func (c *kernelChecker) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("vm: kernel: "+format, args...))
}

// areas checks the areas of a space and counts what its entries refer to.
func (c *kernelChecker) areas(s *Space) {
	end := c.k.opts.Low
	for _, a := range s.areas {
		if a.lo < end || a.hi <= a.lo || a.hi > c.k.opts.High || (a.lo|a.hi)&(s.pageSize()-1) != 0 {
			c.errorf("K6: asid %d: area [%v, %v) after %v", s.asid, a.lo, a.hi, end)
		}
		end = a.hi
	}
	for n, e := range s.entries {
		c.users[e.page]++
		c.pins[e.page] += e.pins
		if s.areaAt(s.address(n)) == nil {
			c.errorf("K6: asid %d: page %v is in no area", s.asid, s.address(n))
		}
		if int(e.page.id) >= len(c.k.pages) || c.k.pages[e.page.id] != e.page {
			c.errorf("K4: asid %d: the page at %v was given up", s.asid, s.address(n))
		}
	}
}

// table compares the page table of a space with its entries and with the reverse
// map, and returns how many pages it maps.
func (c *kernelChecker) table(s *Space) int {
	leaves, mapped := 0, 0
	zeros, huge := 0, 0
	filled := map[uint64]int{}
	for l := range s.table.Mappings() {
		if l.Shift != s.shift {
			huge++
			if !s.isHuge(l.Page) || l.Size() != c.k.opts.HugePage {
				c.errorf("K10: asid %d: the page table has a page of %#x bytes at %v", s.asid, l.Size(), l.Page)
			}
		}
		for off := uint64(0); off < l.Size(); off += uint64(s.pageSize()) {
			leaves++
			part := l
			part.Page, part.Frame = l.Page+VirtAddr(off), l.Frame+PhysAddr(off)
			if c.leaf(s, part) {
				zeros++
			}
			if s.merger != nil {
				filled[s.hugeOf(part.Page)]++
			}
		}
	}
	for _, e := range s.entries {
		if e.mapped {
			mapped++
		}
	}
	if huge != len(s.huge) || !maps.Equal(filled, s.filled) {
		c.errorf("K10: asid %d: the page table has %d huge pages, the kernel %d; ranges hold %v, counted are %v", s.asid, huge, len(s.huge), filled, s.filled)
	}
	if mapped != leaves {
		c.errorf("K3: asid %d: the kernel has %d mappings, the page table %d", s.asid, mapped, leaves)
	}
	return leaves - zeros
}

// leaf checks one page that the page table of s maps, and reports whether it is the
// page of zeros.
func (c *kernelChecker) leaf(s *Space, l Entry) (zero bool) {
	e, a := s.entries[s.number(l.Page)], s.areaAt(l.Page)
	if e == nil || a == nil || !e.mapped || !e.page.resident || e.page.frame != l.Frame {
		c.errorf("K3: asid %d: the page table maps %v to %v, the kernel does not", s.asid, l.Page, l.Frame)
		return false
	}
	zero = e.page == c.k.zero
	if c.k.frames.has(l.Frame, Mapping{s.asid, l.Page}) == zero {
		c.errorf("K3: asid %d: %v → %v is not in the reverse map, or the page of zeros is", s.asid, l.Page, l.Frame)
	}
	if l.Perm&PermW&^s.rights(a, e.page) != 0 {
		c.errorf("K7: asid %d: %v is writable", s.asid, l.Page)
	}
	return zero
}

// pools checks what is charged to whom.
func (c *kernelChecker) pools() {
	k, charged := c.k, map[*pool]int{}
	for _, p := range k.pages {
		if p != nil && p.resident && p != k.zero {
			charged[p.pool]++
		}
	}
	known := []*pool{k.common}
	if k.isLocal() {
		for _, s := range k.spaces {
			known = append(known, s.pool)
		}
	}
	for _, p := range known {
		if p.charged != charged[p] {
			c.errorf("K11: a pool counts %d pages, %d are charged to it", p.charged, charged[p])
		}
		delete(charged, p)
	}
	if len(charged) > 0 {
		c.errorf("K11: pages are charged to %d pools of no space", len(charged))
	}
	if z := k.zero; z != nil && slices.ContainsFunc(k.bytes(z), func(b byte) bool { return b != 0 }) {
		c.errorf("K11: the page of zeros was written")
	}
}

// pages checks every page's frame, users and pins.
func (c *kernelChecker) pages() {
	k, frames, pinned := c.k, map[PhysAddr]PageID{}, 0
	for id, p := range k.pages {
		if p == nil {
			continue
		}
		if p.users != c.users[p] || p.pins != c.pins[p] {
			c.errorf("K4: page %d counts %d users and %d pins, spaces give it %d and %d", id, p.users, p.pins, c.users[p], c.pins[p])
		}
		if p.users == 0 && (p.file == nil || !k.files[p.file]) {
			c.errorf("K4: page %d has no users and is kept", id)
		}
		if p.pins > 0 {
			pinned++
		}
		if !p.resident {
			if p.pins > 0 {
				c.errorf("K4: page %d is pinned and not in memory", id)
			}
			continue
		}
		if other, ok := frames[p.frame]; ok || !k.frames.Allocated(p.frame) {
			c.errorf("K2: page %d has frame %v, which is free or page %d's", id, p.frame, other)
		}
		frames[p.frame] = PageID(id)
	}
	if pinned != k.pinned || len(frames) != k.resident {
		c.errorf("K2: %d pages are resident and %d pinned, the counters say %d and %d", len(frames), pinned, k.resident, k.pinned)
	}
	if used := k.frames.Len() - k.frames.Free(); used != k.resident+k.TableFrames() {
		c.errorf("K2: %d frames in use, %d by pages and %d by page tables", used, k.resident, k.TableFrames())
	}
}

// swap checks who owns the slots.
func (c *kernelChecker) swap() {
	swap, owner := c.k.opts.Swap, map[int]PageID{}
	if swap == nil {
		return
	}
	for id, p := range c.k.pages {
		if p == nil || p.slot < 0 {
			continue
		}
		if other, ok := owner[p.slot]; ok || p.slot >= swap.Slots() || !swap.inUse[p.slot] {
			c.errorf("K5: page %d has slot %d, which is free or page %d's", id, p.slot, other)
		}
		owner[p.slot] = PageID(id)
	}
	if swap.Used() != len(owner) || swap.stats.SlotsAllocated-swap.stats.SlotsFree != int64(len(owner)) {
		c.errorf("K5: %d slots are in use, pages own %d", swap.Used(), len(owner))
	}
}

// counters checks the identities.
func (c *kernelChecker) counters() {
	t := c.k.stats
	if t.Faults != t.Minor+t.Major {
		c.errorf("K8: %d faults, %d minor and %d major", t.Faults, t.Minor, t.Major)
	}
	if t.Evictions != t.CleanEvictions+t.DirtyEvictions || t.SwapOuts+t.FileWrites != t.DirtyEvictions+t.Cleaned {
		c.errorf("K8: evictions and write-backs do not add up: %+v", t)
	}
	if s := c.k.opts.Swap; s != nil && (s.stats.Writes != t.SwapOuts || s.stats.Reads != t.SwapIns) {
		c.errorf("K8: swap counts %d reads and %d writes, the kernel %d and %d", s.stats.Reads, s.stats.Writes, t.SwapIns, t.SwapOuts)
	}
}

// has reports whether m is in the reverse map of the frame at pa.
func (f *Frames) has(pa PhysAddr, m Mapping) bool {
	for have := range f.MappingsOf(pa) {
		if have == m {
			return true
		}
	}
	return false
}
