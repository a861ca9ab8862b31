package replace

import "github.com/memlab-go/memlab/vm"

// A fuser is a policy with a loop of its own over accesses that are not numbered
// yet. It must do exactly what [Pages.Refs] and [Sim.Run] would.
type fuser interface {
	// runAccesses takes accesses from the front, up to a page that has no number or
	// no place in s.state yet, and counts misses, writes, evictions and
	// write-backs in s; the other counters are the caller's. It returns how many
	// it took. There is at least one frame, and no page is pinned.
	runAccesses(s *Sim, t *Pages, accs []Access) int
}

// RunAccesses is [Pages.Refs] and [Sim.Run] in one, for traces that only one
// simulation takes: policies that do little on a hit spare the way over numbered
// references. When several simulations take the same trace, number it once
// instead.
func (s *Sim) RunAccesses(t *Pages, accs []Access) error {
	f, fused := s.policy.(fuser)
	var buf [512]Ref
	for len(accs) > 0 {
		n := 0
		if fused && s.onEvict == nil && s.frames > 0 && s.pins == 0 {
			n = s.runFused(f, t, accs)
			accs = accs[n:]
			if n = min(len(accs), 1); n == 0 {
				return nil
			}
		} else {
			n = min(len(accs), len(buf))
		}
		t.Refs(accs[:n], buf[:n])
		if err := s.Run(buf[:n]); err != nil {
			return err
		}
		accs = accs[n:]
	}
	return nil
}

// runFused hands the accesses to the policy's own loop and does the counting that
// needs no look at the single one.
func (s *Sim) runFused(f fuser, t *Pages, accs []Access) int {
	misses := s.counts.Misses
	n := f.runAccesses(s, t, accs)
	s.counts.Refs += int64(n)
	s.counts.Hits += int64(n) - (s.counts.Misses - misses)
	return n
}

// runAccesses implements fuser. A page that is referenced again at once changes
// nothing but its dirty bit.
func (f *FIFO) runAccesses(s *Sim, t *Pages, accs []Access) int {
	growTo(&f.list.nodes, len(s.state)+1)
	state, slots, shift := s.state, t.slots, t.shift&63
	writes, n := int64(0), len(accs)
	for i, a := range accs {
		key := uint64(a) | 1
		h := key * fibonacci >> shift
		if h >= uint64(len(slots)) {
			n = i
			break
		}
		ref := slots[h].ref
		if slots[h].key != key {
			var ok bool
			if ref, ok = t.collided(key, h); !ok {
				n = i
				break
			}
		}
		p := int(ref >> 1)
		if p >= len(state) {
			n = i
			break
		}
		writes += int64(a & 1)
		st, need := state[p], resident|uint8(a&1)<<1
		if st&need == need { // most hits change nothing, and store nothing
			continue
		}
		state[p] = st | need
		if st == 0 {
			f.load(s, uint32(p)+1)
		}
	}
	s.counts.Writes += writes
	return n
}

// load brings the page of node n in, in place of the oldest if memory is full.
func (f *FIFO) load(s *Sim, n uint32) {
	nodes, c := f.list.nodes, &s.counts
	c.Misses++
	if s.used < s.frames {
		s.used++
		f.list.size[0]++
	} else {
		v := nodes[0].next
		next := nodes[v].next
		nodes[0].next, nodes[next].prev = next, 0
		c.Evictions++
		c.Writebacks += int64(s.state[v-1] >> 1)
		s.state[v-1] = 0
	}
	last := nodes[0].prev
	nodes[n] = ringNode{last, 0}
	nodes[last].next, nodes[0].prev = n, n
}

// runAccesses implements fuser.
func (c *Clock) runAccesses(s *Sim, t *Pages, accs []Access) int {
	growTo(&c.bit, len(s.state))
	growTo(&c.slot, len(s.state))
	state, bit, slots, shift := s.state, c.bit[:len(s.state)], t.slots, t.shift&63
	writes, n := int64(0), len(accs)
	for i, a := range accs {
		key := uint64(a) | 1
		h := key * fibonacci >> shift
		if h >= uint64(len(slots)) {
			n = i
			break
		}
		ref := slots[h].ref
		if slots[h].key != key {
			var ok bool
			if ref, ok = t.collided(key, h); !ok {
				n = i
				break
			}
		}
		p := int(ref >> 1)
		if p >= len(state) {
			n = i
			break
		}
		writes += int64(a & 1)
		bit[p] = 1
		st, need := state[p], resident|uint8(a&1)<<1
		if st&need == need {
			continue
		}
		state[p] = st | need
		if st == 0 {
			c.load(s, vm.PageID(p))
		}
	}
	s.counts.Writes += writes
	return n
}

// load brings p in, in place of the page that the hand finds if memory is full.
func (c *Clock) load(s *Sim, p vm.PageID) {
	s.counts.Misses++
	if s.used < s.frames {
		s.used++
		c.add(p)
		return
	}
	v := c.turn()
	s.counts.Evictions++
	s.counts.Writebacks += int64(s.state[v] >> 1)
	s.state[v] = 0
	c.page[c.hand], c.slot[p] = p, uint32(c.hand)
	c.advance()
}

// runAccesses implements fuser. mru is as in runBatch.
func (l *LRU) runAccesses(s *Sim, t *Pages, accs []Access) int {
	growTo(&l.list.nodes, len(s.state)+1)
	state, slots, shift := s.state, t.slots, t.shift&63
	nodes := l.list.nodes
	mru := nodes[0].prev
	writes, taken := int64(0), len(accs)
	for i, a := range accs {
		key := uint64(a) | 1
		h := key * fibonacci >> shift
		if h >= uint64(len(slots)) {
			taken = i
			break
		}
		ref := slots[h].ref
		if slots[h].key != key {
			var ok bool
			if ref, ok = t.collided(key, h); !ok {
				taken = i
				break
			}
		}
		p := int(ref >> 1)
		if p >= len(state) {
			taken = i
			break
		}
		writes += int64(a & 1)
		n, st := uint32(p)+1, state[p]
		if need := resident | uint8(a&1)<<1; st&need != need {
			state[p] = st | need
		}
		if n == mru {
			continue
		}
		if st != 0 {
			old := nodes[n]
			nodes[old.prev].next = old.next
			nodes[old.next].prev = old.prev
		} else if v := l.load(s); v == mru {
			mru = 0 // one frame
		}
		nodes[n] = ringNode{mru, 0}
		nodes[mru].next = n
		mru = n
		nodes[0].prev = n
	}
	s.counts.Writes += writes
	return taken
}

// load makes room for a page and returns the node of the victim, noNode if there
// is none.
func (l *LRU) load(s *Sim) uint32 {
	c := &s.counts
	c.Misses++
	if s.used < s.frames {
		s.used++
		l.list.size[0]++
		return noNode
	}
	nodes := l.list.nodes
	v := nodes[0].next
	next := nodes[v].next
	nodes[0].next, nodes[next].prev = next, 0
	c.Evictions++
	c.Writebacks += int64(s.state[v-1] >> 1)
	s.state[v-1] = 0
	return v
}

// noNode is no node of a list.
const noNode = ^uint32(0)
