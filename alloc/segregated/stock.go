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
// Only the goroutine takes spans out and puts them in, between two writes to the turn, as it does with
// slots (bias.go, shared_claim.go). Others who end a claim, or need memory, shut the stock first, and
// wait until no turn is under way. What only says when and how much is given up is written outside of
// turns, too.
//
// Sizes are rounded up to eight for each doubling, so that what is in the bucket of a size will do for
// each request that comes there. A bucket that is full gives its older spans to the best-fit space, all
// under one lock, and so do others in turn when the stock holds too much.

const (
	stockSlots   = 15
	stockMax     = 256 << 10 >> granuleShift     // granules, the largest span that is kept
	stockFirst   = unitGranules + unitGranules/8 // and the least, so that no unit has the starts of two
	stockBuckets = (14-6)<<subBinShift + 1       // the last is that of stockMax alone
	_            = uint(stockMax - 1<<14)        // as stockBuckets counts on
	_            = uint(1<<14 - stockMax)
)

// How much a stock holds, in granules: stockLeast at first, and then, if u are in use, without what
// lies in stocks, and there are n of these, two at least, up to
//
//	max(stockLeast, u/stocksShare/n, min(stockLots, stocksLots/n, u*stocksTimes/n))
//
// but not more than one part in stockRegion of the region or of the limit, nor all of them more than
// one part in stocksRegion. A span of more than one part in stockPart of that is not kept.
const (
	stockLeast   = 128 << 10 >> granuleShift
	stockLots    = 2 << 20 >> granuleShift
	stocksLots   = 32 << 20 >> granuleShift
	stocksTimes  = 2
	stocksShare  = 4
	stockRegion  = 64
	stocksRegion = 8
	stockPart    = 8
	stockKept    = 7 // spans that stay in a bucket that was full
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

// stockBin returns the bucket of spans of n granules, unitGranules to stockMax. The next one is the
// first whose spans all are larger.
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
	want := size
	if n := spanFor(size) - 1; n-unitGranules < stockMax-unitGranules && !hs.s.serial {
		i := stockBin(n) + 1
		if g := hs.takeStocked(i, here); g != 0 {
			return hs.s.bytesOf(uintptr(g)<<granuleShift, size), nil
		}
		hs.missStock()
		want = int(stockSize(i) << granuleShift)
	}
	return hs.s.mallocSpan(op, size, want, granule, hs.o)
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

// resize is called when so many requests as visitEvery have found nothing. It lets the stock hold twice
// as much if it gave up half as many spans or more meanwhile, and half as much if half of what it may
// hold was not touched.
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

// stockMay returns how many granules a stock may hold at most. What lies in stocks is used to the
// best-fit space, but does not count here: else each could grow by what the others hold.
// O(shards and handles).
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
	for _, o := range *s.owners.Load() {
		if hs := o.hands.Load(); hs != nil {
			used -= min(used, hs.stock.holds())
		}
	}
	return min(max(used/stocksShare/n, min(stockLots, stocksLots/n, used*stocksTimes/n), stockLeast),
		all/stockRegion, all/stocksRegion/n)
}

// beginStock makes the stock of hands that their owner, whose mutex is held, has just got.
func (hs *hands) beginStock() {
	hs.s.stocks.Add(1)
	hs.stock.resize(hs.s.stockMay())
	hs.openStock()
}

// openStock lets the goroutine use its stock. The owner's mutex is held.
func (hs *hands) openStock() {
	hs.s.wantLook()
	hs.stock.setOpen(1)
	if hs.s.stopped.Load() {
		hs.stock.setOpen(0)
	}
}

// freeSpan is freeFar for b at offset off, in a unit that is no run's, mostly.
func (hs *hands) freeSpan(b []byte, off uintptr, here *byte) {
	if !hs.freeStocked(b, off, here) {
		hs.freeSlow(b)
	}
}

// freeStocked frees b, at offset off, if that is a block whose word says so, by a
// compare-and-swap, and puts it into the stock. It reports whether it has.
func (hs *hands) freeStocked(b []byte, off uintptr, here *byte) bool {
	w, at := hs.s.word(off >> unitShift)
	e := spanWord(w).stocked()
	if off%granule != 0 || !spanWord(w).isLiveAt(uint64(off>>granuleShift)) || !isStockSize(e.size()) ||
		!atomic.CompareAndSwapUint64(at, w, uint64(e)) {
		return false
	}
	if !hs.keepStocked(e, here) {
		hs.spillStock(e, here)
		if hs.s.reach.Load() == 0 {
			hs.failFree(b)
		}
	}
	return true
}

// failFree panics if damage was found when b was freed.
func (hs *hands) failFree(b []byte) {
	s := hs.s
	s.lock()
	defer s.unlock()
	if s.h.err != nil && !s.h.closed {
		panic(s.h.badBlock("free", b, s.h.err))
	}
}

// spillStock makes room for a span that was freed and that the stock had no room for: the older
// ones of its bucket go to the best-fit space if that is full, then, if the stock is still more than
// three quarters full, those of other buckets in turn.
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

// drainStock empties the stock of a handle, the caller's own or, where its goroutine can be waited for,
// another one, and returns how many spans there were. The owner's mutex is held.
func (hs *hands) drainStock(own bool) int {
	if hs.stock.holds() == 0 {
		return 0
	}
	return hs.shutStock(own)
}

// shutStock is drainStock for a stock that may hold nothing. It is shut until the next miss.
func (hs *hands) shutStock(own bool) int {
	if !own && (!canBias || !hasBarrier()) {
		return 0
	}
	hs.stock.setOpen(0)
	if !own {
		hs.await(&hs.s.nobody.hands)
	}
	return hs.emptyStock()
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
