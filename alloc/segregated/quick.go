package segregated

import "math/bits"

// Quick lists put off the splitting and joining of spans that come and go. A
// freed span of up to quickMax granules stays as it is in the bucket of its
// size, and the next request of that size gets it back. Only its bound bit is
// cleared: its neighbours take it for used, Free does not.
//
// The buckets are those of the bins: one for each size below exactBins
// granules, eight a doubling above. There a request takes a span that is larger
// than it asked for, by less than 1/8, as a whole. Often those in its bucket are smaller;
// in a calm heap it takes one of the bucket above, where all are large enough, by 1/4 more at
// most, and what is cut for it has the least size of that.

const (
	quickFew     = 7                         // spans in a bucket below exactBins
	quickSlots   = 15                        // and in the others
	quickMax     = 256 << 10 >> granuleShift // granules, the largest that is kept
	quickBuckets = exactBins + (14-7)<<subBinShift + 1
	quickLines   = 2*(quickBuckets+1-exactBins) + exactBins // with a pair that stays empty
	quickWords   = 4                                        // of bits for them; a power of two
	quickTries   = 2                                        // buckets looked at to make room for a span
	quickBits    = 15                                       // of an entry: the size; the rest is the start
	_            = uint(quickMax - 1<<14)                   // the last bucket is that of quickMax alone
	_            = uint(1<<14 - quickMax)

	wideLeast = exactBins<<granuleShift + 1            // bytes: the least size of a wide bucket
	wideCount = quickMax<<granuleShift + 1 - wideLeast // and how many there are
	wideWord  = exactBins / 64                         // the word of bits of the wide buckets, those from exactBins on
	wideShift = 7 - subBinShift                        // the least sizes of these are multiples of 1<<wideShift
	_         = uint((wideWord+1)*64 - quickBuckets)
	wideMask  = quickMax>>wideShift - 1                   // of an index of wideBins; only quickMax wraps
	_         = uint(-(quickMax >> wideShift & wideMask)) // as it is a power of two
	_         = uint(exactBins - MaxClass/granule)        // what is larger has no class: Malloc and Free do not tell demands
	_         = uint(tagMin - 1 - exactBins)              // and Free knows only such by their tags
)

// quickEntry is a span that is kept: its start and its size in granules.
type quickEntry uint64

func newQuickEntry(g, n uint64) quickEntry { return quickEntry(g<<quickBits | n) }
func (e quickEntry) start() uint64         { return uint64(e >> quickBits) }
func (e quickEntry) size() uint64          { return uint64(e) & (1<<quickBits - 1) }

// quickBucket is a cache line that holds freed spans, the newest last. A bucket from exactBins on
// has another line of spans behind it, so that few of these become full.
type quickBucket struct {
	n    uint16
	used bool   // a span was taken not long ago
	more uint32 // chunk of the spans before these, 0 if there are none
	span [quickFew]quickEntry
}

// roomOf returns how many spans bucket i has room for.
func roomOf(i int) uint16 {
	if i < exactBins {
		return quickFew
	}
	return quickSlots
}

// quickLists are the buckets.
type quickLists struct {
	total     uint64                       // granules in the buckets
	most      uint64                       // granules they may hold now
	part      uint64                       // granules of a span that is kept whatever they hold
	calm      uint64                       // 1 in a calm heap, else 0
	hits      uint32                       // requests of this sample that were served
	misses    uint32                       // and those that were not
	strayed   uint32                       // of hits, those from another bucket than the first looked in
	ops       uint32                       // operations of this sample
	still     uint64                       // operations since it grew, but for those when pages were given back
	stood     uint64                       // granules in use when it grew last
	grewAt    uint64                       // operations there had been then
	hand      uint32                       // the bucket that is emptied next when there is too much
	share     uint8                        // quickShare, quickHits or quickStill
	scattered bool                         // for spans above exactBins, Malloc goes by filled
	turn      quickTurn                    // what became of what is in use since it grew
	searching bool                         // many operations look for a span in the best-fit space
	lines     [quickLines]quickBucket      // each is a cache line, as what is before has 80 bytes; see at
	filled    [quickWords]uint64           // bit set: the bucket may hold spans
	large     uint64                       // how many sizes from tagMin up to part there are
	wideBins  [quickMax >> wideShift]uint8 // by size, see wideBin
	quickMore
}

// prepare sets up lists that are empty: the table, and the share of a new heap.
func (q *quickLists) prepare() {
	q.share = quickShare
	for n := uint64(exactBins); n <= quickMax; n += 1 << wideShift {
		q.wideBins[n>>wideShift&wideMask] = uint8(wideBinOf(n))
	}
}

