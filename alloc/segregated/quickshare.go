package segregated

import "math"

// How much the quick lists may hold: quickTotal, in a large heap one part in
// 1<<quickShare, or 1<<quickHits while two of three requests are served from the lists.
// A span of more than one part in 1<<quickPart of that is kept only as long as they stay
// below half of it. A span that would be too much is kept if one of the next two buckets
// in turn can be emptied for it, which are spared when they were of use since their last
// turn. Before the data would grow by pages that were not touched, and memory comes near its
// peak by that, all buckets are emptied, unless they hold little; a calm heap takes one larger
// span from one instead. They are, too, when memory has come above its peak and nothing else
// makes up for it (trade.go). Each sweep empties those that were of no use since the one before.
//
// Two kinds of heaps do not miss what the lists hold. One whose data is tiny, less than
// quickTiny, may keep quickTinyMost, and grows before it empties them. One that is still keeps
// its pages anyhow: it has not grown for stillAge times as many operations as there had been
// when it grew last, between stillOps and stillMost, not counting those after which pages were
// given back. It grows when there is more in use than ever, as the top also rises when what is
// free does not fit. Its lists may have one part in 1<<quickStill of the data until it grows, and
// serve a request also from the next buckets, with up to 1/4 more. As that makes it use some
// per cent more itself, it has to grow by more to be taken for one that grows again.
//
// A heap is back if it has used less than half of what it used when it grew last, and then
// nearly as much again without growth. It is likely to do so once more, and still at once.
//
// A still heap is calm if it has not grown for calmOps operations, as all have but those that are
// searching or back: then it gives requests the sizes of its buckets, up to 1/8 more, so that
// what is freed serves all that have the same bucket. It does so only where there is a free span
// of that size.
//
// A heap that has been still for settledOps operations is settled: it gives pages back less often,
// more at a time (sweep.go), may come as near to its peak as it likes, and its lists may have all of
// the data but one part in 1<<quickSettled, and a single span half of that. Earlier it is not, as a
// program that does the same over and over has to do so some times before the pages that it needs
// are those that it has.
//
// A heap is searching if in more than searchingTenths of ten operations a span had to be looked
// for in the best-fit space, as in programs that use large blocks of many sizes, until no more
// than that ask for spans at all. To search is most of what it does, so it is still after
// searchingOps operations.
//
// A still heap is scattered if more than one in quickStray of the requests that are served are
// from another bucket than the first they looked in: then a processor guesses wrong too often
// whether that is empty. So Malloc takes the first bucket that has spans by the bits, and
// clears the bit of one that it empties, both without a branch. In other heaps it is faster to
// guess than to wait for bits that Free has just written. (git-log's trace takes 7 % longer
// without.)
const (
	quickTotal      = 8 << 10 >> granuleShift // granules
	quickShare      = 8
	quickHits       = 5
	quickStill      = 1
	quickSettled    = 2
	quickSample     = 256 // requests after which it is seen how many are served
	quickTiny       = 256 << 10 >> granuleShift
	quickTinyMost   = 64 << 10 >> granuleShift
	quickPart       = 3
	quickHalf       = 1
	quickStray      = 8
	searchingTenths = 4
	searchingOps    = 2048
	stillOps        = 65536
	stillAge        = 2
	stillMost       = 16 * stillOps
	calmOps         = stillOps / 2
	settledOps      = 4 * stillOps
	quickGrown      = 5  // it has grown when it uses more by one part in 1<<quickGrown,
	quickStirred    = 3  // while still one part in 1<<quickStirred
	quickNear       = 3  // it is back when it uses as much but for one part in 1<<quickNear
	quickLittle     = 13 // one part in 1<<quickLittle is little
	quickPeak       = 4  // near the peak is within one part in 1<<quickPeak of it
)

// adapt is told of so many operations. It sets the part of the data that the lists may hold by
// how many requests they served since the last sample, where Malloc looks for spans by how many
// of these were in another bucket, and whether the heap is searching. What the lists hold too
// much goes bit by bit.
func (q *quickLists) adapt(data, ops uint64) {
	q.ops = uint32(min(uint64(q.ops)+ops, math.MaxUint32))
	if q.hits+q.misses < quickSample {
		return
	}
	if q.share != quickStill {
		q.share = quickShare
		if q.hits > 2*q.misses {
			q.share = quickHits
		}
	}
	q.scattered = q.share == quickStill && q.strayed > q.hits/quickStray
	many := uint64(q.ops) * searchingTenths
	q.searching = 10*uint64(q.misses) > many || q.searching && 10*uint64(q.hits+q.misses) > many
	q.hits, q.misses, q.ops, q.strayed = 0, 0, 0, 0
	q.fit(data)
}

// rest is told of operations during which no pages were given back, and reports whether
// there were so many since the data grew that the lists may hold much.
func (q *quickLists) rest(data, ops uint64) bool {
	q.still += ops
	switch {
	case q.turn == quickBack, q.still >= max(stillOps, min(stillAge*q.grewAt, stillMost)), q.searching && q.still >= searchingOps:
		q.share = quickStill
	case q.share == quickStill: // it was searching
		q.share, q.calm, q.scattered = quickShare, 0, false
	}
	q.fit(data)
	if q.share == quickStill && q.still >= calmOps {
		q.calm = 1
	}
	return q.share == quickStill
}

// grown is told how much is in use when the top is higher than ever, and how many operations
// there were. That a still heap grows may be its own doing: it is still again after as many
// operations as before.
func (q *quickLists) grown(used, ops uint64) {
	shift, at := quickGrown, ops
	if q.share == quickStill {
		shift, at = quickStirred, q.grewAt
	}
	if used > q.stood+q.stood>>shift {
		q.share, q.calm, q.scattered, q.still, q.stood, q.grewAt, q.turn = quickShare, 0, false, 0, used, at, quickGrew
	}
}

// settled reports whether the heap is.
func (q *quickLists) settled() bool { return q.share == quickStill && q.still >= settledOps }

// quickTurn says what became of what is in use since the heap grew last.
type quickTurn uint8

const (
	quickGrew quickTurn = iota
	quickSank           // to less than half
	quickBack           // and came back
)

// watch is told now and then how much is in use, and finds out whether the heap is back.
func (q *quickLists) watch(used uint64) {
	switch {
	case used < q.stood/2:
		q.turn = max(q.turn, quickSank)
	case q.turn == quickSank && used > q.stood-q.stood>>quickNear:
		q.turn = quickBack
	}
}

// fit sets what the lists may hold for so many granules of data.
func (q *quickLists) fit(data uint64) {
	most, part := max(quickTotal, data>>(q.share&63)), uint(quickPart)
	if data < quickTiny {
		most = quickTinyMost
	}
	if q.settled() {
		most, part = max(most, data-data>>quickSettled), quickHalf
	}
	q.most, q.part = most, min(most>>(part&63), quickMax)
	q.large = q.part + 1 - min(q.part+1, tagMin)
}

// keeps reports whether a span of n granules is not too much to be kept.
func (q *quickLists) keeps(n uint64) bool {
	return n <= q.part || n <= quickMax && n <= q.most/2-min(q.total, q.most/2)
}
