package tlb

// SideStats is what one side of one level counted. Hits = Lookups - Misses.
type SideStats struct {
	Lookups int64 `json:"lookups"` // asked: references, or misses of the level before
	Misses  int64 `json:"misses"`
}

// LevelStats is what one level counted. With one set of arrays for both sides,
// the sides still count apart.
type LevelStats struct {
	Instr     SideStats `json:"instr"`
	Data      SideStats `json:"data"`
	Fills     int64     `json:"fills"`     // entries taken in
	Evictions int64     `json:"evictions"` // entries that had to leave for another
	Dropped   int64     `json:"dropped"`   // entries replaced by a newer translation, or back-invalidated
	Flushed   int64     `json:"flushed"`   // entries that software flushed
}

// Lookups returns the look-ups of both sides.
func (l LevelStats) Lookups() int64 { return l.Instr.Lookups + l.Data.Lookups }

// Misses returns the misses of both sides.
func (l LevelStats) Misses() int64 { return l.Instr.Misses + l.Data.Misses }

// Hits returns the hits of both sides.
func (l LevelStats) Hits() int64 { return l.Lookups() - l.Misses() }

// Stats is what a TLB counted since it was made or reset.
type Stats struct {
	Levels       []LevelStats `json:"levels"`
	Walks        int64        `json:"walks"`         // entries inserted after a walk
	WalkRefs     int64        `json:"walk_refs"`     // memory references of those walks
	Prefetches   int64        `json:"prefetches"`    // entries fetched ahead
	PrefetchHits int64        `json:"prefetch_hits"` // of them hit at least once
	CacheLookups int64        `json:"cache_lookups"` // walk caches: asked
	CacheHits    int64        `json:"cache_hits"`    // walk caches: a step known
	Flushes      int64        `json:"flushes"`       // flush operations
}

// Refs returns the number of references: look-ups of the first level.
func (s Stats) Refs() int64 { return s.Levels[0].Lookups() }

// Cost says how many cycles things take. Cycles are a sum over [Stats]: nothing
// overlaps.
type Cost struct {
	Levels []int `json:"levels,omitempty"` // a look-up in level i; missing ones cost 0
	Step   int   `json:"step,omitempty"`   // a memory reference of a walk
	Flush  int   `json:"flush,omitempty"`  // a flush operation
	IPI    int   `json:"ipi,omitempty"`    // a shootdown's interrupt, sent and answered, for each core
}

// DefaultCost returns round figures of the order that current processors show:
// a first-level look-up is hidden in the cache access (0), the second level takes
// 7 cycles, a memory reference of a walk 20 (a level-2 cache hit), a flush 120,
// an interrupt between cores 2000.
func DefaultCost() Cost { return Cost{Levels: []int{0, 7}, Step: 20, Flush: 120, IPI: 2000} }

// Cycles returns what s cost.
func (c Cost) Cycles(s Stats) int64 {
	n := s.WalkRefs*int64(c.Step) + s.Flushes*int64(c.Flush)
	for i, l := range s.Levels {
		if i < len(c.Levels) {
			n += l.Lookups() * int64(c.Levels[i])
		}
	}
	return n
}
