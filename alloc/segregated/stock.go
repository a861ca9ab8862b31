package segregated

import (
	"math/bits"
	"sync/atomic"
)

// A goroutine that has a claim or a [Handle] keeps spans that it frees in a stock of its own,
// and takes those it needs from there, so that it comes to the lock of the best-fit space
// only for those that the stock does not have, or may not. To the best-fit space what is in a
// stock is used; that it is nobody's block, the word of the span says (shared_span.go), and a
// compare-and-swap of that is what frees it. So of two frees of one block one fails here, too.
//
// Only the goroutine looks into its stock, between two writes to the turn, as it does with
// slots (bias.go, shared_claim.go). Others who end a claim shut the stock first, and wait
// until no turn is under way.
//
// Sizes are rounded up to eight for each doubling, so that what is in the bucket of a size will do for
// each request that comes there. A bucket that is full gives its older spans to the best-fit space, all
// under one lock, and so do others in turn when the stock holds too much.

const (
	stockSlots   = 15
	stockMax     = 256 << 10 >> granuleShift     // granules, the largest span that is kept
	stockFirst   = unitGranules + unitGranules/8 // and the least
	stockBuckets = (14-6)<<subBinShift + 1       // the last is that of stockMax alone
	_            = uint(stockMax - 1<<14)
	_            = uint(1<<14 - stockMax)
)

// How much a stock holds, in granules: stockLeast at first. It may come to stockLots, unless that is
// more than one part in stockShare of what is in use, or stocksLots for all of them; to more if all
// hold less than one part in stocksShare; never to more than one in stockRegion of the region or of
// the limit. A span of more than one part in stockPart of what the stock may hold is not kept.
const (
	stockLeast  = 128 << 10 >> granuleShift
	stockLots   = 2 << 20 >> granuleShift
	stocksLots  = 32 << 20 >> granuleShift
	stockShare  = 3
	stocksShare = 4
	stockRegion = 64
	stockPart   = 8
)

// A stock has the spans of all buckets.
type stock struct {
	_       [0]atomic.Uint64 // aligns the words on 32 bits
	open    uint32           // others than its goroutine may set it to 0 only
	hand    uint32           // the bucket that is emptied next when there is too much
	total   uint64           // granules in it
	most    uint64           // granules it may hold
	taken   uint64           // spans that were taken out of it by Malloc
	missed  uint64           // requests that found nothing in it
	dropped uint64           // spans that it had no room for, since resize
	low     uint64           // the least total since then
	bucket  [stockBuckets]stockBucket
}

// stockBucket has spans that are not smaller than its size, the newest last.
type stockBucket struct {
	n    uint64
	span [stockSlots]spanWord
}

// stockBin returns the bucket of spans of n granules, stockFirst to stockMax.
func stockBin(n uint64) uint {
	e := uint(bits.Len64(n)) - 1
	return ((e-6)<<subBinShift + uint(n>>((e-subBinShift)&63)&(1<<subBinShift-1))) % stockBuckets
}

// stockSize returns the least size of the spans in bucket i.
func stockSize(i uint) uint64 {
	return (1<<subBinShift + uint64(i)&(1<<subBinShift-1)) << (i>>subBinShift + 6 - subBinShift)
}

// isStockSize reports whether a stock keeps spans of n granules.
func isStockSize(n uint64) bool { return n-stockFirst <= stockMax-stockFirst }

// mallocLarge is Malloc for sizes without a class, by the hands of the caller, whose variable
// here is: from its stock, else from the best-fit space.
func (hs *hands) mallocLarge(op string, size int, here *byte) ([]byte, error) {
	if n := spanFor(size) - 1; n-unitGranules < stockMax-unitGranules {
		if g := hs.takeStocked(stockBin(n)+1, here); g != 0 {
			return hs.s.slotAt(uintptr(g)<<granuleShift, size), nil
		}
		hs.missStock()
	}
	b, err := hs.s.mallocLarge(op, size)
	if err != nil && isNoMemory(err) && hs.dropAll(here) {
		return hs.s.mallocSpan(op, size, granule)
	}
	return b, err
}

// mallocLarge returns a block of a size that has no class from the best-fit space: if there is
// memory, of one that a stock keeps.
func (s *Shared) mallocLarge(op string, size int) ([]byte, error) {
	if n := spanFor(size) - 1; n-unitGranules < stockMax-unitGranules && !s.serial {
		want := int(stockSize(stockBin(n)+1) << granuleShift)
		if b, err := s.spanOnce(op, want, granule); err == nil {
			return b[:size:size], nil
		}
	}
	return s.mallocSpan(op, size, granule)
}

