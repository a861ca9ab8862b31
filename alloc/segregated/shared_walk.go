package segregated

import (
	"iter"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/memlab-go/memlab/alloc"
)

// Blocks returns an iterator over a snapshot of the blocks, used and free, in
// address order, taken when the loop starts: its body may call the heap. Slots
// that other goroutines take or free while the snapshot is made appear as they
// were or as they are. A closed heap has no blocks. To take it holds all locks for O(blocks), and
// it has one [alloc.Block] for each on the Go heap.
func (s *Shared) Blocks() iter.Seq[alloc.Block] {
	return func(yield func(alloc.Block) bool) {
		for _, b := range s.snapshot() {
			if !yield(b) {
				return
			}
		}
	}
}

func (s *Shared) snapshot() []alloc.Block {
	s.lockAll()
	defer s.unlockAll()
	return slices.Collect(s.h.Blocks())
}

// Check is [Heap.Check], and for runs these laws:
//
//	L4  both words of a run's row are those of its class, slots that do not exist are used, the row
//	    that follows has nothing but what was lent, the others are clear; each used span that a
//	    stock may keep has its word, and there are no others
//	L7  a run's owner exists; a run is on its owner's list of the class exactly if its word says so, and not more than once
//	L8  the owner counts its runs
//
// Slots may be taken and freed meanwhile, runs not.
func (s *Shared) Check() error {
	s.lockAll()
	defer s.unlockAll()
	return s.h.Check()
}

// Stats returns the figures of this moment, as [Heap.Stats] does. Slots that
// are at hand in a [Handle], and what it has in stock, are free.
func (s *Shared) Stats() alloc.Stats {
	s.lockAll()
	defer s.unlockAll()
	st := s.h.Stats()
	if s.serial {
		return st
	}
	var frees, live uint64
	for _, o := range *s.owners.Load() {
		frees += o.frees.Load() + o.taken
		if hs := o.hands.Load(); hs != nil {
			frees += hs.frees() + hs.stock.takes()
		}
	}
	if s.h.closed {
		st.Frees += s.left
		st.LiveBlocks -= int(s.left)
	} else {
		for p := range s.h.pieces() {
			if p.bad == "" && p.class != 0 {
				w, _ := s.word(uintptr(p.g >> granuleBits))
				frees += countOf(w)
				live += uint64(bits.OnesCount64(s.liveSlots(p.g>>granuleBits, p.class)))
			}
		}
	}
	st.Frees += frees
	st.Mallocs += frees + live
	st.LiveBlocks += int(live)
	return st
}

// Trim gives back every page that holds no block, and every empty run but for
// those that handles have at hand, and returns by how many bytes the heap's
// committed memory shrank. What a [Handle] has in stock goes back on amd64 under Linux, and
// stays elsewhere, as with the race detector. A Shared does most of that by itself within
// some seconds for goroutines and handles that are idle, if slowly when it has given much back before;
// Trim does all of it at once, also for those that are at work. See [Heap.Trim].
func (s *Shared) Trim() int {
	if s.serial {
		s.lock()
		defer s.unlock()
		return s.h.Trim()
	}
	before := s.committed()
	s.reclaim(nil)
	s.lock()
	s.h.Trim()
	s.unlock()
	return max(0, before-s.committed())
}

// committed returns the bytes that are committed.
func (s *Shared) committed() int {
	s.lock()
	defer s.unlock()
	return int(s.h.committed)
}

// checkRun is checker.run for the runs of a Shared, all of whose locks are held.
func (c *checker) checkRun(p piece) {
	s, u := c.shared, uintptr(p.g>>granuleBits)
	cl := &s.classes[p.class]
	w, _ := s.word(u)
	if !cl.isRun(w) || w&cl.empty()&slotMask != cl.empty()&slotMask {
		c.report(4, "run %#x: word %#x is not one of class %d", p.g<<granuleShift, w, p.class)
	}
	for i := uintptr(1); i < cl.units; i++ {
		w, _ := s.word(u + i)
		owner, kind := atomic.LoadUint64(s.bound(u+i)), c.kinds[u+i]
		if w != 0 && (i > 1 || !isShown(w)) || owner != 0 || kind != uint16(p.class<<8)|uint16(i) {
			c.report(4, "words %d of the run %#x: %#x, %#x of kind %#x", i, p.g<<granuleShift, w, owner, kind)
		}
	}
	b := *s.bound(u)
	owners := *s.owners.Load()
	if !cl.isRun(b) || b&ownerMask >= uint64(len(owners)) {
		c.report(7, "run %#x: owner %#x", p.g<<granuleShift, b)
		return
	}
	c.owned[b&ownerMask]++
	if b&listedBit != 0 {
		c.listed[u] = b & ownerMask
	}
}

// spanWord checks the word of a span, if the heap is a Shared's: a used one that a stock may keep has
// one.
func (c *checker) spanWord(p piece) {
	if c.shared == nil || !p.used || !isStockSize(p.n) {
		return
	}
	w, _ := c.shared.word(uintptr(p.g >> granuleBits))
	want := liveSpan(p.g, p.n)
	if got := spanWord(w); got != want && got != want.stocked() {
		c.report(4, "the word of the span %#x is %#x, want %#x", p.g<<granuleShift, got, want)
	}
}

// strayWords looks for words of spans where no such span begins. O(units).
func (c *checker) strayWords() {
	for u := c.first >> granuleBits; u <= c.top>>granuleBits; u++ {
		w, _ := c.shared.word(uintptr(u))
		if !spanWord(w).isSpan() {
			continue
		}
		if g := spanWord(w).start(); g>>granuleBits != u || !c.isUsed(g) || !isStockSize(c.spanSize(g)) {
			c.report(4, "the word of unit %#x is %#x, of no span that begins there", u, w)
		}
	}
}

// checkLists compares the lists of all owners with what checkRun has seen.
func (c *checker) checkLists() {
	for id, o := range *c.shared.owners.Load() {
		for ci := range o.lists {
			for _, run := range o.lists[ci].q[o.lists[ci].head:] {
				if owner, ok := c.listed[uintptr(run)]; !ok || owner != uint64(id) || uint64(c.kinds[run]>>8) != uint64(ci) {
					c.report(7, "owner %d has %#x on its list of class %d, which is not there or is there twice", id, uint64(run)<<unitShift, ci)
					continue
				}
				delete(c.listed, uintptr(run))
			}
		}
		if c.owned[uint64(id)] != o.runs {
			c.report(8, "owner %d has %d runs, its counter says %d", id, c.owned[uint64(id)], o.runs)
		}
	}
	for run, id := range c.listed {
		c.report(7, "run %#x is on no list of its owner %d", run<<unitShift, id)
	}
}
