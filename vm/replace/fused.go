package replace

import "github.com/memlab-go/memlab/vm"

// A marker is a policy whose Hit does no more than set a mark of the page, or
// nothing. Its hits need no call.
type marker interface {
	vm.Policy
	// marks returns the marks by page, for n pages at least, or nil if Hit does
	// nothing. It stays valid while pages below n come and go.
	marks(n int) []uint8
}

func (f *FIFO) marks(int) []uint8   { return nil }
func (r *Random) marks(int) []uint8 { return nil }

func (c *Clock) marks(n int) []uint8 {
	growTo(&c.bit, n)
	return c.bit
}

// RunAccesses is [Pages.Refs] and [Sim.Run] in one, for traces that only one
// simulation takes: policies that do next to nothing on a hit spare the way over
// numbered references. When several simulations take the same trace, number it
// once instead.
func (s *Sim) RunAccesses(t *Pages, accs []Access) error {
	m, marked := s.policy.(marker)
	var buf [512]Ref
	for len(accs) > 0 {
		n := min(len(accs), len(buf))
		misses := s.counts.Misses
		if marked && !s.missing && s.onEvict == nil && s.frames > 0 && s.pins == 0 {
			if took := s.runMarked(t, accs[:n], m); took < n {
				n = took + 1 // and a new page, or one far from its place in the table
				t.Refs(accs[took:n], buf[:1])
				if err := s.Run(buf[:1]); err != nil {
					return err
				}
			}
		} else {
			t.Refs(accs[:n], buf[:n])
			if err := s.Run(buf[:n]); err != nil {
				return err
			}
		}
		if n >= len(buf)/4 {
			s.missing = s.counts.Misses-misses > int64(n/manyMisses)
		}
		accs = accs[n:]
	}
	return nil
}

// manyMisses is where many misses begin: one reference in so many. Then numbering
// first is faster, since the policy's own loop also takes misses without a call.
const manyMisses = 16

// runMarked takes accesses from the front, up to a page that is not found at its
// first or second place in the table, and returns how many it took.
func (s *Sim) runMarked(t *Pages, accs []Access, m marker) int {
	state, slots, shift := s.state, t.slots, t.shift
	mark := m.marks(len(state))
	misses, writes := s.counts.Misses, int64(0)
	n := len(accs)
	for i, a := range accs {
		key := uint64(a) | 1
		h := key * fibonacci >> (shift & 63)
		if h >= uint64(len(slots)) {
			n = i
			break
		}
		slot := &slots[h]
		if slot.key != key {
			if slot = &slots[(h+1)&uint64(len(slots)-1)]; slot.key != key {
				n = i
				break
			}
		}
		p := int(slot.ref >> 1)
		if p >= len(state) {
			n = i
			break
		}
		writes += int64(a & 1)
		st, need := state[p], resident|uint8(a&1)<<1
		if st&need != need { // most hits change nothing, and store nothing
			state[p] = st | need
			if st == 0 {
				s.load(vm.PageID(p), a&1 != 0)
				continue
			}
		}
		if mark != nil {
			mark[p] = 1
		}
	}
	s.counts.Refs += int64(n)
	s.counts.Writes += writes
	s.counts.Hits += int64(n) - (s.counts.Misses - misses)
	return n
}

// load brings p in, in place of a victim if memory is full.
func (s *Sim) load(p vm.PageID, write bool) {
	if s.used < s.frames {
		s.used++
	} else {
		v, _ := s.policy.Victim(p) // there is one: frames are full and none is pinned
		s.counts.Evictions++
		s.counts.Writebacks += int64(s.state[v] >> 1 & 1)
		s.state[v] = 0
	}
	s.counts.Misses++
	s.policy.Insert(p, write)
}