// missStock is told that the stock had no span, or is shut. Now and then it looks after other
// shards, and how much the stock may hold.
func (hs *hands) missStock() {
	s, o, st := hs.s, hs.o, &hs.stock
	if o == nil || st.isOpen() && st.missed%visitEvery != 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hands.Load() == hs && !s.stopped.Load() {
		st.resize(s.stockMay())
		hs.openStock()
		o.calls++
		s.visit(o)
	}
}

// resize lets the stock hold twice as much if it gave up as many spans as it then missed, half of them
// at least, and half as much if half of what it may hold was not touched since it was asked last.
func (st *stock) resize(may uint64) {
	switch {
	case st.dropped*2 >= visitEvery:
		st.most *= 2
	case st.low > st.most/2:
		st.most /= 2
	}
	st.most = min(max(st.most, stockLeast), may)
	st.dropped, st.low = 0, st.total
}

// stockMay returns how many granules a stock may hold at most.
func (s *Shared) stockMay() uint64 {
	s.lock()
	defer s.unlock()
	h, n := s.h, uint64(max(s.stocks.Load(), 2))
	if h.refused() {
		return 0
	}
	all := h.endGranule() - h.first
	if h.limit != 0 {
		all = min(all, h.limit>>granuleShift)
	}
	used := h.inUse()
	return min(max(used/stocksShare/n, min(stockLots, stocksLots/n, used/stockShare), stockLeast), all/stockRegion)
}

// openStock lets the goroutine use its stock. The owner's mutex is held.
func (hs *hands) openStock() {
	hs.stock.setOpen(1)
	if hs.s.stopped.Load() {
		hs.stock.setOpen(0)
	}
}

// freeSpan is freeFar for b at offset off, in a unit that is no run's, mostly.
func (hs *hands) freeSpan(b []byte, off uintptr, here *byte) {
	if !hs.freeStocked(off, here) {
		hs.freeSlow(b)
	}
}

// freeStocked frees what is at offset off, if that is a block whose word says so, by a
// compare-and-swap, and puts it into the stock. It reports whether it has.
func (hs *hands) freeStocked(off uintptr, here *byte) bool {
	w, at := hs.s.word(off >> unitShift)
	e := spanWord(w).stocked()
	if off%granule != 0 || !spanWord(w).isLiveAt(uint64(off>>granuleShift)) || !isStockSize(e.size()) ||
		!atomic.CompareAndSwapUint64(at, w, uint64(e)) {
		return false
	}
	if !hs.keepStocked(e, here) {
		hs.spillStock(e, here)
	}
	return true
}

// stockKept is how many spans stay in a bucket that was full.
const stockKept = 7

// spillStock makes room for a span that was freed and that the stock had no room for: the older
// ones of its bucket go to the best-fit space if that is full, else those of other buckets, so
// that a quarter of the stock is empty.
func (hs *hands) spillStock(e spanWord, here *byte) {
	st := &hs.stock
	if hs.o == nil || !st.isOpen() || !hs.isHere(here) || e.size() > st.most/stockPart {
		hs.s.takeBack([]spanWord{e}) // there is no stock for the caller, or for this
		return
	}
	if i := stockBin(e.size()); st.bucket[i].n >= stockSlots {
		hs.drop(i, stockKept, here)
	}
	for range st.bucket {
		if st.total+e.size() <= st.most/4*3 {
			break
		}
		if i := uint(st.hand); st.bucket[i].n != 0 {
			hs.drop(i, 0, here)
		}
		st.hand = (st.hand + 1) % stockBuckets
	}
	if !hs.keepStocked(e, here) {
		hs.s.takeBack([]spanWord{e})
	}
}

// drop gives all but the newest so many spans of bucket i to the best-fit space.
func (hs *hands) drop(i uint, but uint64, here *byte) {
	var out [stockSlots]spanWord
	n := hs.dropStocked(i, but, &out, here)
	hs.s.takeBack(out[:n])
	hs.stock.dropped += n
}

// dropAll gives all that is in the caller's stock to the best-fit space, and reports whether there was
// anything.
func (hs *hands) dropAll(here *byte) bool {
	had := hs.stock.total != 0
	for i := range hs.stock.bucket {
		if hs.stock.bucket[i].n != 0 {
			hs.drop(uint(i), 0, here)
		}
	}
	return had
}

// emptyStock gives all that is in the stock, which is shut, to the best-fit space, and returns how
// many spans that were. Its goroutine has no turn, and the owner's mutex is held.
func (hs *hands) emptyStock() int {
	st := &hs.stock
	var out []spanWord
	for i := range st.bucket {
		b := &st.bucket[i]
		out = append(out, b.span[:min(b.n, stockSlots)]...)
		b.n = 0
	}
	st.total, st.most = 0, 0
	return hs.s.takeBack(out)
}
