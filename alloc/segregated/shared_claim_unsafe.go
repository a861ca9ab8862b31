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

// claimOf returns the claim to the place, or to one with the same number, if there is
// any, else nobody.
func (s *Shared) claimOf(place uintptr) *claim {
	// SAFETY: a pointer to a claim is read as one.
	return (*claim)(atomic.LoadPointer((*unsafe.Pointer)(unsafe.Pointer(&s.claims[place%numSeats]))))
}

// claimAt is claimOf for the place of here.
func (s *Shared) claimAt(here *byte) *claim { return s.claimOf(stackPlace(here)) }

// setClaim sets what claimOf returns. s.reg is held, or the mutex of the desk whose claim
// it was.
func (s *Shared) setClaim(place uintptr, k *claim) {
	// SAFETY: as in claimOf.
	atomic.StorePointer((*unsafe.Pointer)(unsafe.Pointer(&s.claims[place%numSeats])), unsafe.Pointer(k))
}

// isClaimed reports whether there is a claim for the place of here.
func (s *Shared) isClaimed(here *byte) bool {
	k := s.claimAt(here)
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
