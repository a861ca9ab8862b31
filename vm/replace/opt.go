package replace

import (
	"cmp"
	"iter"
	"slices"

	"github.com/memlab-go/memlab/vm"
)

// OPT evicts the page whose next use is farthest away, pages that are never
// used again first; among those, the one loaded last (OSTEP's rule, by which
// its homework is answered; the number of faults does not depend on it). No policy that loads on demand has fewer faults
// (Belady, A study of replacement algorithms for a virtual-storage computer, IBM
// Systems Journal 5, 1966; proved by Mattson and others 1970).
//
// It must be told the references that it will see. What the simulation then
// reports has to follow them; references to pinned pages may be left out, as
// [Sim] does. O(1) a hit, O(log64 references) a fault.
type OPT struct {
	fut     *Future
	now     int      // time of the next reference
	ahead   []uint32 // by page: first use at or after now
	loaded  []uint32 // by page: 1 + number of loads before its load, 0 while not resident
	loads   uint32
	removed []bool   // by page: taken out by Remove, not by Victim
	uses    timeSet  // next uses of resident pages; may hold past times
	dead    deadHeap // resident pages never used again
	nearest bool     // the opposite policy, UNOPT
}

// NewOPT returns OPT for the references of f.
func NewOPT(f *Future) *OPT {
	n := f.NumPages()
	return &OPT{
		fut: f, ahead: slices.Clone(f.first), uses: newTimeSet(f.Len()),
		loaded: make([]uint32, n), removed: make([]bool, n),
	}
}

// Hit implements [vm.Policy].
func (o *OPT) Hit(p vm.PageID, _ bool) { o.use(o.reference(p), p) }

// Insert implements [vm.Policy].
func (o *OPT) Insert(p vm.PageID, _ bool) {
	growTo(&o.ahead, int(p)+1)
	growTo(&o.loaded, int(p)+1)
	growTo(&o.removed, int(p)+1)
	if o.removed[p] && int(o.ahead[p]) != o.now {
		o.unpin(p) // so it must be
		return
	}
	o.load(p)
	o.use(o.reference(p), p)
}

// unpin implements unpinner: an Insert that is no reference.
func (o *OPT) unpin(p vm.PageID) {
	o.load(p)
	o.use(o.ahead[p], p)
}

// load makes p resident.
func (o *OPT) load(p vm.PageID) {
	o.loads++
	o.loaded[p], o.removed[p] = o.loads, false
}

// reference takes the reference to p out of the future and returns when p is
// used next. References that were not reported are passed over.
func (o *OPT) reference(p vm.PageID) uint32 {
	at := o.ahead[p]
	if int(p) >= len(o.fut.first) || at == never || int(at) < o.now {
		return never // not what was foretold
	}
	for ; o.now < int(at); o.now++ {
		q := o.fut.refs[o.now].Page()
		if o.ahead[q] = o.fut.next[o.now]; o.loaded[q] != 0 && q != p { // it was pinned then
			o.use(o.ahead[q], q)
		}
	}
	o.now++
	o.ahead[p] = o.fut.next[at]
	return o.ahead[p]
}

// use notes that the resident page p is used next at that time.
func (o *OPT) use(next uint32, p vm.PageID) {
	if next == never {
		o.dead.push(deadPage{o.loaded[p], p}, o.nearest)
		return
	}
	o.uses.add(next)
}

// Victim implements [vm.Policy].
func (o *OPT) Victim(vm.PageID) (vm.PageID, bool) {
	if o.nearest {
		if t, ok := o.uses.from(uint32(o.now)); ok {
			return o.evict(t)
		}
	}
	for len(o.dead) > 0 {
		d := o.dead.pop(o.nearest)
		if o.loaded[d.page] == d.loaded { // still the same residence
			o.loaded[d.page] = 0
			return d.page, true
		}
	}
	if t, ok := o.uses.last(); ok && int(t) >= o.now {
		return o.evict(t)
	}
	return 0, false
}

// evict takes out the page that is used at time t.
func (o *OPT) evict(t uint32) (vm.PageID, bool) {
	o.uses.drop(t)
	p := o.fut.refs[t].Page()
	o.loaded[p] = 0
	return p, true
}

// Remove implements [vm.Policy].
func (o *OPT) Remove(p vm.PageID) {
	if t := o.ahead[p]; t != never {
		o.uses.drop(t)
	}
	o.loaded[p] = 0
	o.removed[p] = true
}

// Pages implements [vm.Lister]: in the order of the loads.
func (o *OPT) Pages() iter.Seq[vm.PageID] {
	var pages []vm.PageID
	for p, l := range o.loaded {
		if l != 0 {
			pages = append(pages, vm.PageID(p))
		}
	}
	slices.SortFunc(pages, func(a, b vm.PageID) int { return cmp.Compare(o.loaded[a], o.loaded[b]) })
	return slices.Values(pages)
}

// runBatch implements batcher. It serves batches that are exactly the next
// references of the future, and pages never taken out, for which ahead needs
// no upkeep: the time of the page's next use follows from the time of this one.
func (o *OPT) runBatch(s *Sim, refs []Ref) int {
	if o.nearest || o.now+len(refs) > o.fut.Len() || !slices.Equal(o.fut.refs[o.now:o.now+len(refs)], refs) {
		return 0
	}
	growTo(&s.state, o.fut.NumPages())
	state, next, leaf, c := s.state, o.fut.next[o.now:o.now+len(refs)], o.uses[0], s.counts
	for i, r := range refs {
		p := r.Page()
		o.now++
		c.Writes += int64(r & 1)
		if st := state[p]; st != 0 {
			state[p] = st | uint8(r&1)<<1
		} else {
			c.Misses++
			if s.used < s.frames {
				s.used++
			} else {
				v, _ := o.Victim(p)
				c.Evictions++
				c.Writebacks += int64(state[v] >> 1)
				state[v] = 0
			}
			state[p] = resident | uint8(r&1)<<1
			o.load(p)
		}
		n := next[i]
		o.ahead[p] = n
		if n == never || leaf[n>>6] == 0 {
			o.use(n, p)
		} else {
			leaf[n>>6] |= 1 << (n & 63)
		}
	}
	s.counts = c
	return len(refs)
}

// deadPage is a page that is never used again and the number of its load.
type deadPage struct {
	loaded uint32
	page   vm.PageID
}

// deadHeap is a binary heap, the last load on top; with first, the first load.
// Every page dies at most once in a trace.
type deadHeap []deadPage

func (h *deadHeap) push(d deadPage, first bool) {
	a := append(*h, d)
	*h = a
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].loaded > a[i].loaded != first {
			return
		}
		a[i], a[up] = a[up], a[i]
		i = up
	}
}

func (h *deadHeap) pop(first bool) deadPage {
	a := *h
	top, n := a[0], len(a)-1
	a[0] = a[n]
	a = a[:n]
	*h = a
	for i := 0; ; {
		kid := 2*i + 1
		if kid+1 < n && a[kid+1].loaded > a[kid].loaded != first {
			kid++
		}
		if kid >= n || a[i].loaded > a[kid].loaded != first {
			return top
		}
		a[i], a[kid] = a[kid], a[i]
		i = kid
	}
}
