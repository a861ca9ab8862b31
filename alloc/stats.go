package alloc

// Stats is what an allocator knows of itself at one moment. All sizes are in
// bytes. The laws, which tests hold:
//
//	Requested ≤ Live ≤ Committed ≤ Reserved
//	Live + Retained + Quarantined + Metadata ≤ Committed
//	LargestFree ≤ Retained
//	LiveBlocks == Mallocs - Frees
type Stats struct {
	LiveBlocks  int `json:"live_blocks"`  // blocks the caller owns
	Live        int `json:"live"`         // usable bytes of those blocks
	Requested   int `json:"requested"`    // bytes asked for; equal to Live where the heap does not keep the sizes asked for
	Reserved    int `json:"reserved"`     // address space held
	Committed   int `json:"committed"`    // bytes that may be touched
	Resident    int `json:"resident"`     // bytes the kernel says are in RAM; -1 where it cannot say
	Metadata    int `json:"metadata"`     // bytes of the heap's own structures
	Retained    int `json:"retained"`     // free bytes that are committed
	Quarantined int `json:"quarantined"`  // freed bytes held back from reuse
	FreeBlocks  int `json:"free_blocks"`  // free blocks on the lists
	LargestFree int `json:"largest_free"` // bytes of the largest free block, as far as it is committed

	Mallocs  uint64 `json:"mallocs"`  // blocks handed out since the start
	Frees    uint64 `json:"frees"`    // blocks taken back since the start
	Searched uint64 `json:"searched"` // free blocks looked at by Malloc since the start
	Failed   uint64 `json:"failed"`   // calls that returned ErrNoMemory
}

// InternalFragmentation is the part of the live bytes that nobody asked for,
// from 0 to 1: 1 - Requested/Live.
func (s Stats) InternalFragmentation() float64 {
	if s.Live == 0 {
		return 0
	}
	return 1 - float64(s.Requested)/float64(s.Live)
}

// ExternalFragmentation is the part of the free, committed bytes that is not in
// the largest free block, from 0 to 1: 1 - LargestFree/Retained.
func (s Stats) ExternalFragmentation() float64 {
	if s.Retained <= 0 || s.LargestFree >= s.Retained {
		return 0
	}
	return 1 - float64(s.LargestFree)/float64(s.Retained)
}
