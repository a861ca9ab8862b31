package segregated

import (
	"sync/atomic"
	"unsafe"
)

// stackShift is the binary logarithm of what each stack's size and place are a
// multiple of.
const stackShift = 11

// stackPlace returns the number of the part of a stack that here is in, a variable
// of the caller's or of one of its callers.
func stackPlace(here *byte) uintptr {
	// SAFETY: a number that is compared only. As here is a pointer, it moves with the
	// stack.
	return uintptr(unsafe.Pointer(here)) >> stackShift
}

// isClaimed reports whether there is a claim for the place of here.
func (s *Shared) isClaimed(here *byte) bool {
	k := s.claims[stackPlace(here)%numSeats].Load()
	return canClaim && k.home == stackPlace(here)
}

// enter leaves nobody but the caller, whose variable here is, to use the claim, and
// reports whether it is the caller's. The desk's mutex is held.
func (k *claim) enter(here *byte) bool {
	// SAFETY: as in stackPlace; nothing is called between the comparison and the store.
	if atomic.LoadUintptr(&k.place) == uintptr(unsafe.Pointer(here))>>stackShift {
		atomic.StoreUintptr(&k.place, 0)
		return true
	}
	return false
}

// freeClaimed does what Free does first, for a slot of a biased run of class ci: Free
// looks in another hand when the caller has cut the block's capacity. The variable
// here is the caller's.
func (s *Shared) freeClaimed(here *byte, ci, run uintptr, bit uint64) bool {
	k := s.claims[stackPlace(here)%numSeats].Load()
	hd := k.hands.holding(ci, run)
	// SAFETY: as in stackPlace; nothing is called until the turn ends.
	if hd == nil || atomic.LoadUintptr(&k.place) != uintptr(unsafe.Pointer(here))>>stackShift || hd.run != run {
		return false
	}
	t := hd.turns
	hd.turns = t + 1
	if atomic.LoadUint64(&hd.mine)&^hd.avail&bit == 0 {
		hd.turns = t
		return false
	}
	hd.avail |= bit
	hd.turns = t + 2
	return true
}
