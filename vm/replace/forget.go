package replace

import "github.com/memlab-go/memlab/vm"

// The policies that remember pages which have left memory are [vm.Forgetter]s:
// what they remember of a page goes when its number is to name another one. Pages
// that are resident, or not remembered, are left alone, but that LRU-K forgets the
// times of a resident page, too. O(1) each.

// Forget implements [vm.Forgetter].
func (a *ARC) Forget(p vm.PageID) {
	if w := whereOf(a.where, p); w == 1+arcB1 || w == 1+arcB2 {
		a.leave(p)
	}
	if a.adapted == p {
		a.adapted = noPage
	}
}

// Forget implements [vm.Forgetter].
func (c *CAR) Forget(p vm.PageID) {
	if w := whereOf(c.where, p); w == 1+arcB1 || w == 1+arcB2 {
		c.leave(p)
	}
}

// Forget implements [vm.Forgetter].
func (q *TwoQ) Forget(p vm.PageID) {
	if q.remembered(p) {
		q.leave(p)
	}
	if q.promote == p {
		q.promote = noPage
	}
}

// Forget implements [vm.Forgetter].
func (s *S3FIFO) Forget(p vm.PageID) {
	if whereOf(s.where, p) == 1+s3Ghost {
		s.leave(p)
	}
}

// Forget implements [vm.Forgetter].
func (l *LIRS) Forget(p vm.PageID) {
	if whereOf(l.state, p) == lirsGhost {
		l.queue.remove(1, p)
		l.state[p] = lirsNone
		l.pop(p)
		l.prune()
	}
}

// Forget implements [vm.Forgetter].
func (l *LRUK) Forget(p vm.PageID) {
	if end := (int(p) + 1) * l.k; end <= len(l.hist) {
		clear(l.hist[end-l.k : end])
	}
}

// whereOf returns the element of p, 0 if there is none.
func whereOf(s []uint8, p vm.PageID) uint8 {
	if int(p) < len(s) {
		return s[p]
	}
	return 0
}
