package replace

import (
	"fmt"
	"reflect"

	"github.com/memlab-go/memlab/vm"
)

// Counts is what a simulation counted. The laws, after every reference:
//
//	Hits + Misses == Refs
//	Misses - Evictions == resident pages ≤ frames
//	Writebacks ≤ Writes, and ≤ Evictions unless the policy launders
type Counts struct {
	Refs       int64 // references
	Writes     int64 // of them writes
	Hits       int64 // references to resident pages
	Misses     int64 // the others: page faults
	Evictions  int64 // pages that left memory
	Writebacks int64 // pages written to disk: evicted or laundered while dirty
	Resident   int64 // policies that trim: sum over the references of the pages resident after each
}

// bits of Sim.state.
const (
	resident = 1 << iota
	dirty
	pinned
	inNear // it may be in Sim.near
)

// A Sim is a memory of some frames under one policy, fed with a trace. It keeps
// one byte for every distinct page besides what the policy keeps.
//
// Not safe for concurrent use.
type Sim struct {
	policy  vm.Policy
	frames  int
	used    int     // resident pages, pinned ones included
	pins    int     // pinned pages
	state   []uint8 // by page
	counts  Counts
	trimmer vm.Trimmer   // policy, if it is one
	launder vm.Launderer // policy, if it is one
	batch   batcher      // policy, if it is one and of this package
	hits    hitRunner    // policy, likewise
	hitter  nearHitter   // policy, likewise
	unpins  unpinner     // policy, likewise
	near    *near        // what RunAccesses looks into first
	onEvict func(victim vm.PageID, dirty bool)
}

// A batcher is a policy with a loop of its own over a batch of references, for
// speed. It must do exactly what Sim.Step would do with its methods. LFU, LFU-AGED and
// MRU have runAny once more, with direct calls of theirs: those through an interface
// take 2 to 5 ns longer a reference.
type batcher interface {
	// runBatch takes refs from the front and counts writes, misses, evictions and
	// write-backs in s; the other counters are the caller's. It returns how many
	// it took: it stops at a page that has no place in s.state yet, and at a
	// reference that it leaves to Step. There is at least one frame, and no page
	// is pinned.
	runBatch(s *Sim, refs []Ref) int
}

// A hitRunner is a policy with a loop of its own over hits, for speed.
type hitRunner interface {
	// runHits takes refs from the front up to one that misses, or trims, or that it
	// leaves alone for another reason, with each does what Step would, but counts its
	// writes only, and returns how many it took.
	runHits(s *Sim, refs []Ref) int
}

// An unpinner is a policy that must know an Unpin from a reference.
type unpinner interface {
	// unpin is Insert of the page p, which Remove has taken out, without a reference.
	unpin(p vm.PageID)
}

// NewSim returns an empty memory of the given number of frames under p, which
// must be fresh and made for as many frames if it asks for the number. A memory
// of no frames is allowed; every reference to it fails.
func NewSim(p vm.Policy, frames int) *Sim {
	s := &Sim{policy: p, frames: max(frames, 0)}
	s.trimmer, _ = p.(vm.Trimmer)
	s.launder, _ = p.(vm.Launderer)
	if ofThisPackage(p) {
		s.batch, _ = p.(batcher)
		s.hits, _ = p.(hitRunner)
		s.hitter, _ = p.(nearHitter)
		s.unpins, _ = p.(unpinner)
	}
	return s
}

// ofThisPackage reports whether the type of p is one of ours. A struct elsewhere that
// embeds one of them gets its loops too, which know nothing of the methods that the
// struct has in place of others.
func ofThisPackage(p vm.Policy) bool {
	t := reflect.TypeOf(p)
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().PkgPath() == reflect.TypeFor[Sim]().PkgPath()
}

// Policy returns the policy.
func (s *Sim) Policy() vm.Policy { return s.policy }

// Frames returns the number of frames.
func (s *Sim) Frames() int { return s.frames }

// Counts returns what was counted so far.
func (s *Sim) Counts() Counts { return s.counts }

// Used returns the number of resident pages.
func (s *Sim) Used() int { return s.used }

// Contains reports whether p is resident.
func (s *Sim) Contains(p vm.PageID) bool {
	return int(p) < len(s.state) && s.state[p]&resident != 0
}

// Dirty reports whether p is resident and was written since its load.
func (s *Sim) Dirty(p vm.PageID) bool { return int(p) < len(s.state) && s.state[p]&dirty != 0 }

// OnEvict has f called for every page that leaves memory. Nil switches it off.
// Batches are slower while it is on.
func (s *Sim) OnEvict(f func(victim vm.PageID, dirty bool)) { s.onEvict = f }

// Run takes the references in order. It stops with a *[vm.Fault] of kind
// [vm.NoVictim] at one that needs a frame when there is none to be had; that
// one has changed nothing. Otherwise O(1) a reference, as far as the policy is.
func (s *Sim) Run(refs []Ref) error {
	s.leaveNear()
	for len(refs) > 0 {
		n := 0
		switch fast := s.onEvict == nil && s.frames > 0 && s.pins == 0; {
		case fast && s.batch != nil:
			n = s.runFast(refs)
		case fast:
			n = s.runAny(refs)
		}
		if n < len(refs) { // a page never seen, no fast way, or left to Step
			if _, err := s.Step(refs[n]); err != nil {
				return err
			}
			n++
		}
		refs = refs[n:]
	}
	return nil
}

