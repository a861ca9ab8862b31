package replace

import "github.com/memlab-go/memlab/vm"

// A FixedQuota is a [vm.Quota] of always the same number of frames.
type FixedQuota int

// Reference implements [vm.Quota].
func (FixedQuota) Reference(vm.PageID, bool) {}

// Frames implements [vm.Quota].
func (q FixedQuota) Frames() int { return max(int(q), 1) }

// A WorkingSetQuota is a [vm.Quota] that follows the working set: a process may
// have as many frames as it referenced different pages during its last tau
// references (Denning, The working set model for program behavior, CACM 11, 1968).
// O(1) a reference.
type WorkingSetQuota struct {
	size   WorkingSetSize
	lo, hi int
}

// NewWorkingSetQuota returns a quota for a window of tau references, never below lo
// nor above hi frames; hi 0 is no bound.
func NewWorkingSetQuota(tau, lo, hi int) *WorkingSetQuota {
	return &WorkingSetQuota{size: *NewWorkingSetSize(tau), lo: max(lo, 1), hi: hi}
}

// Reference implements [vm.Quota].
func (q *WorkingSetQuota) Reference(p vm.PageID, _ bool) { q.size.Add(Ref(p) << 1) }

// Frames implements [vm.Quota].
func (q *WorkingSetQuota) Frames() int { return within(q.size.Size(), q.lo, q.hi) }

// Forget implements [vm.Forgetter].
func (q *WorkingSetQuota) Forget(p vm.PageID) { q.size.forget(p) }

// A PFFQuota is a [vm.Quota] that follows the frequency of page faults: a fault that
// comes at most threshold references after the one before adds a frame; at one
// that comes later, the process keeps as many as it referenced different pages
// since that one (Chu and Opderbeck, The page fault frequency replacement
// algorithm, AFIPS FJCC 1972). O(1) a reference.
type PFFQuota struct {
	last      []uint64 // by page: the interval between faults in which it was referenced last
	interval  uint64   // number of this interval
	used      int      // different pages referenced in it
	now       uint64
	fault     uint64 // time of the last fault
	threshold uint64
	frames    int
	lo, hi    int
}

// NewPFFQuota returns a quota of lo frames (at least 1) at first, and never below
// that nor above hi; hi 0 is no bound.
func NewPFFQuota(threshold, lo, hi int) *PFFQuota {
	lo = max(lo, 1)
	return &PFFQuota{threshold: uint64(max(threshold, 1)), frames: lo, lo: lo, hi: hi, interval: 1}
}

// Reference implements [vm.Quota].
func (q *PFFQuota) Reference(p vm.PageID, fault bool) {
	q.now++
	if fault {
		if q.now-q.fault <= q.threshold {
			q.frames++
		} else {
			q.frames = q.used + 1 // and the page that was loaded
		}
		q.frames = within(q.frames, q.lo, q.hi)
		q.fault, q.used = q.now, 0
		q.interval++
	}
	growTo(&q.last, int(p)+1)
	if q.last[p] != q.interval {
		q.last[p] = q.interval
		q.used++
	}
}

// Frames implements [vm.Quota].
func (q *PFFQuota) Frames() int { return q.frames }

// Forget implements [vm.Forgetter].
func (q *PFFQuota) Forget(p vm.PageID) {
	if int(p) < len(q.last) && q.last[p] == q.interval {
		q.last[p] = 0
		q.used--
	}
}

func within(n, lo, hi int) int {
	if n = max(n, lo); hi > 0 {
		n = min(n, max(hi, lo))
	}
	return n
}
