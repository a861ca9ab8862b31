package tlb

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// The sides of a level.
const (
	dataSide = iota
	instrSide
)

// A TLB is the TLB of one core. It implements [vm.TLB], [vm.WalkCache] and
// [vm.Emitter].
//
// Not safe for concurrent use.
type TLB struct {
	conf     Config
	levels   []level
	caches   []*walkCache
	stats    Stats    // but for the counters of levels
	front    [2]front // by side: what is asked first
	sink     vm.Sink
	prefetch func(vm.ASID, vm.VirtAddr, vm.Access) (vm.Entry, bool)
}

// A level holds the arrays of both sides, which are the same ones in a shared
// level.
type level struct {
	arrays [2][]*array // by side
	all    []*array    // each array once
	incl   Inclusion
	stats  LevelStats
}

// A front is the first array that a side asks, and the counters of that level.
type front struct {
	a      *array
	counts *SideStats
}

// New returns an empty TLB, or what [Config.Check] says.
func New(c Config) (*TLB, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	t := &TLB{conf: c}
	for _, lc := range c.Levels {
		l := level{incl: lc.Inclusion}
		for _, a := range lc.Data {
			l.arrays[dataSide] = append(l.arrays[dataSide], newArray(a))
		}
		for _, a := range lc.Instr {
			l.arrays[instrSide] = append(l.arrays[instrSide], newArray(a))
		}
		l.all = append(l.all, l.arrays[dataSide]...)
		l.all = append(l.all, l.arrays[instrSide]...)
		if lc.Instr == nil {
			l.arrays[instrSide] = l.arrays[dataSide]
		}
		for _, a := range l.all {
			if c.Prefetch != NoPrefetch {
				a.loud = loudCtx // the first hit of a page fetched ahead is counted
			}
		}
		t.levels = append(t.levels, l)
	}
	for sd := range t.front {
		l := &t.levels[0]
		t.front[sd] = front{l.arrays[sd][0], l.stats.of(sd)}
	}
	for _, w := range c.WalkCaches {
		t.caches = append(t.caches, newWalkCache(w))
	}
	return t, nil
}

// Config returns the shape.
func (t *TLB) Config() Config { return t.conf }

// SetEvents has fills and evictions reported to sink; nil ends it. It
// implements [vm.Emitter].
func (t *TLB) SetEvents(sink vm.Sink) { t.sink = sink }

// SetPrefetch supplies translations for [NextPage]: f looks a page up in the page
// table without changing anything, and reports whether it is there and may be
// fetched ahead. Nil, and at first, nothing is prefetched.
func (t *TLB) SetPrefetch(f func(vm.ASID, vm.VirtAddr, vm.Access) (vm.Entry, bool)) { t.prefetch = f }

// Stats returns what was counted so far.
func (t *TLB) Stats() Stats {
	s := t.stats
	s.Levels = make([]LevelStats, len(t.levels))
	for i := range t.levels {
		s.Levels[i] = t.levels[i].stats
	}
	return s
}

// ResetStats sets all counters to 0 and leaves the entries alone.
func (t *TLB) ResetStats() {
	t.stats = Stats{}
	for i := range t.levels {
		t.levels[i].stats = LevelStats{}
	}
}

// side returns the side that acc asks.
func side(acc vm.Access) int {
	if acc.Op() == vm.Execute {
		return instrSide
	}
	return dataSide
}

// of returns the counters of a side.
func (l *LevelStats) of(side int) *SideStats {
	if side == instrSide {
		return &l.Instr
	}
	return &l.Data
}

// Lookup implements [vm.TLB].
func (t *TLB) Lookup(asid vm.ASID, va vm.VirtAddr, acc vm.Access) (vm.Entry, bool) {
	f := &t.front[side(acc)&1]
	a := f.a
	shift, ctx := a.fastKey(asid)
	vpn := uint64(va) >> shift
	set := vpn & a.setMask
	if s := &a.slots[set*uint64(a.ways)+uint64(a.hint[set])]; s.vpn == vpn && s.ctx == ctx {
		f.counts.Lookups++
		return s.entry(), true
	}
	s := t.lookup(asid, uint64(va), side(acc))
	if s == nil {
		return vm.Entry{}, false
	}
	return s.entry(), true
}

