package segregated

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// A hand is what a handle has of one class: a run and which of its slots may be
// handed out, all marked as used in the run's word. Only the handle's goroutine
// changes the masks; others read them when they free a block of that run.
type hand struct {
	_     [0]atomic.Uint64 // aligns the masks on 32 bits
	avail uint64           // slots that may be handed out
	freed uint64           // slots that were freed and will be
	run   uintptr          // first unit, 0 if there is none; changed under the owner's mutex
	slots unsafe.Pointer   // the run's first slot
	size  uintptr          // bytes of a slot
	recip uint64           // of the class
	valid uint64           // of the class
	_     uint64           // 64 bytes
}

// hands are those of all classes.
type hands struct {
	// busy is 1 while the handle's goroutine frees a block of a biased run.
	busy uint64
	// frees were taken back by the hands; changed with each refill.
	frees atomic.Uint64
	// pause counts the refills until runs may be biased again.
	pause atomic.Int32
	_     [40]byte
	of    [maxClasses]hand
}

// plainStores says that a word of 64 bits is written as one, so that whoever
// reads it meanwhile sees the old or the new value.
const plainStores = !raceEnabled && bits.UintSize == 64

// setMask is how the handle's goroutine changes a mask. A plain store is enough:
// whoever was given a block by that goroutine sees the store that handed it out.
func setMask(p *uint64, w uint64) {
	if plainStores {
		*p = w
		return
	}
	atomic.StoreUint64(p, w)
}

// setAvailNow sets avail for all to see.
func (hd *hand) setAvailNow(a uint64) { atomic.StoreUint64(&hd.avail, a) }

// lent returns the slots at hand, from any goroutine. A slot passes from freed
// to avail, where it is written first.
func (hd *hand) lent() uint64 { return atomic.LoadUint64(&hd.freed) | atomic.LoadUint64(&hd.avail) }

// handleFast is what the small path of a handle reads.
type handleFast struct {
	hands   *hands
	s       *Shared
	low     uintptr        // address of the data; out of reach once the handle is closed
	base    uintptr        // address of the region
	kindTab unsafe.Pointer // as in Shared
	unitTab unsafe.Pointer
	maxSize uintptr
	classOf [128]uint8
}

// Malloc is [Shared.Malloc] for the goroutine that uses the handle: mostly it
// takes a slot that nobody else can have, with no atomic operation at all.
func (h *Handle) Malloc(size int) ([]byte, error) {
	if uintptr(size) <= h.maxSize {
		hd := &h.hands.of[h.classOf[uintptr(size+granule-1)/granule%128]%maxClasses]
		if a := atomic.LoadUint64(&hd.avail); a != 0 {
			setMask(&hd.avail, a&(a-1))
			// SAFETY: the slot is free, lent to this handle, and holds size bytes.
			p := unsafe.Add(hd.slots, uintptr(bits.TrailingZeros64(a))*hd.size)
			return unsafe.Slice((*byte)(p), size), nil
		}
	}
	return h.mallocSlow(size)
}

// Free is [Shared.Free]: b may come from any handle of the heap, or from the
// heap itself.
//
// A block of the run that the handle itself has at hand is freed without an
// atomic operation if the run's word is biased; see bias.go.
func (h *Handle) Free(b []byte) {
	// SAFETY: the address is compared first and used as an index only.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if addr-h.low < h.s.reach.Load() {
		off := addr - h.base
		u := off >> unitShift
		var k uintptr
		if raceEnabled {
			k = h.s.kindLocked(u)
		} else {
			// SAFETY: the tables are committed as far as reach goes.
			k = uintptr(*(*uint16)(unsafe.Add(h.kindTab, u*kindSize)))
		}
		hd := &h.hands.of[k>>8%maxClasses]
		run := u - k&runIndex
		if hd.run == run {
			x := uint64(off-run<<unitShift) * hd.recip
			bit := hd.valid & (1 << (x >> 32 % 64))
			if canBias {
				h.hands.busy = 1
				// SAFETY: as above.
				w := atomic.LoadUint64((*uint64)(unsafe.Add(h.unitTab, run*unitRow)))
				if w&biasBit != 0 && w&bit&^(hd.avail|hd.freed) != 0 && uint32(x) < uint32(hd.recip) {
					hd.freed |= bit
					h.hands.busy = 0
					return
				}
				h.hands.busy = 0
			}
			if uint32(x) < uint32(hd.recip) && h.freeHeld(hd, bit) {
				return
			}
		} else if h.freeFar(off, run, k>>8%maxClasses) {
			return
		}
	}
	h.freeSlow(b)
}

// freeHeld frees the slot of the run in hd, if it is live and the run not biased.
func (h *Handle) freeHeld(hd *hand, bit uint64) bool {
	w, row := h.s.word(hd.run)
	n := freeOne(w, bit)
	if w&bit&^hd.lent() == 0 || w&biasBit != 0 || !atomic.CompareAndSwapUint64(row, w, n) {
		return false
	}
	if n&countMask == 0 {
		h.o.frees.Add(countWraps)
	}
	runtime.KeepAlive(h)
	return true
}

// freeFar frees the block at off if it is one of the given run that its owner
// has not at hand.
func (h *Handle) freeFar(off, run, ci uintptr) bool {
	if raceEnabled {
		return false
	}
	s := h.s
	c := &s.classes[ci]
	x := uint64(off-run<<unitShift) * c.recip
	bit := c.valid & (1 << (x >> 32 % 64))
	w, row := s.word(run)
	n := freeOne(w, bit)
	if w&bit == 0 || w>>heldShift != c.tag<<1 || uint32(x) >= uint32(c.recip) || !atomic.CompareAndSwapUint64(row, w, n) {
		return false
	}
	if n&countMask == 0 || isFull(w) || c.isEmpty(n) {
		s.freedEdge(c, run, w, n)
	}
	runtime.KeepAlive(s)
	return true
}

// outOfReach is an address that no block has, nor any that lies a region's
// size above it.
const outOfReach = ^uintptr(0)>>1 + 1

// hold makes the run at unit run the one that hd takes slots from.
func (s *Shared) hold(hd *hand, c *sharedClass, run uintptr) {
	hd.run, hd.size, hd.recip, hd.valid = run, c.size, c.recip, c.valid
	// SAFETY: the run lies in the region.
	hd.slots = unsafe.Add(s.base, run<<unitShift)
}

const (
	_ = uint(64 - unsafe.Sizeof(hand{}))
)