// runFast hands the batch to the policy's own loop and does the counting that
// needs no look at the single reference.
func (s *Sim) runFast(refs []Ref) int {
	misses := s.counts.Misses
	n := s.batch.runBatch(s, refs)
	s.counts.Refs += int64(n)
	s.counts.Hits += int64(n) - (s.counts.Misses - misses)
	return n
}

// runAny is runFast for policies without a loop of their own: Step without what
// only some simulations need.
func (s *Sim) runAny(refs []Ref) int {
	state, policy, trimmer := s.state, s.policy, s.trimmer
	misses, writes := s.counts.Misses, int64(0)
	n := len(refs)
	for i := 0; i < n; i++ {
		if s.hits != nil {
			hits := s.hits.runHits(s, refs[i:])
			s.counts.Resident += int64(hits) * int64(s.used)
			if i += hits; i == n {
				break
			}
		}
		r := refs[i]
		p := r.Page()
		if int(p) >= len(state) {
			n = i
			break
		}
		st := state[p]
		if st == 0 {
			if s.used == s.frames {
				v, ok := policy.Victim(p)
				if !ok {
					n = i
					break
				}
				if s.launder != nil {
					s.writeLaundry()
				}
				s.evict(v)
			}
			s.used++
			s.counts.Misses++
			policy.Insert(p, r.Write())
		} else {
			policy.Hit(p, r.Write())
		}
		state[p] = st | resident | uint8(r&1)<<1
		writes += int64(r & 1)
		if trimmer != nil {
			for v, ok := trimmer.Trim(); ok; v, ok = trimmer.Trim() {
				s.evict(v)
			}
			s.counts.Resident += int64(s.used)
		}
	}
	s.counts.Refs += int64(n)
	s.counts.Writes += writes
	s.counts.Hits += int64(n) - (s.counts.Misses - misses)
	return n
}

// Step takes one reference and reports whether it hit. Errors are those of
// [Sim.Run].
func (s *Sim) Step(r Ref) (hit bool, err error) {
	s.leaveNear()
	p, write := r.Page(), r.Write()
	if int(p) >= len(s.state) {
		growTo(&s.state, max(2*int(p), 1024))
	}
	hit = s.state[p]&resident != 0
	switch {
	case hit && s.state[p]&pinned != 0:
	case hit:
		s.policy.Hit(p, write)
	default:
		if s.used >= s.frames {
			if err := s.replace(p); err != nil {
				return false, err
			}
		}
		s.policy.Insert(p, write)
		s.used++
		s.state[p] = resident
	}
	s.count(p, hit, write)
	return hit, nil
}

// count books a reference to p, which is resident by now.
func (s *Sim) count(p vm.PageID, hit, write bool) {
	c := &s.counts
	c.Refs++
	if write {
		c.Writes++
		s.state[p] |= dirty
	}
	if hit {
		c.Hits++
	} else {
		c.Misses++
	}
	if s.trimmer != nil {
		for v, ok := s.trimmer.Trim(); ok; v, ok = s.trimmer.Trim() {
			s.evict(v)
		}
		c.Resident += int64(s.used)
	}
}

// replace frees a frame for next.
func (s *Sim) replace(next vm.PageID) error {
	if s.frames == 0 {
		return &vm.Fault{Kind: vm.NoVictim, Level: -1, Note: "memory has no frames"}
	}
	v, ok := s.policy.Victim(next)
	if s.launder != nil {
		s.writeLaundry()
	}
	if !ok {
		return &vm.Fault{Kind: vm.NoVictim, Level: -1, Note: fmt.Sprintf("all %d frames are pinned", s.frames)}
	}
	s.evict(v)
	return nil
}

// writeLaundry writes back what the policy wants to be clean.
func (s *Sim) writeLaundry() {
	for q, ok := s.launder.Launder(); ok; q, ok = s.launder.Launder() {
		s.state[q] &^= dirty
		s.counts.Writebacks++
	}
}

// evict books that v left memory.
func (s *Sim) evict(v vm.PageID) {
	isDirty := s.state[v]&dirty != 0
	if isDirty {
		s.counts.Writebacks++
	}
	s.counts.Evictions++
	s.state[v] = 0
	s.used--
	if s.onEvict != nil {
		s.onEvict(v, isDirty)
	}
}

// Pin keeps the resident page p from being evicted until [Sim.Unpin]. It
// reports false, and does nothing, if p is not resident. Pinning twice is
// pinning once.
func (s *Sim) Pin(p vm.PageID) bool {
	if !s.Contains(p) {
		return false
	}
	if s.state[p]&pinned == 0 {
		s.state[p] |= pinned
		s.pins++
		s.policy.Remove(p)
		s.leaveNear()
	}
	return true
}

// Unpin undoes [Sim.Pin]. The policy sees p as loaded now; OPT knows that it is not
// referenced. It reports false, and does nothing, if p is not pinned.
func (s *Sim) Unpin(p vm.PageID) bool {
	if !s.Contains(p) || s.state[p]&pinned == 0 {
		return false
	}
	s.state[p] &^= pinned
	s.pins--
	if s.unpins != nil {
		s.unpins.unpin(p)
	} else {
		s.policy.Insert(p, s.state[p]&dirty != 0)
	}
	return true
}