// lookup is one reference. It returns the slot in the first level that takes the
// page's size, valid until something is inserted; nil after a miss in all levels.
func (t *TLB) lookup(asid vm.ASID, va uint64, side int) *slot {
	for k := range t.levels {
		l := &t.levels[k]
		counts := l.stats.of(side)
		counts.Lookups++
		for _, a := range l.arrays[side] {
			i := a.find(asid, va)
			if i < 0 {
				continue
			}
			a.touch(i)
			s := &a.slots[i]
			if s.ahead {
				s.ahead = false
				t.stats.PrefetchHits++
			}
			if k > 0 {
				return t.promote(k, side, a, i)
			}
			return s
		}
		counts.Misses++
	}
	return nil
}

// promote copies slot i of a, in level k, to the levels before it, or moves it
// if level k is exclusive. It returns the copy that is found first.
func (t *TLB) promote(k, side int, a *array, i int) *slot {
	s := a.slots[i]
	if t.levels[k].incl == Exclusive && t.takenBefore(k, side, s.shift()) {
		a.drop(i)
	}
	var first *slot
	for j := k - 1; j >= 0; j-- {
		if t.levels[j].incl != Exclusive || !t.takenBefore(j, side, s.shift()) {
			if p := t.fill(j, side, s); p != nil {
				first = p
			}
		}
	}
	if first == nil {
		first = &a.slots[i]
	}
	return first
}

// pick returns the array of level k that takes pages of 2^shift bytes, or nil.
func (t *TLB) pick(k, side int, shift uint8) *array {
	for _, a := range t.levels[k].arrays[side] {
		if a.takes>>shift&1 != 0 {
			return a
		}
	}
	return nil
}

// fill puts s into level k and deals with what had to leave. It returns the
// slot, nil if the level takes no pages of that size.
func (t *TLB) fill(k, side int, s slot) *slot {
	a := t.pick(k, side, s.shift())
	if a == nil {
		return nil
	}
	l := &t.levels[k]
	if i := a.findPage(s.vpn, s.ctx); i >= 0 { // a shared level may have it from the other side
		a.slots[i] = s
		a.touch(i)
		return &a.slots[i]
	}
	t.dropOverlaps(k, side, s.ctx, s.entry()) // the other side may have brought them to a shared level
	old, evicted := a.fill(s)
	l.stats.Fills++
	if t.sink != nil {
		t.sink(vm.Event{Kind: vm.EventFill, Level: int8(k + 1), ASID: s.entry().ASID, VA: s.entry().Page, Entry: s.entry()})
	}
	if evicted {
		l.stats.Evictions++
		t.evicted(k, side, old)
	}
	return &a.slots[a.findPage(s.vpn, s.ctx)]
}

// evicted deals with a victim of level k.
func (t *TLB) evicted(k, side int, old slot) {
	if t.sink != nil {
		e := old.entry()
		t.sink(vm.Event{Kind: vm.EventEvict, Level: int8(k + 1), ASID: e.ASID, VA: e.Page, Entry: e})
	}
	if t.levels[k].incl == Inclusive {
		for j := range k {
			for _, a := range t.levels[j].all {
				if i := a.findPage(old.vpn, old.ctx); i >= 0 {
					a.drop(i)
					t.levels[j].stats.Dropped++
				}
			}
		}
	}
	if k+1 < len(t.levels) && t.levels[k+1].incl == Exclusive {
		t.fill(k+1, side, old)
	}
}

// Insert implements [vm.TLB]. It counts a walk of e.Refs memory references.
func (t *TLB) Insert(e vm.Entry, acc vm.Access) {
	t.stats.Walks++
	t.stats.WalkRefs += int64(e.Refs)
	t.insert(e, side(acc), false)
	if t.conf.Prefetch == NextPage && t.prefetch != nil {
		t.fetchNext(e, acc)
	}
}

