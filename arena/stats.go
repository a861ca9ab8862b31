package arena

import "iter"

// Stats is what a region knows of itself at one moment. Sizes are in bytes.
type Stats struct {
	Reserved  int `json:"reserved"`  // address space held, without guard pages
	Committed int `json:"committed"` // bytes that may be touched
	Peak      int `json:"peak"`      // the most that was ever committed
	Limit     int `json:"limit"`     // most bytes that may be committed; 0: the size
	Existing  int `json:"existing"`  // File: length of the file when it was opened, 0 if new
	Mappings  int `json:"mappings"`  // entries of the system's map table that the region may hold, at most

	Commits   uint64 `json:"commits"`   // calls that committed pages
	Decommits uint64 `json:"decommits"` // calls that gave pages back
	Moved     uint64 `json:"moved"`     // bytes that Move moved without copying
	Copied    uint64 `json:"copied"`    // bytes that Move copied
}

// Stats returns the figures of the region. They stay readable after Close.
func (r *Region) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := *r.stats
	if r.mem.Load() != nil {
		s.Mappings = r.back.mappings()
	}
	return s
}

// Committed returns an iterator over the committed stretches of the region, as
// pairs of first byte and end, in address order, as long as possible. It sees
// the region as it is at each step; changing the region meanwhile is allowed.
func (r *Region) Committed() iter.Seq2[Offset, Offset] {
	return func(yield func(lo, hi Offset) bool) {
		for at := int64(0); ; {
			lo, hi := r.nextCommitted(at)
			if lo >= hi || !yield(Offset(lo*r.page), Offset(min(hi*r.page, int64(r.size)))) {
				return
			}
			at = hi
		}
	}
}

// nextCommitted returns the first stretch of committed pages from page at on.
func (r *Region) nextCommitted(at int64) (lo, hi int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem.Load() == nil {
		return 0, 0
	}
	lo = r.committed.nextIn(at, r.pages())
	return lo, r.committed.nextOut(lo, r.pages())
}
