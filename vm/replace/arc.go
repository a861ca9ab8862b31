package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// The lists of ARC and CAR. T lists are resident, B lists only remembered.
const (
	arcT1 = iota // seen once lately
	arcT2        // seen at least twice lately
	arcB1        // left T1
	arcB2        // left T2
)

// ARC divides memory between pages seen once (T1) and pages seen again (T2), and
// moves the border p towards the side whose lately evicted pages (B1, B2) are
// asked for again (Megiddo and Modha, ARC: a self-tuning, low overhead
// replacement cache, FAST 2003, figure 4). With the frames c:
//
//   - hit: to the front of T2;
//   - miss in B1: p grows by max(1, |B2|/|B1|), to at most c; REPLACE; load to T2;
//   - miss in B2: p shrinks by max(1, |B1|/|B2|), to at least 0; REPLACE; to T2;
//   - other miss: if |T1|+|B1| = c, the back of B1 is forgotten and REPLACE done,
//     or, when B1 is empty, the back of T1 evicted and forgotten; else, if all
//     four lists hold 2c, the back of B2 is forgotten; REPLACE; load to T1;
//   - REPLACE evicts the back of T1 into B1 if |T1| > p, or |T1| = p and the miss
//     is in B2, else the back of T2 into B2; from the other list if one is empty.
//
// The quotients are real numbers, as p is. O(1).
type ARC struct {
	list    rings
	where   []uint8 // by page: 1 + its list, 0 for none
	c       int
	p       float64
	adapted vm.PageID // the miss that p was moved for, or noPage
}

// NewARC returns an empty ARC for the given number of frames.
func NewARC(frames int) *ARC {
	return &ARC{list: newRings(4), c: max(frames, 1), adapted: noPage}
}

// Hit implements [vm.Policy].
func (a *ARC) Hit(p vm.PageID, _ bool) {
	a.leave(p)
	a.enter(arcT2, p)
}

// Insert implements [vm.Policy].
func (a *ARC) Insert(p vm.PageID, _ bool) {
	a.list.grow(p)
	growTo(&a.where, int(p)+1)
	a.adapt(p)
	a.adapted = noPage
	if a.where[p] == 0 {
		a.enter(arcT1, p)
		a.trim()
		return
	}
	a.leave(p)
	a.enter(arcT2, p)
}

// Victim implements [vm.Policy].
func (a *ARC) Victim(next vm.PageID) (vm.PageID, bool) {
	a.adapted = noPage
	if a.adapt(next) {
		return a.replace(a.where[next] == 1+arcB2)
	}
	s := a.list.size
	switch l1 := s[arcT1] + s[arcB1]; {
	case l1 >= a.c && s[arcB1] > 0:
		a.leave(a.list.back(arcB1))
	case l1 >= a.c && s[arcT1] > 0:
		p := a.list.back(arcT1)
		a.leave(p)
		return p, true
	case l1+s[arcT2]+s[arcB2] >= 2*a.c && s[arcB2] > 0:
		a.leave(a.list.back(arcB2))
	}
	return a.replace(false)
}

// adapt moves the border for a miss of page, once, and reports whether page is
// remembered.
func (a *ARC) adapt(page vm.PageID) bool {
	if !remembered(a.where, page) {
		return false
	}
	if a.adapted == page {
		return true
	}
	a.adapted = page
	b1, b2 := float64(a.list.size[arcB1]), float64(a.list.size[arcB2])
	if a.where[page] == 1+arcB1 {
		a.p = min(float64(a.c), a.p+max(1, b2/b1))
	} else {
		a.p = max(0, a.p-max(1, b1/b2))
	}
	return true
}

// remembered reports whether page is in B1 or B2.
func remembered(where []uint8, page vm.PageID) bool {
	return int(page) < len(where) && where[page] >= 1+arcB1
}

// replace is the paper's REPLACE.
func (a *ARC) replace(inB2 bool) (vm.PageID, bool) {
	t1, t2 := a.list.size[arcT1], a.list.size[arcT2]
	if t1+t2 == 0 {
		return 0, false
	}
	from := arcT2
	if t2 == 0 || t1 > 0 && (float64(t1) > a.p || inB2 && float64(t1) == a.p) {
		from = arcT1
	}
	p := a.list.back(from)
	a.leave(p)
	a.enter(from+arcB1-arcT1, p)
	return p, true
}

// trim keeps the directory within its bounds when pages came in without one
// being asked for, as after Remove.
func (a *ARC) trim() {
	s := a.list.size // changes with the lists
	for s[arcT1]+s[arcB1] > a.c && s[arcB1] > 0 {
		a.leave(a.list.back(arcB1))
	}
	for s[arcT1]+s[arcT2]+s[arcB1]+s[arcB2] > 2*a.c && s[arcB2] > 0 {
		a.leave(a.list.back(arcB2))
	}
}

// Remove implements [vm.Policy].
func (a *ARC) Remove(p vm.PageID) { a.leave(p) }

// Pages implements [vm.Lister]: T1, then T2, each with its front first.
func (a *ARC) Pages() iter.Seq[vm.PageID] { return a.list.allOf(arcT1, arcT2) }

// Target returns p, the size that T1 should have.
func (a *ARC) Target() float64 { return a.p }

func (a *ARC) enter(list int, p vm.PageID) {
	a.list.pushFront(list, p)
	a.where[p] = uint8(1 + list)
}

func (a *ARC) leave(p vm.PageID) {
	a.list.remove(int(a.where[p])-1, p)
	a.where[p] = 0
}