// insert puts e into every level that walks fill.
func (t *TLB) insert(e vm.Entry, side int, ahead bool) {
	e.Page &^= vm.VirtAddr(e.Size() - 1)
	s := newSlot(e)
	s.ahead = ahead
	for k := range t.levels {
		t.dropOverlaps(k, side, 0, e)
	}
	for k := len(t.levels) - 1; k >= 0; k-- {
		if t.levels[k].incl != Exclusive || !t.takenBefore(k, side, e.Shift) {
			t.fill(k, side, s)
		}
	}
}

// dropOverlaps empties the slots of level k that share an address with e, and
// then those of the levels before it if it is inclusive. Arrays that hold nothing
// but entries of the context except are passed over.
func (t *TLB) dropOverlaps(k, side int, except uint32, e vm.Entry) {
	n := 0
	for _, a := range t.levels[k].arrays[side] {
		if a.valid > 0 && (except == 0 || a.only != except) {
			n += a.dropOverlaps(e)
		}
	}
	t.levels[k].stats.Dropped += int64(n)
	if n == 0 || t.levels[k].incl != Inclusive {
		return
	}
	for j := range k {
		for _, a := range t.levels[j].all {
			t.levels[j].stats.Dropped += int64(a.dropOverlaps(e))
		}
	}
}

// takenBefore reports whether a level before level k takes pages of the size.
func (t *TLB) takenBefore(k, side int, shift uint8) bool {
	for j := range k {
		if t.pick(j, side, shift) != nil {
			return true
		}
	}
	return false
}

// fetchNext inserts the page behind e, if it is mapped and not held already.
func (t *TLB) fetchNext(e vm.Entry, acc vm.Access) {
	next := e.Page + vm.VirtAddr(e.Size())
	if next < e.Page {
		return // past the end of the address space
	}
	for k := range t.levels {
		for _, a := range t.levels[k].arrays[side(acc)] {
			if a.find(e.ASID, uint64(next)) >= 0 {
				return
			}
		}
	}
	if n, ok := t.prefetch(e.ASID, next, acc); ok {
		t.stats.Prefetches++
		t.stats.WalkRefs += int64(n.Refs)
		t.insert(n, side(acc), true)
	}
}

// Flush implements [vm.TLB]. O(ways) for one address, else O(entries). A translation that several levels hold counts
// once. Page-walk caches lose every step whose range contains the address, or
// that belongs to the address space, whatever f says of global pages.
func (t *TLB) Flush(f vm.Flush) int {
	n := 0
	for k := range t.levels {
		for j, a := range t.levels[k].all {
			for i := range a.matches(f) {
				if !t.heldBefore(k, j, &a.slots[i]) {
					n++
				}
			}
		}
	}
	t.stats.Flushes++
	for k := range t.levels {
		for _, a := range t.levels[k].all {
			for i := range a.matches(f) {
				a.drop(i)
				t.levels[k].stats.Flushed++
			}
		}
	}
	for _, c := range t.caches {
		c.flush(f)
	}
	return n
}

// Entries implements [vm.TLB]: level by level, data side first, in the order of
// the slots. A translation that several arrays hold comes once.
func (t *TLB) Entries() iter.Seq[vm.Entry] {
	return func(yield func(vm.Entry) bool) {
		for k := range t.levels {
			for j, a := range t.levels[k].all {
				for i := range a.slots {
					if s := &a.slots[i]; s.ctx != 0 && !t.heldBefore(k, j, s) && !yield(s.entry()) {
						return
					}
				}
			}
		}
	}
}

// heldBefore reports whether an array before array j of level k holds the very
// translation of s.
func (t *TLB) heldBefore(k, j int, s *slot) bool {
	for l := range k + 1 {
		arrays := t.levels[l].all
		if l == k {
			arrays = arrays[:j]
		}
		for _, a := range arrays {
			if i := a.findPage(s.vpn, s.ctx); i >= 0 && a.slots[i].entry() == s.entry() {
				return true
			}
		}
	}
	return false
}
