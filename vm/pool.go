package vm

import "slices"

// NoPage is no page: Victim(NoPage) asks for a victim when no page is about to
// be loaded in its place.
const NoPage PageID = 1<<31 - 1

// A Forgetter is a policy or a [Quota] that remembers pages which have left
// memory.
type Forgetter interface {
	// Forget reports that p, which is not resident, is no more: its number will
	// name another page.
	Forget(p PageID)
}

// A Quota says how many frames the pages of one space may have under local
// replacement (KernelOptions.Local). vm/replace has some that follow the working
// set and the frequency of page faults.
type Quota interface {
	// Reference reports a reference of the space to page p, and whether p was
	// loaded for it.
	Reference(p PageID, fault bool)

	// Frames returns how many frames the space may have now, at least 1.
	Frames() int
}

// A pool is what a policy chooses from: all pages, or those that are charged to
// one space. A page that several spaces have is charged to the one that brought
// it into memory, and when that one leaves it, to another that maps it.
type pool struct {
	policy    Policy
	trimmer   Trimmer   // policy, if it is one
	launderer Launderer // policy, if it is one
	quota     Quota     // nil: no limit, or an equal share where replacement is local
	charged   int       // resident pages, pinned ones included
}

func newPool(p Policy, q Quota) *pool {
	n := &pool{policy: p, quota: q}
	n.trimmer, _ = p.(Trimmer)
	n.launderer, _ = p.(Launderer)
	return n
}

// fifo is the policy of pages that belong to no space under local replacement:
// those that only a file's page cache has. The pages are a circle of links, node 0 its
// head, the node of page p one above its number. O(1).
type fifo struct{ links []fifoLink }

type fifoLink struct{ prev, next uint32 }

func (f *fifo) Hit(PageID, bool) {}

func (f *fifo) Insert(p PageID, _ bool) {
	n := uint32(p) + 1
	if missing := int(n) + 1 - len(f.links); missing > 0 {
		f.links = append(f.links, make([]fifoLink, missing)...)
	}
	last := f.links[0].prev
	f.links[n] = fifoLink{last, 0}
	f.links[last].next, f.links[0].prev = n, n
}

func (f *fifo) Remove(p PageID) {
	l := f.links[uint32(p)+1]
	f.links[l.prev].next, f.links[l.next].prev = l.next, l.prev
}

func (f *fifo) Victim(PageID) (v PageID, ok bool) {
	if len(f.links) == 0 || f.links[0].next == 0 {
		return 0, false
	}
	v = PageID(f.links[0].next - 1)
	f.Remove(v)
	return v, true
}

// isLocal reports whether each space has a policy of its own.
func (k *Kernel) isLocal() bool { return k.opts.Local != nil }

// pool returns what the pages that the running space brings in are charged to.
func (k *Kernel) pool() *pool {
	if k.isLocal() && k.running != nil {
		return k.running.pool
	}
	return k.common
}

// quota returns how many frames a pool may have, or -1 if there is no limit.
func (k *Kernel) quota(p *pool) int {
	switch {
	case !k.isLocal() || p == k.common:
		return -1
	case p.quota != nil:
		return max(p.quota.Frames(), 1)
	}
	return max((k.frames.Len()-k.tables-len(k.deposit))/max(len(k.spaces), 1), 1)
}

// pools returns the pools to take a frame from, the one that should give first:
// pages of nobody, then the spaces that are farthest above their quota.
func (k *Kernel) pools() []*pool {
	out := []*pool{k.common}
	if !k.isLocal() {
		return out
	}
	for _, s := range k.Spaces() {
		if s.pool.charged > 0 {
			out = append(out, s.pool)
		}
	}
	slices.SortStableFunc(out[1:], func(a, b *pool) int {
		return (b.charged - k.quota(b)) - (a.charged - k.quota(a))
	})
	return out
}

// charge gives the resident page p to a pool, whose policy learns of it.
func (k *Kernel) charge(p *page, to *pool, write bool) {
	p.pool = to
	to.charged++
	k.learn(p, write)
}

// discharge takes the resident page p from its pool, whose policy forgets it.
func (k *Kernel) discharge(p *page) {
	k.forget(p)
	p.pool.charged--
}

// moveCharge charges p to another pool.
func (k *Kernel) moveCharge(p *page, to *pool) {
	if p.pool != to && p.resident && p != k.zero {
		k.discharge(p)
		k.charge(p, to, false)
	}
}

// disown charges p, which s has left, to another space that maps it.
func (k *Kernel) disown(p *page, s *Space) {
	if !k.isLocal() || !p.resident || p == k.zero || p.pool != s.pool {
		return
	}
	to := k.common
	for m := range k.frames.MappingsOf(p.frame) {
		if o := k.spaces[m.ASID]; o != nil && o != s {
			to = o.pool
			break
		}
	}
	k.moveCharge(p, to)
}

// reclaim evicts pages of a pool until it is within its quota, as far as it can.
func (k *Kernel) reclaim(p *pool) {
	for n := k.quota(p); n >= 0 && p.charged > n; n = k.quota(p) {
		if k.evictFrom(p, NoPage, nil) != nil {
			return
		}
	}
}

// Charged returns how many pages in memory are charged to the space: all that it
// brought in, under local replacement; 0 where replacement is global.
func (s *Space) Charged() int {
	if !s.k.isLocal() {
		return 0
	}
	return s.pool.charged
}

// Quota returns how many frames the space may have now, or -1 where replacement is
// global.
func (s *Space) Quota() int { return s.k.quota(s.pool) }
