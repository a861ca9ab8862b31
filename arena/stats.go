package arena

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
