package trace

// A Region is a part of the address space and what referred to it.
type Region struct {
	Name  string
	Pages int64    // different pages
	Kinds [4]int64 // references by RefKind
}

// regionNames are the names by regionIndex.
func regionNames() [4]string { return [4]string{"program and heap", "mapped", "stack", "kernel"} }

// regionIndex returns the region of an address; see [RegionCounts].
func regionIndex(addr uint64) int {
	switch {
	case addr < 0x4000000:
		return 0
	case addr < 0x1ffe000000:
		return 1
	case addr < 0x2000000000:
		return 2
	case addr < 0x7e0000000000:
		return 0
	case addr < 0x7ff000000000:
		return 1
	case addr < 0x800000000000:
		return 2
	}
	return 3
}

// RegionCounts counts references and pages by region of a Linux process on
// x86-64, natively or under valgrind, which puts things elsewhere:
//
//	                   natively                  under valgrind
//	program and heap   below 0x7e0000000000      below 0x4000000
//	mapped             up to 0x7fefffffffff      up to 0x1ffdffffff
//	stack              up to 0x7fffffffffff      from 0x1ffe000000 to 0x1fffffffff
//	kernel             above
//
// Mapped is what mmap gives: libraries, large blocks, files. It goes by the
// address alone: programs and traces that lie elsewhere come out wrong. It needs
// memory for every different page.
//
// Not safe for concurrent use.
type RegionCounts struct {
	shift   uint8
	regions [4]Region
	seen    map[uint64]struct{}
	last    uint64 // page counted last, plus 1
}

// NewRegionCounts returns a RegionCounts for pages of 2^shift bytes.
func NewRegionCounts(shift uint8) *RegionCounts {
	c := &RegionCounts{shift: shift & 63, seen: map[uint64]struct{}{}}
	for i := range c.regions {
		c.regions[i].Name = regionNames()[i]
	}
	return c
}

// Add counts references.
func (c *RegionCounts) Add(refs []Ref) {
	for _, r := range refs {
		region := &c.regions[regionIndex(r.Addr)]
		region.Kinds[r.Kind&3]++
		page := r.Addr >> c.shift
		if page+1 == c.last {
			continue
		}
		c.last = page + 1
		if _, ok := c.seen[page]; !ok {
			c.seen[page] = struct{}{}
			region.Pages++
		}
	}
}

// Regions returns the regions that were referred to, in order of address.
func (c *RegionCounts) Regions() []Region {
	var out []Region
	for _, r := range c.regions {
		if r.Pages > 0 {
			out = append(out, r)
		}
	}
	return out
}