// takeQuick returns a used span of n ≤ quickMax granules or a little more from
// the quick lists, or 0: the newest of its bucket that is large enough, else, in a heap
// that is still, one of the next buckets.
func (h *Heap) takeQuick(n uint64) quickEntry {
	q, i := &h.quick, binOf(n)
	e := q.takeOwn(q.at(i), n)
	if e == 0 && q.share == quickStill {
		e = q.takeNear(i+1, n)
	}
	if e == 0 {
		q.misses++
		return 0
	}
	h.reuse(e.start(), 0)
	return e
}

// listOf returns the bucket in which a request of n ≤ quickMax granules looks first: that of
// its size, and in a calm heap the first in which all spans are large enough.
func (q *quickLists) listOf(n uint64) int {
	if n <= exactBins {
		return int(n)
	}
	return q.wideBin(n-q.calm) + int(q.calm)
}

// wideBin is wideBinOf for exactBins to quickMax granules, from a table: every Malloc and Free
// of a large span waits for it. quickMax has the index 0, which no other has.
func (q *quickLists) wideBin(n uint64) int { return int(q.wideBins[n>>wideShift&wideMask]) }

// fromWide returns the first bucket from i on that may hold spans, i being exactBins or
// more, or the one behind the last, which never does.
func (q *quickLists) fromWide(i int) int {
	w := q.filled[wideWord] >> (i & 63)
	if w == 0 {
		return quickBuckets
	}
	return i + bits.TrailingZeros64(w)
}

// take counts e as taken from b, which has k spans in hand now.
func (q *quickLists) take(b *quickBucket, k uint16, e quickEntry) {
	b.n, b.used = k, true
	q.total -= e.size()
	q.hits++
}

// heal clears the bit of bucket i if it holds nothing, so that Malloc in a scattered heap does
// not stop there again.
func (q *quickLists) heal(i int) {
	if b := q.at(i); b.n == 0 && b.more == 0 {
		q.filled[uint(i)/64%quickWords] &^= 1 << (i & 63)
	}
}

// leaveWide is told that bucket i, exactBins or more, is left with k spans and those of
// chunk more.
func (q *quickLists) leaveWide(i int, k uint16, more uint32) {
	q.filled[wideWord] &^= oneIf(uint32(k)|more == 0) << (i & 63)
}

// takeNewest takes the newest span of b, and reports whether there is one and it has at least
// n granules.
func (q *quickLists) takeNewest(b *quickBucket, n uint64) (e quickEntry, ok bool) {
	k := b.n - 1
	if k >= quickSlots || b.entry(k).size() < n {
		return 0, false
	}
	e = *b.entry(k)
	q.take(b, k, e)
	return e, true
}

// takeOwn takes the newest span of b that has at least n granules, or returns 0.
func (q *quickLists) takeOwn(b *quickBucket, n uint64) quickEntry {
	if b.n != 0 || q.unspill(b) {
		last := b.n - 1
		for k := last; k < quickSlots; k-- {
			if e := *b.entry(k); e.size() >= n {
				*b.entry(k) = *b.entry(last)
				q.take(b, last, e)
				return e
			}
		}
	}
	return 0
}

// takeNear takes the newest span of the first bucket from i on that has any, if it has at
// least n granules, and 1/4 more at most.
func (q *quickLists) takeNear(i int, n uint64) quickEntry {
	if i = q.nextFilled(i); i == quickBuckets {
		return 0
	}
	b := q.at(i)
	k := b.n - 1
	e := *b.entry(k % quickSlots)
	if e.size()-n > n>>2 {
		return 0
	}
	q.take(b, k, e)
	return e
}

// nextFilled returns the first bucket from i on that has spans, and has them at hand then, or
// quickBuckets. It forgets the buckets before that have none.
func (q *quickLists) nextFilled(i int) int {
	for i < quickBuckets {
		w := q.filled[uint(i)/64%quickWords] >> (i & 63)
		if w == 0 {
			i = (i | 63) + 1
			continue
		}
		i += bits.TrailingZeros64(w)
		if b := q.at(i); b.n != 0 || q.unspill(b) {
			return i
		}
		q.filled[uint(i)/64%quickWords] &^= 1 << (i & 63)
	}
	return quickBuckets
}

// freeAbove frees the newest span of the first bucket above that of n granules that has any,
// and reports whether there was one. It is not deferred, as the caller takes it at once.
func (h *Heap) freeAbove(n uint64) bool {
	q, i := &h.quick, quickBuckets
	if n < quickMax {
		i = q.nextFilled(binOf(n) + 1)
	}
	if i == quickBuckets {
		return false
	}
	b := q.at(i)
	b.n--
	e := *b.entry(b.n % quickSlots)
	q.total -= e.size()
	h.freeSpan(e.start(), e.size())
	return true
}

