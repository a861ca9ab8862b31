package segregated

import "math/bits"

// Quick lists put off the splitting and joining of spans that come and go. A
// freed span of up to quickSmall granules stays as it is, live bit and all, in
// the bucket of its size, and the next request of exactly that size gets it
// back. Its neighbours take it for used. So that a second Free of it is found,
// Free looks whether the span is in the bucket of its size: at most quickSlots
// comparisons.
//
// Of the larger ones, up to quickMax, only the one that was freed last is kept,
// in a bucket of its own: many of them would hold too much.
//
// The lists are emptied before the top would grow, at each sweep, and when
// they would hold too much, from one bucket after the other.

const (
	quickBuckets = 128
	quickSlots   = 3
	quickMax     = 16 << 10 >> granuleShift // granules, the largest that is kept
	quickSmall   = 2 << 10 >> granuleShift  // granules, the largest that has a bucket by size
	quickTotal   = 32 << 10 >> granuleShift // granules in all buckets, or if that is more
	quickShare   = 32                       // one part in so many of the data
)

// quickBucket holds freed spans of n granules, the newest first.
type quickBucket struct {
	n uint64
	g [quickSlots]uint64
}

// quickLists are the buckets; the sizes n with equal n%quickBuckets share one,
// which holds spans of the size that was freed last.
type quickLists struct {
	bucket [quickBuckets + 1]quickBucket // the last one for the larger
	filled [quickBuckets/64 + 1]uint64   // bit set: the bucket may hold spans
	total  uint64                        // granules in the buckets
	hand   uint64                        // the bucket that is emptied next when there is too much
}

// quickIndex returns the bucket for spans of n granules.
func quickIndex(n uint64) uint64 {
	if n > quickSmall {
		return quickBuckets
	}
	return n % quickBuckets
}

// take returns a span of exactly n granules, or 0.
func (q *quickLists) take(n uint64) uint64 {
	b := &q.bucket[quickIndex(n)]
	g := b.g[0]
	if b.n != n || g == 0 {
		return 0
	}
	b.g[0], b.g[1], b.g[2] = b.g[1], b.g[2], 0
	q.total -= n
	return g
}

// has reports whether the span at g of n granules is in its bucket.
func (q *quickLists) has(g, n uint64) bool {
	b := &q.bucket[quickIndex(n)]
	return b.n == n && (b.g[0] == g || b.g[1] == g || b.g[2] == g)
}

// putQuick puts the live span [g, g+n) into its bucket, whose oldest span, or
// whose spans of another size, are freed for it.
func (h *Heap) putQuick(g, n uint64) {
	i := quickIndex(n)
	b := &h.quick.bucket[i]
	if b.n != n || i == quickBuckets {
		h.emptyBucket(b)
		b.n = n
	}
	h.quick.filled[i/64] |= 1 << (i % 64)
	old := b.g[2]
	b.g[0], b.g[1], b.g[2] = g, b.g[0], b.g[1]
	if old != 0 {
		h.freeSpan(old, n)
		return
	}
	h.quick.total += n
	for most := max(quickTotal, (h.hdr.top-h.hdr.first)/quickShare); h.quick.total > most; {
		h.emptyNext()
	}
}

// emptyNext frees the spans of the next bucket in turn that has any.
func (h *Heap) emptyNext() {
	q := &h.quick
	w := q.hand / 64 % uint64(len(q.filled))
	rest := q.filled[w] >> (q.hand % 64) << (q.hand % 64)
	if rest == 0 {
		q.hand = (w + 1) * 64
		return
	}
	i := uint64(bits.TrailingZeros64(rest))
	q.filled[w] &^= 1 << i
	q.hand = w*64 + i + 1
	h.emptyBucket(&q.bucket[w*64+i])
}

// emptyBucket frees the spans of b.
func (h *Heap) emptyBucket(b *quickBucket) {
	g := b.g
	b.g = [quickSlots]uint64{}
	for _, g := range g {
		if g == 0 {
			return
		}
		h.quick.total -= b.n
		h.freeSpan(g, b.n)
	}
}

// flushQuick frees the spans of all buckets and reports whether there were any.
func (h *Heap) flushQuick() bool {
	if h.quick.total == 0 {
		return false
	}
	for h.quick.total > 0 {
		h.emptyNext()
	}
	return true
}

// isQuick reports whether the span at g, whose live bit is set, is in a bucket.
func (h *Heap) isQuick(g uint64) bool {
	n := h.spanSize(g)
	return n <= quickMax && h.quick.has(g, n)
}
