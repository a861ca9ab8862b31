package segregated

import (
	"sync/atomic"
	"unsafe"
)

// This file has what the goroutine of a stock does in its turn. Nothing is called there:
// if the hands are a claim's, a call could move the stack that they belong to.

// isOpen reports whether the goroutine may use the stock.
func (st *stock) isOpen() bool { return atomic.LoadUint32(&st.open) != 0 }

func (st *stock) setOpen(open uint32) { atomic.StoreUint32(&st.open, open) }

// takes returns how many spans were taken out, from any goroutine.
func (st *stock) takes() uint64 { return atomic.LoadUint64(&st.taken) }

// freeLarge is Free for b if it has the capacity of no slot: mostly it is a span then.
func (hs *hands) freeLarge(b []byte, here *byte) {
	s := hs.s
	// SAFETY: the address is compared and used as an index only.
	off := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(s.base)
	if off-s.first >= s.reach.Load() || hs.closed || !hs.freeStocked(b, off, here) {
		hs.freeFar(b, here)
	}
}

// holds returns how many granules are in the stock, from any goroutine.
func (st *stock) holds() uint64 { return atomic.LoadUint64(&st.total) }

// isHere reports whether the hands are of the goroutine whose variable here is; of a handle,
// for which that is nil, they are.
func (hs *hands) isHere(here *byte) bool {
	// SAFETY: the address is compared only.
	return atomic.LoadUintptr(&hs.place) == uintptr(unsafe.Pointer(here))>>stackShift
}

// takeStocked takes the newest span out of bucket i and returns where it starts; 0 if there is
// none. The goroutine's variable here is.
func (hs *hands) takeStocked(i uint, here *byte) (g uint64) {
	if !hs.isHere(here) {
		return 0
	}
	hs.turn = 1
	st := &hs.stock
	if atomic.LoadUint32(&st.open) != 0 {
		b := &st.bucket[i%stockBuckets]
		if k := b.n - 1; k < stockSlots {
			w := b.span[k]
			b.n = k
			setMask(&st.total, st.total-w.size())
			st.low = min(st.low, st.total)
			setMask(&st.taken, st.taken+1)
			g = w.start()
			// SAFETY: as in word; the span is the stock's, and nobody else changes its word.
			setMask((*uint64)(unsafe.Add(hs.s.wordTab, uintptr(g>>granuleBits)*sharedRow)), uint64(w|spanLive))
		} else {
			st.missed++
		}
	}
	hs.turn = 0
	return g
}

// keepStocked puts a span that was freed into the stock and reports whether there was room.
func (hs *hands) keepStocked(w spanWord, here *byte) (ok bool) {
	i, n := stockBin(w.size()), w.size()
	if !hs.isHere(here) {
		return false
	}
	hs.turn = 1
	st := &hs.stock
	if atomic.LoadUint32(&st.open) != 0 && st.total+n <= st.most && n <= st.most/stockPart {
		b := &st.bucket[i]
		if k := b.n; k < stockSlots {
			b.span[k] = w
			b.n = k + 1
			setMask(&st.total, st.total+n)
			ok = true
		}
	}
	hs.turn = 0
	return ok
}

// dropStocked takes all but the newest so many spans out of bucket i, and returns those that it
// has put into out.
func (hs *hands) dropStocked(i uint, but uint64, out *[stockSlots]spanWord, here *byte) (n uint64) {
	if !hs.isHere(here) {
		return 0
	}
	hs.turn = 1
	st := &hs.stock
	if atomic.LoadUint32(&st.open) != 0 {
		b := &st.bucket[i%stockBuckets]
		if k := b.n; k <= stockSlots && k > but {
			n = k - but
			for j := range n {
				out[j%stockSlots] = b.span[j%stockSlots]
				setMask(&st.total, st.total-b.span[j%stockSlots].size())
			}
			for j := range but {
				b.span[j%stockSlots] = b.span[(j+n)%stockSlots]
			}
			b.n = but
		}
	}
	hs.turn = 0
	return n
}