// putQuick puts the used span [g, g+n) into its bucket and reports whether
// there was room.
func (h *Heap) putQuick(g, n uint64) bool {
	q := &h.quick
	return n-1 < quickMax && q.total+n <= q.most && q.keeps(n) && h.putInto(g, n)
}

// putInto is putQuick for a span that the lists may hold. If the bucket is full, and its spans
// may not go elsewhere, this one is the one to be freed: to move the others up for it costs as
// much.
func (h *Heap) putInto(g, n uint64) bool {
	q, i := &h.quick, binOf(n)
	b := q.at(i)
	k := b.n
	if k >= roomOf(i) {
		if !q.spill(b) {
			return false
		}
		k = 0
	}
	*b.entry(k), b.n = newQuickEntry(g, n), k+1
	q.filled[uint(i)/64%quickWords] |= 1 << (i & 63)
	q.total += n
	h.keep(g)
	return true
}

// makeRoom looks at a bucket or two for spans to free, if the lists may not hold
// n granules more, and reports whether they may then.
func (h *Heap) makeRoom(n uint64) bool {
	q := &h.quick
	for range quickTries {
		if q.total+n <= q.most {
			return true
		}
		h.emptyNext()
	}
	return q.total+n <= q.most
}

// emptyNext frees the spans of the next bucket in turn that has any.
func (h *Heap) emptyNext() {
	q := &h.quick
	w := q.hand / 64 % quickWords
	rest := q.filled[w] >> (q.hand % 64) << (q.hand % 64)
	if rest == 0 {
		q.hand = (w + 1) * 64
		return
	}
	i := w*64 + uint32(bits.TrailingZeros64(rest))
	q.hand = i + 1
	if b := q.at(int(i)); b.used {
		b.used = false
		return
	}
	h.emptyBucket(uint64(i))
}

// emptyBucket frees the spans of bucket i.
func (h *Heap) emptyBucket(i uint64) {
	q := &h.quick
	q.filled[i/64] &^= 1 << (i % 64)
	b := q.at(int(i))
	for b.n > 0 || q.unspill(b) {
		b.n--
		e := *b.entry(b.n % quickSlots)
		q.total -= e.size()
		h.letGo(e.start(), e.size())
	}
}

// freeQuick frees the span that starts at g if it waits in a bucket, not in a chunk, for
// its neighbour to grow into, and reports whether it does.
func (h *Heap) freeQuick(g uint64) bool {
	if g >= h.top || !h.begins(asKept, g) {
		return false
	}
	n := h.spanSize(g)
	b := h.quick.at(binOf(n) % quickBuckets)
	for k := range min(b.n, quickSlots) {
		if *b.entry(k) == newQuickEntry(g, n) {
			b.n--
			*b.entry(k) = *b.entry(b.n % quickSlots)
			h.quick.total -= n
			h.freeSpan(g, n)
			return true
		}
	}
	return false
}

// emptyUnused frees the spans of the buckets that were not used since the last
// call.
func (h *Heap) emptyUnused() {
	q := &h.quick
	for w := range q.filled {
		for rest := q.filled[w]; rest != 0; rest &= rest - 1 {
			i := w*64 + bits.TrailingZeros64(rest)
			if b := q.at(i); b.used {
				b.used = false
				continue
			}
			h.emptyBucket(uint64(i))
		}
	}
}

// largest returns the size of the largest span in the lists.
func (q *quickLists) largest() (n uint64) {
	for i := range quickBuckets {
		b := q.at(i)
		for _, e := range b.spans() {
			n = max(n, e.size())
		}
		for c := b.more; c != 0; c = q.chunks[c-1].next {
			for _, e := range q.chunks[c-1].spans() {
				n = max(n, e.size())
			}
		}
	}
	return n
}

// flushQuick frees the spans of all buckets and the idle runs, joins what waits for it, and
// reports whether there was any of these.
func (h *Heap) flushQuick() bool {
	h.endRow()
	if h.quick.total == 0 && len(h.deferred.list) == 0 && h.idle.sum == 0 {
		return false
	}
	h.dropIdle(allClasses)
	h.idle.nodes, h.idle.spare = h.idle.nodes[:0], 0
	for h.quick.total > 0 {
		h.emptyNext()
	}
	h.coalesce()
	h.quick.chunks, h.quick.spare = h.quick.chunks[:0], 0 // the next ones go there, too
	return true
}
