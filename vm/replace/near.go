package replace

import "github.com/memlab-go/memlab/vm"

// near is what [Sim.RunAccesses] looks into first: a direct-mapped cache, a TLB of
// a kind, of pages that are resident. An access that it holds is a hit that changes
// no counter but those of references and of writes, and is known by one comparison.
//
// Law: the key of a slot is that of a resident page, which is dirty if bit 0 is set,
// or void: one that has its home elsewhere, so that no access finds it. Pages come
// in when they are hit, not when they are loaded, and go when they leave memory.
type near struct {
	pages *Pages // whose numbers it holds; nil: it is to be cleared first
	slots [nearSlots]nearSlot

	refs, lost int // of this trial, and of them those that were not near
	wait, far  int // references until the next trial; the wait after the last that failed
}

const (
	nearBits  = 14
	nearSlots = 1 << nearBits
)

// nearSlot is an access that may be a write if one was before, and where the policy has
// its page.
type nearSlot struct {
	key   Access
	where uint32
}

// home returns the slot of the page of a.
func home(a Access) uint64 { return uint64(a|1) * fibonacci >> (64 - nearBits) }

// neighbour is the lowest bit of the page in a key. To flip it voids the key: the homes
// of two pages that differ in that bit only are a quarter of the slots apart.
const neighbour = 2

// of returns n ready for the pages of t: as it is, or empty. A nil n is made.
func (n *near) of(t *Pages) *near {
	if n == nil {
		n = new(near)
	}
	if n.pages != t {
		n.pages = t
		clear(n.slots[:])
		n.slots[home(0)].key = neighbour // a key of 0 is void in all other slots
	}
	return n
}

// holds reports whether the key of a slot answers a: the same page, and a write
// only if the page is dirty.
func (s *nearSlot) holds(a Access) bool { return s.key^a <= s.key&1 }

// put brings the resident page of a in, which has state st.
func (n *near) put(a Access, st uint8, where uint32) {
	n.slots[home(a)] = nearSlot{a&^1 | Access(st&dirty)>>1, where}
}

// drop takes p out, if it is there.
func (n *near) drop(p vm.PageID) {
	if int(p) >= n.pages.Len() {
		return // numbered by somebody else
	}
	a := MakeAccess(n.pages.Page(p), true)
	if s := &n.slots[home(a)]; s.key|1 == a {
		s.key ^= neighbour
	}
}

// leaveNear has the cache cleared before it is used again: pages come, go and change
// places without its being told.
func (s *Sim) leaveNear() {
	if s.near != nil {
		s.near.pages = nil
	}
}

// While more accesses than one in eight are not near, it is faster to number a batch
// of them first, in a loop that need not wait for what becomes of each. So a trial of
// nearSpan references ends as soon as an eighth of them were lost, and after that,
// the other way is gone for a while, which doubles with every failure in a row.
const (
	nearSpan = 4096
	mostLost = nearSpan / 8
	leastFar = 4 * nearSpan
	mostFar  = 64 * nearSpan
)

// lose counts an access that was not near and reports whether the trial has failed.
func (n *near) lose() bool {
	n.lost++
	return n.lost >= mostLost
}

// count counts references of a trial, and ends it.
func (n *near) count(refs int) {
	n.refs += refs
	switch {
	case n.lost >= mostLost:
		n.far = min(max(2*n.far, leastFar), mostFar)
		n.refs, n.lost, n.wait = 0, 0, n.far
	case n.refs >= nearSpan:
		n.refs, n.lost, n.far = 0, 0, 0
	}
}

// pass counts references that went the other way.
func (n *near) pass(refs int) {
	if n != nil {
		n.wait = max(n.wait-refs, 0)
	}
}

// worthTrying reports whether the next accesses are to be looked for in n.
func (n *near) worthTrying() bool { return n == nil || n.wait == 0 }
