package arena

// ArenaStats is what an [Arena] knows of itself at one moment. Sizes are in
// bytes.
type ArenaStats struct {
	Used      int    `json:"used"`      // handed out and not taken back, padding included
	Peak      int    `json:"peak"`      // the most that Used ever was
	Committed int    `json:"committed"` // may be touched
	Reserved  int    `json:"reserved"`  // address space held
	Limit     int    `json:"limit"`     // most that may be committed; 0: none
	Chunks    int    `json:"chunks"`    // regions held
	Mappings  int    `json:"mappings"`  // entries of the system's map table, at most
	Marks     int    `json:"marks"`     // marks that are live
	Allocs    uint64 `json:"allocs"`    // allocations since the start
}

// Stats returns the figures of the arena. O(chunks).
func (a *Arena) Stats() ArenaStats {
	s := ArenaStats{
		Used:      a.used(),
		Committed: a.committed,
		Limit:     a.opts.Limit,
		Chunks:    len(a.chunks),
		Marks:     len(a.marks),
		Allocs:    a.allocs,
	}
	s.Peak = max(a.peak, s.Used)
	for _, c := range a.chunks {
		s.Reserved += len(c.mem)
		s.Mappings += c.r.Stats().Mappings
	}
	return s
}

// used returns the bytes handed out over all chunks.
func (a *Arena) used() int {
	n := 0
	for i := 0; i < len(a.chunks) && i <= a.cur; i++ {
		n += a.chunks[i].pos
	}
	return n
}
