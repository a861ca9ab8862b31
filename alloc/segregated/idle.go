package segregated

import "math/bits"

// A run that has become empty goes back to the best-fit space, for whoever needs the room. In a
// heap that is still (see quickshare.go) that is mostly its own class: a program that builds
// something up and takes it down again, over and over, would cut the same runs each time. So a
// still heap keeps them, and a class takes one of its own before a partial or a new one. They are
// given up when the quick lists are emptied, as before the heap grows; those of a class that has
// taken none meanwhile also in one of idleSweeps sweeps.
//
// The lists lie outside of the region, where a stray write does not find them. A heap in a file and a
// [Shared] have none, nor has one that is hooked.

const (
	idleSweeps = 8
	idleMost   = 4096 // runs: to join them all takes a millisecond or two
	allClasses = ^uint64(0)
)

// idleRuns are the empty runs that are kept, by class, those of each newest first.
type idleRuns struct {
	sum    uint64             // granules in them
	taken  uint64             // bit set: the class has taken one since dropUnused was called last
	nodes  []idleRun          // those that are kept, and spare ones
	spare  uint16             // first node that is not in use, from 1; 0 if there is none
	sweeps uint16             // modulo 1<<16
	first  [maxClasses]uint16 // node of the newest of each class, from 1; 0 if there is none
}

// idleRun is a node of a list: the first unit of a run, and the node that comes next, or 0.
type idleRun struct {
	run  uint32
	next uint16
}

// keepIdle keeps the empty run of class ci, which is not current and on no list, and reports
// whether it has.
func (h *Heap) keepIdle(ci, run uintptr) bool {
	r := &h.idle
	if h.quick.share != quickStill || h.hooked || h.durable || h.shared != nil {
		return false
	}
	i := r.spare
	switch {
	case i != 0:
		r.spare = r.nodes[i-1].next
	case len(r.nodes) == idleMost:
		return false
	default:
		r.nodes = append(r.nodes, idleRun{})
		i = uint16(len(r.nodes))
	}
	r.nodes[i-1] = idleRun{uint32(run), r.first[ci%maxClasses]}
	r.first[ci%maxClasses] = i
	r.sum += uint64(h.classes[ci%maxClasses].units) * unitGranules
	return true
}

// pop takes the newest run off the list of class ci, each of n granules; 0 if there is none.
func (r *idleRuns) pop(ci uintptr, n uint64) (run uintptr) {
	i := r.first[ci%maxClasses]
	if i == 0 {
		return 0
	}
	node := &r.nodes[i-1]
	run, r.first[ci%maxClasses], node.next, r.spare = uintptr(node.run), node.next, r.spare, i
	r.sum -= n
	return run
}

// popIdle takes the newest idle run of class ci, or returns 0.
func (h *Heap) popIdle(ci uintptr) uintptr {
	run := h.idle.pop(ci, uint64(h.classes[ci%maxClasses].units)*unitGranules)
	if run != 0 && (!h.isRun(ci, run) || *h.row(uint64(run)) != h.classes[ci%maxClasses].empty()) {
		h.fail("idle run %#x of class %d is no empty run", run<<unitShift, ci)
		h.idle = idleRuns{} // nobody is to look for more
		return 0
	}
	return run
}

// largestIdle returns the size in granules of the largest idle run.
func (h *Heap) largestIdle() (n uint64) {
	for ci, i := range h.idle.first {
		if i != 0 {
			n = max(n, uint64(h.classes[ci].units)*unitGranules)
		}
	}
	return n
}

// takeIdle makes the newest idle run of class ci the current one, and reports whether there was
// one.
func (h *Heap) takeIdle(ci uintptr) bool {
	run := h.popIdle(ci)
	if run == 0 {
		return false
	}
	h.idle.taken |= 1 << (ci % maxClasses)
	h.takeUp(ci, run)
	return true
}

// dropIdle gives up the idle runs of the classes whose bits are set in which.
func (h *Heap) dropIdle(which uint64) {
	if h.idle.sum == 0 {
		return
	}
	for ; which != 0; which &= which - 1 {
		ci := uintptr(bits.TrailingZeros64(which))
		for run := h.popIdle(ci); run != 0; run = h.popIdle(ci) {
			if !h.defers(uint64(run) << granuleBits) {
				h.leaveRun(ci, run)
			}
		}
	}
}

// ageIdle is told of a sweep, for the idle runs and the reserve.
func (h *Heap) ageIdle() {
	if h.idle.sweeps++; h.idle.sweeps%idleSweeps == 0 {
		h.dropUnused()
		h.ageReserve()
	}
}

// dropUnused gives up the idle runs of the classes that have taken none since the last call.
func (h *Heap) dropUnused() {
	h.dropIdle(^h.idle.taken)
	h.idle.taken = 0
}
