package cache

// Stats is what a cache holds and has done.
type Stats struct {
	Budget    int64 `json:"budget"`     // bytes
	Blocks    int64 `json:"blocks"`     // bytes of cached blocks, as the heap counts them
	Frames    int64 `json:"frames"`     // bytes of the frames
	Pinned    int64 `json:"pinned"`     // bytes handed out by AllocPinned: indexes and filters
	NumBlocks int64 `json:"num_blocks"` // cached blocks
	Misses    int64 `json:"misses"`     // blocks that had to be made
	Evictions int64 `json:"evictions"`  // blocks that had to go
	Overflow  int64 `json:"overflow"`   // blocks served from the Go heap, for want of room
}

// Stats walks the frames. O(frames). Hits are not counted: a counter that
// every read writes would cost more than the read.
func (c *Cache) Stats() Stats {
	st := Stats{Budget: c.budget, Frames: c.fixed, Pinned: c.pinned.Load(),
		Misses: c.misses.Load(), Overflow: c.overflow.Load()}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.Blocks += s.used
		st.Evictions += s.evictions
		if !c.closed.Load() {
			for j := s.first; j < s.end; j++ {
				if c.frames[j].usage != 0 {
					st.NumBlocks++
				}
			}
		}
		s.mu.Unlock()
	}
	return st
}
