package replace

import "github.com/memlab-go/memlab/vm"

// A nearHitter is a policy with a loop of its own over hits that are found in a
// [near] cache.
type nearHitter interface {
	vm.Policy

	// nearHits takes accesses from the front, up to one that n does not hold, does
	// with each what Hit would, and returns how many they are and how many of them
	// write. It calls nothing, so that all it needs stays in registers: on a real
	// program's trace nearly every reference is one of these.
	nearHits(n *near, accs []Access) (taken int, writes int64)

	// where returns what nearHits is to find beside the resident page p: something
	// that does not change while p stays.
	where(p vm.PageID) uint32
}

// RunAccesses is [Pages.Refs] and [Sim.Run] in one, for traces that only one
// simulation takes: policies that do little on a hit spare the way over numbered
// references while nearly everything hits. When several simulations take the same
// trace, number it once instead. Errors are those of [Sim.Run]; pages behind the
// access that failed may be numbered already. It panics like [Pages.Number].
func (s *Sim) RunAccesses(t *Pages, accs []Access) error {
	var buf [512]Ref
	for len(accs) > 0 {
		if s.hitter != nil && s.onEvict == nil && s.frames > 0 && s.pins == 0 && s.near.worthTrying() {
			accs = accs[s.runNear(s.hitter, t, accs[:min(len(accs), nearSpan)]):]
			continue
		}
		n := min(len(accs), len(buf))
		t.Refs(accs[:n], buf[:n])
		if err := s.Run(buf[:n]); err != nil {
			return err
		}
		s.near.pass(n)
		accs = accs[n:]
	}
	return nil
}

// runNear takes accesses from the front, as long as enough of them are near, and
// returns how many.
func (s *Sim) runNear(h nearHitter, t *Pages, accs []Access) int {
	n := s.near.of(t)
	s.near = n
	misses, writes := s.counts.Misses, int64(0)
	taken := 0
	for {
		hits, w := h.nearHits(n, accs[taken:])
		writes += w
		if taken += hits; taken == len(accs) {
			break
		}
		a := accs[taken]
		writes += int64(a & 1)
		s.notNear(h, t, a)
		if taken++; n.lose() {
			break
		}
	}
	n.count(taken)
	s.counts.Refs += int64(taken)
	s.counts.Writes += writes
	s.counts.Hits += int64(taken) - (s.counts.Misses - misses)
	return taken
}

// notNear takes an access that is not near: a miss, a first hit, or a first write.
// It leaves the counting of references, writes and hits to its caller.
func (s *Sim) notNear(h nearHitter, t *Pages, a Access) {
	p, write := t.Number(uint64(a>>1)), a&1 != 0
	if int(p) >= len(s.state) {
		growTo(&s.state, max(2*int(p), 1024))
	}
	if st := s.state[p]; st != 0 {
		st |= inNear | uint8(a&1)<<1
		s.state[p] = st
		s.near.put(a, st, h.where(p))
		h.Hit(p, write)
		return
	}
	s.counts.Misses++
	if s.used < s.frames {
		s.used++
	} else {
		v, _ := h.Victim(p)
		st := s.state[v]
		s.state[v] = 0
		s.counts.Evictions++
		s.counts.Writebacks += int64(st >> 1 & 1)
		if st&inNear != 0 {
			s.near.drop(v)
		}
	}
	h.Insert(p, write)
	s.state[p] = resident | uint8(a&1)<<1
}
