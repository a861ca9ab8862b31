package cache

import "sync/atomic"

// A Slot says where a block is, if it is in the cache. The zero value says that
// it is not. Slots live in the table that owns the block, off the Go heap.
type Slot struct {
	v atomic.Uint64 // generation<<32 | frame index; generations start at 1
}

// marked is a slot that the table uses for itself: it leads to no frame.
const marked = 1<<64 - 1

// Mark makes s a flag of the table's own, for a block that needs no cache.
func (s *Slot) Mark() { s.v.Store(marked) }

// Marked reports whether s was marked.
func (s *Slot) Marked() bool { return s.v.Load() == marked }

// SlotSize is the size of a Slot in bytes.
const SlotSize = 8

// A frame describes one cached block. It lives off the Go heap.
//
// Laws: the generation changes only while refs is 0; off and size change only
// between the change of generation and the publication of the new one in a
// slot, under the shard's lock.
type frame struct {
	state atomic.Uint64 // generation<<32 | refs
	off   uint64        // of the block in the region
	size  uint32        // bytes of the block
	usage uint32        // bytes charged for it; 0 while the frame is free
	hot   atomic.Uint32 // 1 after a hit, until the hand passes
	next  uint32        // free frames: index+1 of the next one
}

const frameSize = 32 // bytes of a frame

const refMask = 1<<32 - 1

// pin takes a reference to f if its generation is gen.
func (f *frame) pin(gen uint32) bool {
	for {
		s := f.state.Load()
		if uint32(s>>32) != gen {
			return false
		}
		if f.state.CompareAndSwap(s, s+1) {
			return true
		}
	}
}

// unpin gives a reference back.
func (f *frame) unpin() { f.state.Add(^uint64(0)) }

// retire raises f's generation if nobody holds a reference: from then on no
// slot leads here.
func (f *frame) retire() bool {
	s := f.state.Load()
	return s&refMask == 0 && f.state.CompareAndSwap(s, nextGen(s))
}

// nextGen is the state after s with no references. It skips generation 0,
// which no slot may name.
func nextGen(s uint64) uint64 {
	gen := uint32(s>>32) + 1
	if gen == 0 {
		gen = 1
	}
	return uint64(gen) << 32
}
