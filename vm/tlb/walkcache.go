package tlb

import "github.com/memlab-go/memlab/vm"

// A walkCache holds steps to the tables of one level, LRU in each set.
type walkCache struct {
	conf    WalkCache
	ways    int
	setMask uint64
	slots   []stepSlot
	clock   uint64
}

// stepSlot is one step; stamp 0 is empty.
type stepSlot struct {
	prefix uint64 // address >> shift
	stamp  uint64
	step   vm.WalkStep
	asid   vm.ASID
}

func newWalkCache(c WalkCache) *walkCache {
	ways := (&Array{Entries: c.Entries, Ways: c.Ways}).ways()
	return &walkCache{conf: c, ways: ways, setMask: uint64(c.Entries/ways - 1), slots: make([]stepSlot, c.Entries)}
}

// set returns the slots that may hold prefix.
func (c *walkCache) set(prefix uint64) []stepSlot {
	base := int(prefix&c.setMask) * c.ways
	return c.slots[base : base+c.ways]
}

// find returns the step for va under asid.
func (c *walkCache) find(asid vm.ASID, va vm.VirtAddr) (vm.WalkStep, bool) {
	prefix := uint64(va) >> c.conf.Shift
	set := c.set(prefix)
	for i := range set {
		if s := &set[i]; s.stamp != 0 && s.prefix == prefix && s.asid == asid {
			c.clock++
			s.stamp = c.clock
			return s.step, true
		}
	}
	return vm.WalkStep{}, false
}

// fill remembers a step in place of the one of the same prefix, else of an empty
// slot, else of the one used longest ago.
func (c *walkCache) fill(asid vm.ASID, va vm.VirtAddr, step vm.WalkStep) {
	prefix := uint64(va) >> c.conf.Shift
	set := c.set(prefix)
	best := 0
	for i := range set {
		if set[i].stamp != 0 && set[i].prefix == prefix && set[i].asid == asid {
			best = i
			break
		}
		if set[i].stamp < set[best].stamp {
			best = i
		}
	}
	c.clock++
	set[best] = stepSlot{prefix, c.clock, step, asid}
}

// flush drops what [TLB.Flush] says.
func (c *walkCache) flush(f vm.Flush) {
	for i := range c.slots {
		s := &c.slots[i]
		if f.OneVA && s.prefix != uint64(f.VA)>>c.conf.Shift || f.OneASID && s.asid != f.ASID {
			continue
		}
		*s = stepSlot{}
	}
}

// FindStep implements [vm.WalkCache]: the step deepest down the table among the
// caches that know the address. Steps belong to one address space, those of
// global pages too. Only the cache that answers counts it as a use.
func (t *TLB) FindStep(asid vm.ASID, va vm.VirtAddr) (vm.WalkStep, bool) {
	if len(t.caches) == 0 {
		return vm.WalkStep{}, false
	}
	t.stats.CacheLookups++
	for level := 0; level <= 5; level++ {
		for _, c := range t.caches {
			if c.conf.Level != level {
				continue
			}
			if s, ok := c.find(asid, va); ok {
				t.stats.CacheHits++
				return s, true
			}
		}
	}
	return vm.WalkStep{}, false
}

// FillStep implements [vm.WalkCache]: every cache for the step's level takes it.
func (t *TLB) FillStep(asid vm.ASID, va vm.VirtAddr, s vm.WalkStep) {
	for _, c := range t.caches {
		if c.conf.Level == int(s.Level) {
			c.fill(asid, va, s)
		}
	}
}
