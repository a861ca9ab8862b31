package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// States of a page in LIRS.
const (
	lirsNone  = iota
	lirsLIR   // resident, low inter-reference recency: in the stack
	lirsHIR   // resident, high: in the queue, perhaps in the stack
	lirsGhost // not resident, in the stack
)

// LIRS keeps the pages with a low inter-reference recency: that were referenced
// twice with few other pages in between (Jiang and Zhang, LIRS: an efficient low
// inter-reference recency set replacement policy, SIGMETRICS 2002). A stack S
// holds pages by recency, a queue Q the resident HIR pages. With the frames c,
// max(1, c/100) are for HIR pages, the others for LIR pages:
//
//   - while there are LIR frames to fill, loaded pages become LIR;
//   - hit on LIR: to the top of S; if it was the bottom, S is pruned;
//   - hit on HIR in S: becomes LIR and goes to the top of S, leaves Q; the LIR
//     page at the bottom of S becomes HIR at the end of Q; S is pruned;
//   - hit on HIR not in S: to the top of S and to the end of Q;
//   - miss: the front of Q is evicted and, if in S, stays there as a ghost; a
//     ghost that is loaded becomes LIR as above, any other page HIR at the top of
//     S and the end of Q;
//   - pruning takes HIR pages and ghosts from the bottom of S until it is LIR.
//
// The paper does not bound the ghosts; here there are at most 2c, the one that
// was evicted first going first. O(1) amortized.
type LIRS struct {
	stack   rings // S: top at the front
	queue   rings // list 0: Q, front is evicted; list 1: ghosts, oldest in front
	state   []uint8
	inStack []bool
	lir     int // LIR pages
	maxLIR  int
	maxOld  int // most ghosts
}

// NewLIRS returns an empty LIRS for the given number of frames.
func NewLIRS(frames int) *LIRS {
	frames = max(frames, 1)
	return &LIRS{
		stack: newRings(1), queue: newRings(2),
		maxLIR: frames - max(1, frames/100), maxOld: 2 * frames,
	}
}

// Hit implements [vm.Policy].
func (l *LIRS) Hit(p vm.PageID, _ bool) {
	switch {
	case l.state[p] == lirsLIR:
		l.stack.toFront(0, p)
		l.prune()
	case l.inStack[p]:
		l.queue.remove(0, p)
		l.promote(p)
	default:
		l.push(p)
		l.queue.toBack(0, p)
	}
}

// Insert implements [vm.Policy].
func (l *LIRS) Insert(p vm.PageID, _ bool) {
	l.stack.grow(p)
	l.queue.grow(p)
	growTo(&l.state, int(p)+1)
	growTo(&l.inStack, int(p)+1)
	ghost := l.state[p] == lirsGhost
	if ghost {
		l.queue.remove(1, p)
	}
	if ghost || l.lir < l.maxLIR {
		l.promote(p)
		return
	}
	l.state[p] = lirsHIR
	l.push(p)
	l.queue.pushBack(0, p)
}

// promote makes p, which is in no queue, LIR at the top of the stack.
func (l *LIRS) promote(p vm.PageID) {
	l.state[p] = lirsLIR
	l.lir++
	l.push(p)
	l.prune()
	for l.lir > l.maxLIR {
		q := l.stack.back(0) // LIR, since pruned
		l.state[q] = lirsHIR
		l.lir--
		l.queue.pushBack(0, q)
		l.prune()
	}
}

// push moves or puts p to the top of the stack.
func (l *LIRS) push(p vm.PageID) {
	if l.inStack[p] {
		l.stack.remove(0, p)
	}
	l.inStack[p] = true
	l.stack.pushFront(0, p)
}

// prune takes pages off the bottom of the stack until it is LIR.
func (l *LIRS) prune() {
	for l.stack.size[0] > 0 {
		p := l.stack.back(0)
		if l.state[p] == lirsLIR {
			return
		}
		if l.state[p] == lirsGhost {
			l.queue.remove(1, p)
			l.state[p] = lirsNone
		}
		l.pop(p)
	}
}

// pop takes p out of the stack.
func (l *LIRS) pop(p vm.PageID) {
	l.stack.remove(0, p)
	l.inStack[p] = false
}

// Victim implements [vm.Policy].
func (l *LIRS) Victim(next vm.PageID) (vm.PageID, bool) {
	p, ok := l.queue.popFront(0)
	if !ok {
		return l.evictLIR()
	}
	l.state[p] = lirsNone
	if l.inStack[p] {
		l.state[p] = lirsGhost
		l.queue.pushBack(1, p)
		if l.queue.size[1] > l.maxOld {
			l.dropGhost(next)
		}
	}
	return p, true
}

// evictLIR evicts the bottom of the stack when no HIR page is left to evict,
// which only Remove brings about.
func (l *LIRS) evictLIR() (vm.PageID, bool) {
	if l.lir == 0 {
		return 0, false
	}
	p := l.stack.back(0)
	l.Remove(p)
	return p, true
}

// dropGhost forgets the oldest ghost, but not the page that is about to come in.
func (l *LIRS) dropGhost(next vm.PageID) {
	p := l.queue.front(1)
	if p == next {
		l.queue.toBack(1, p)
		p = l.queue.front(1)
	}
	l.queue.remove(1, p)
	l.state[p] = lirsNone
	l.pop(p)
}

// Remove implements [vm.Policy].
func (l *LIRS) Remove(p vm.PageID) {
	if l.state[p] == lirsLIR {
		l.lir--
	} else {
		l.queue.remove(0, p)
	}
	l.state[p] = lirsNone
	if l.inStack[p] {
		l.pop(p)
	}
	l.prune()
}

// Pages implements [vm.Lister]: the queue from its front, then the LIR pages from
// the bottom of the stack.
func (l *LIRS) Pages() iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for p := range l.queue.all(0) {
			if !yield(p) {
				return
			}
		}
		for p := range l.stack.allBack(0) {
			if l.state[p] == lirsLIR && !yield(p) {
				return
			}
		}
	}
}
