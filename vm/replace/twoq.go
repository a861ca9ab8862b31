package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// The lists of TwoQ.
const (
	twoQIn   = iota // A1in: resident, seen once lately, in order of load
	twoQMain        // Am: resident, proven, least recently used last
	twoQOut         // A1out: left A1in, only remembered
)

// TwoQ keeps new pages in a queue of their own until they prove to be used again
// after having left it (Johnson and Shasha, 2Q: a low overhead high performance
// buffer management replacement algorithm, VLDB 1994, the full version). With
// the frames c, Kin = max(1, c/4) and Kout = max(1, c/2):
//
//   - a reference to a page in Am moves it to the front of Am, one to a page in
//     A1in changes nothing;
//   - a page that A1out remembers is loaded to the front of Am, any other to the
//     front of A1in;
//   - if A1in has more than Kin pages, its back is evicted and remembered in
//     A1out, of which at most Kout are kept, the latest; else the back of Am is
//     evicted and not remembered. If that list is empty, the other one gives.
//
// O(1).
type TwoQ struct {
	list      rings
	where     []uint8 // by page: 1 + its list, 0 for none
	kin, kout int
	promote   vm.PageID // was in A1out when Victim was asked, or noPage
}

// NewTwoQ returns an empty TwoQ for the given number of frames.
func NewTwoQ(frames int) *TwoQ {
	return &TwoQ{list: newRings(3), kin: max(1, frames/4), kout: max(1, frames/2), promote: noPage}
}

// Hit implements [vm.Policy].
func (q *TwoQ) Hit(p vm.PageID, _ bool) {
	if q.where[p] == 1+twoQMain {
		q.list.toFront(twoQMain, p)
	}
}

// Insert implements [vm.Policy].
func (q *TwoQ) Insert(p vm.PageID, _ bool) {
	q.list.grow(p)
	growTo(&q.where, int(p)+1)
	to := twoQIn
	if q.remembered(p) {
		q.leave(p)
		to = twoQMain
	} else if p == q.promote {
		to = twoQMain
	}
	q.promote = noPage
	q.enter(to, p)
}

// Victim implements [vm.Policy].
func (q *TwoQ) Victim(next vm.PageID) (vm.PageID, bool) {
	q.promote = noPage
	if q.remembered(next) {
		q.leave(next) // so that A1out, which may drop a page now, does not drop this one
		q.promote = next
	}
	in, main := q.list.size[twoQIn], q.list.size[twoQMain]
	switch {
	case in > q.kin || in > 0 && main == 0:
		p := q.list.back(twoQIn)
		q.leave(p)
		q.enter(twoQOut, p)
		if q.list.size[twoQOut] > q.kout {
			q.leave(q.list.back(twoQOut))
		}
		return p, true
	case main > 0:
		p := q.list.back(twoQMain)
		q.leave(p)
		return p, true
	}
	return 0, false
}

// Remove implements [vm.Policy].
func (q *TwoQ) Remove(p vm.PageID) { q.leave(p) }

// Pages implements [vm.Lister]: A1in from its back, then Am from its front.
func (q *TwoQ) Pages() iter.Seq[vm.PageID] { return q.list.allOf(twoQIn, twoQMain) }

func (q *TwoQ) remembered(p vm.PageID) bool {
	return int(p) < len(q.where) && q.where[p] == 1+twoQOut
}

func (q *TwoQ) enter(list int, p vm.PageID) {
	q.list.pushFront(list, p)
	q.where[p] = uint8(1 + list)
}

func (q *TwoQ) leave(p vm.PageID) {
	q.list.remove(int(q.where[p])-1, p)
	q.where[p] = 0
}
