package replace

import (
	"fmt"
	"math/rand/v2"
)

// An Anomaly is a case of Belady's anomaly: more frames, more faults.
type Anomaly struct {
	Frames     int   // the smaller memory
	Misses     int64 // in it
	MoreMisses int64 // with one frame more
}

// BeladyAnomalies runs the policy that spec names on refs with 1 to maxFrames
// frames and returns every size after which one more frame makes it fault more.
// OPT and LRU never do. O(refs × maxFrames).
func BeladyAnomalies(spec string, refs []Ref, maxFrames int) ([]Anomaly, error) {
	s, err := ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	var fut *Future
	if s.Info.Future {
		if fut, err = NewFuture(refs); err != nil {
			return nil, err
		}
	}
	var found []Anomaly
	before := int64(len(refs))
	for n := 1; n <= maxFrames; n++ {
		sim := NewSim(s.New(Config{Frames: n, Future: fut}), n)
		if err := sim.Run(refs); err != nil {
			return nil, fmt.Errorf("%d frames: %w", n, err)
		}
		misses := sim.Counts().Misses
		if misses > before {
			found = append(found, Anomaly{n - 1, before, misses})
		}
		before = misses
	}
	return found, nil
}

// SearchBelady draws reference strings of the given length over the given number
// of pages until one shows the anomaly for the policy, and returns it with what
// it shows; nil after tries strings without success. The same seed gives the same
// answer.
func SearchBelady(spec string, seed uint64, pages, length, tries int) ([]Ref, []Anomaly, error) {
	rng := rand.New(rand.NewPCG(seed, 0x62656c616479))
	if pages < 1 || uint64(pages) > MaxPages || length < 1 {
		return nil, nil, fmt.Errorf("replace: cannot draw %d references to %d pages", length, pages)
	}
	refs := make([]Ref, length)
	for range tries {
		for i := range refs {
			refs[i] = Ref(rng.Uint32N(uint32(pages))) << 1
		}
		found, err := BeladyAnomalies(spec, refs, pages)
		if err != nil || len(found) > 0 {
			return refs, found, err
		}
	}
	return nil, nil, nil
}
