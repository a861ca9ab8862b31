package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// rings is a set of doubly linked circular lists over pages; a page is in at
// most one of them. The first nodes are the heads of the lists, the node of
// page p comes at p+heads, so that linking needs no case for an empty list.
//
//	head h ─next─► front ⇄ … ⇄ back ─next─► head h
type rings struct {
	nodes []ringNode
	heads uint32
	size  []int // pages in each list
}

// ringNode links a node with its neighbours. Both are meaningless while the
// page is in no list.
type ringNode struct{ prev, next uint32 }

// newRings returns n empty lists.
func newRings(n int) rings {
	r := rings{nodes: make([]ringNode, n), heads: uint32(n), size: make([]int, n)}
	for h := range r.nodes {
		r.nodes[h] = ringNode{uint32(h), uint32(h)}
	}
	return r
}

// grow makes room for the node of p.
func (r *rings) grow(p vm.PageID) { growTo(&r.nodes, int(p)+int(r.heads)+1) }

// pushFront puts p, which is in no list, at the front of list h.
func (r *rings) pushFront(h int, p vm.PageID) {
	r.link(uint32(p)+r.heads, uint32(h), r.nodes[h].next)
	r.size[h]++
}

// pushBack puts p, which is in no list, at the back of list h.
func (r *rings) pushBack(h int, p vm.PageID) {
	r.link(uint32(p)+r.heads, r.nodes[h].prev, uint32(h))
	r.size[h]++
}

// link puts node n between its future neighbours.
func (r *rings) link(n, prev, next uint32) {
	r.nodes[n] = ringNode{prev, next}
	r.nodes[prev].next = n
	r.nodes[next].prev = n
}

// remove takes p out of list h, where it must be.
func (r *rings) remove(h int, p vm.PageID) {
	n := r.nodes[uint32(p)+r.heads]
	r.nodes[n.prev].next = n.next
	r.nodes[n.next].prev = n.prev
	r.size[h]--
}

// toFront moves p to the front of its list h.
func (r *rings) toFront(h int, p vm.PageID) {
	r.remove(h, p)
	r.pushFront(h, p)
}

// toBack moves p to the back of its list h.
func (r *rings) toBack(h int, p vm.PageID) {
	r.remove(h, p)
	r.pushBack(h, p)
}

// front returns the page at the front of list h, which must not be empty.
func (r *rings) front(h int) vm.PageID { return vm.PageID(r.nodes[h].next - r.heads) }

// back returns the page at the back of list h, which must not be empty.
func (r *rings) back(h int) vm.PageID { return vm.PageID(r.nodes[h].prev - r.heads) }

// popFront takes the page at the front out of list h.
func (r *rings) popFront(h int) (vm.PageID, bool) {
	if r.size[h] == 0 {
		return 0, false
	}
	p := r.front(h)
	r.remove(h, p)
	return p, true
}

// popBack takes the page at the back out of list h.
func (r *rings) popBack(h int) (vm.PageID, bool) {
	if r.size[h] == 0 {
		return 0, false
	}
	p := r.back(h)
	r.remove(h, p)
	return p, true
}

// all yields the pages of list h from front to back.
func (r *rings) all(h int) iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for n := r.nodes[h].next; n != uint32(h); n = r.nodes[n].next {
			if !yield(vm.PageID(n - r.heads)) {
				return
			}
		}
	}
}

// allBack yields the pages of list h from back to front.
func (r *rings) allBack(h int) iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for n := r.nodes[h].prev; n != uint32(h); n = r.nodes[n].prev {
			if !yield(vm.PageID(n - r.heads)) {
				return
			}
		}
	}
}

// allOf yields the pages of several lists, one list after the other.
func (r *rings) allOf(lists ...int) iter.Seq[vm.PageID] {
	return func(yield func(vm.PageID) bool) {
		for _, h := range lists {
			for p := range r.all(h) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// appendAll moves all pages of list from behind the back of list to. O(1).
func (r *rings) appendAll(to, from int) {
	if r.size[from] == 0 {
		return
	}
	first, last := r.nodes[from].next, r.nodes[from].prev
	back := r.nodes[to].prev
	r.nodes[back].next, r.nodes[first].prev = first, back
	r.nodes[last].next, r.nodes[to].prev = uint32(to), last
	r.nodes[from] = ringNode{uint32(from), uint32(from)}
	r.size[to] += r.size[from]
	r.size[from] = 0
}

// growTo lengthens *s to n zeroed elements, doubling so that growth is
// amortized.
func growTo[T any](s *[]T, n int) {
	if n <= len(*s) {
		return
	}
	if n <= cap(*s) {
		*s = (*s)[:n]
		return
	}
	bigger := make([]T, n, max(2*cap(*s), n, 64))
	copy(bigger, *s)
	*s = bigger
}
