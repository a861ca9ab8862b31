package segregated

// When a bucket of the quick lists is full, and the heap is still (see quickshare.go), its
// spans go to a chunk, and come back when it is empty. Chunks lie outside of the region,
// where a stray write does not find them; those in use and spare ones are joined by
// their numbers.

// quickChunk holds the spans of a bucket that was full.
type quickChunk struct {
	next uint32 // the chunk before, from 1; 0 if none
	n    uint32 // how many spans it has
	span [quickSlots]quickEntry
}

// spans returns the spans of c.
func (c *quickChunk) spans() []quickEntry { return c.span[:min(c.n, quickSlots)] }

// quickMore are the chunks of all buckets.
type quickMore struct {
	chunks []quickChunk
	spare  uint32 // first chunk that is not in use, from 1; 0 if none
}

// chunkShare bounds the chunks: one for so many granules that the lists may hold, so
// that they take 1/32 of that at most, and chunksMost of them, as all that the lists hold may
// be joined at once when the data is to grow. There is room for chunksFirst of them at first,
// and then for four times as many.
const (
	chunkShare  = 256
	chunksFirst = 16
	chunksMost  = 256
)

// chunksMay returns how many chunks there may be now.
func (q *quickLists) chunksMay() uint64 { return min(q.most/chunkShare, chunksMost) }

// spill moves the spans of the full bucket b to a chunk, and reports whether it may: not
// when the lists hold much already, so that one size does not fill them.
func (q *quickLists) spill(b *quickBucket) bool {
	c := q.spare
	switch {
	case q.share != quickStill || q.total > q.most/4*3:
		return false
	case c != 0:
		q.spare = q.chunks[c-1].next
	case uint64(len(q.chunks)) < q.chunksMay():
		if n := len(q.chunks); n == cap(q.chunks) { // in few steps, as in defers
			more := min(max(uint64(4*n), chunksFirst), q.chunksMay())
			q.chunks = append(make([]quickChunk, 0, more), q.chunks...)
		}
		q.chunks = append(q.chunks, quickChunk{})
		c = uint32(len(q.chunks))
	default:
		return false
	}
	to := &q.chunks[c-1]
	to.next, to.n = b.more, uint32(copy(to.span[:], b.spans()))
	b.more, b.n = c, 0
	return true
}

// unspill moves the spans of a chunk back to the empty bucket b, and reports whether it
// has any.
func (q *quickLists) unspill(b *quickBucket) bool {
	c := b.more
	if c == 0 {
		return false
	}
	from := &q.chunks[c-1]
	b.n, b.more = uint16(from.n), from.next
	copy(b.spans(), from.spans())
	from.next, q.spare = q.spare, c
	return true
}
