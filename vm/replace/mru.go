package replace

import (
	"iter"

	"github.com/memlab-go/memlab/vm"
)

// MRU evicts the page that was referenced last: right for loops that are longer
// than memory, wrong for nearly everything else. O(1).
type MRU struct {
	list rings // one list, most recently used last
}

// NewMRU returns an empty MRU.
func NewMRU() *MRU { return &MRU{newRings(1)} }

// Hit implements [vm.Policy].
func (m *MRU) Hit(p vm.PageID, _ bool) { m.list.toBack(0, p) }

// Insert implements [vm.Policy].
func (m *MRU) Insert(p vm.PageID, _ bool) {
	m.list.grow(p)
	m.list.pushBack(0, p)
}

// Victim implements [vm.Policy].
func (m *MRU) Victim(vm.PageID) (vm.PageID, bool) { return m.list.popBack(0) }

// Remove implements [vm.Policy].
func (m *MRU) Remove(p vm.PageID) { m.list.remove(0, p) }

// Pages implements [vm.Lister]: least recently used first, so that the page
// that leaves first comes last (the order in which OSTEP prints it).
func (m *MRU) Pages() iter.Seq[vm.PageID] { return m.list.all(0) }

// runBatch implements batcher.
func (m *MRU) runBatch(s *Sim, refs []Ref) int {
	state, writes := s.state, int64(0)
	n := len(refs)
	for i, r := range refs {
		p := r.Page()
		if int(p) >= len(state) {
			n = i
			break
		}
		writes += int64(r & 1)
		st := state[p]
		state[p] = st | resident | uint8(r&1)<<1
		if st != 0 {
			m.Hit(p, false)
			continue
		}
		s.counts.Misses++
		if s.used < s.frames {
			s.used++
		} else {
			v, _ := m.Victim(p)
			s.counts.Evictions++
			s.counts.Writebacks += int64(state[v] >> 1)
			state[v] = 0
		}
		m.Insert(p, false)
	}
	s.counts.Writes += writes
	return n
}
