package replace

import "github.com/memlab-go/memlab/vm"

// An OPTCurve measures the stack distances of [OPT]: the misses of the best policy
// for every memory size in one pass. It does not look ahead: which page OPT evicts
// depends on the future, whether a reference hits does not (Bilardi, Ekanadham and
// Pattnaik, Optimal on-line computation of stack distances for MIN and OPT, Computing
// Frontiers 2017). O(log pages) a reference, amortized, and memory for the pages only.
//
// A page is kept from one reference to the next if there is no moment between them when
// the memory is full of others that are kept too. So of the past there counts, for each
// memory size, the last moment when it was full: a hit is a reference to a page that was
// used since. As the paper shows, it need not be known which size has which of these
// moments until a reference asks for it; till then a size may stand where the last
// reference of that distance was. So there is a line of moments, the latest on the
// right; this is how it looks after a b c d c:
//
//	page     a   b       d   c    whose last reference it was
//	mark             3   4   2    the distance whose last reference it was (1: none; first references: the number of pages)
//	balance  0  -1  -1   0   0    marks up to here less pages before
//
// Laws: every page is there, and every size from 2 to their number; no balance is above 0.
//
// A reference to a page looks for the first place behind it with a page and a balance of
// 0, a tight one. The smallest mark up to there is its distance: 3 for b, whose tight
// place is that of d. Page and mark are taken from their places and put at the right end.
//
// A tree holds for each range of places the marks less the pages, the highest balance from
// its beginning, and the smallest mark. The last places, which most references go to,
// stand in a short list instead, without empty ones. When the line is full, it is closed
// up.
type OPTCurve struct {
	hist Histogram
	last vm.PageID  // the page referenced last
	at   []uint32   // by page: 0: never referenced; listed; else its place plus 2
	mark []uint32   // by size, from 2 to the number of pages: listed, or the place of its mark plus 2
	line []optPlace // in blocks of optBlock
	now  uint32     // next place, the first of a block
	tree []optRange // of blocks: node 1 is the root, block b is leaf half+b
	half int
	list []optListed // the places behind those on the line
}

// An optListed is a place of the list.
type optListed struct {
	optPlace
	low   uint32 // the smallest mark of the list up to here, or noSize
	lowAt uint32 // the index of its place
}

// An optPlace is a moment of the past that counts.
type optPlace struct {
	page vm.PageID // whose last reference it is, or noPage
	size uint32    // whose mark it has, or noSize
}

// optRange is what the tree holds of a range of places.
type optRange struct {
	sum  int32  // marks less pages
	peak int32  // the highest balance, from 0 before the range
	low  uint32 // the smallest mark, or noSize
}

const (
	noSize   = ^uint32(0)
	listed   = 1
	onLine   = 2
	optBlock = 8  // places
	optList  = 64 // places of the list, beyond which the first block goes on the line
)

// NewOPTCurve returns an empty OPTCurve.
func NewOPTCurve() *OPTCurve {
	c := &OPTCurve{last: noPage, mark: make([]uint32, 1), list: make([]optListed, 0, optList+1)}
	c.resize(1 << 8)
	return c
}

// Histogram returns what was measured so far. It changes with further use.
func (c *OPTCurve) Histogram() *Histogram { return &c.hist }

// Add takes further references.
func (c *OPTCurve) Add(refs []Ref) {
	for _, r := range refs {
		p := r.Page()
		if p == c.last {
			c.hist.count(1)
			continue
		}
		growTo(&c.at, int(p)+1)
		if !c.alternate(p) {
			c.reference(p)
		}
		c.last = p
	}
}

// alternate is reference for two pages in turn, which many references are: only they
// change places.
func (c *OPTCurve) alternate(p vm.PageID) bool {
	n := len(c.list)
	if n < 2 || c.list[n-1].size != 2 || c.list[n-2].optPlace != (optPlace{p, noSize}) {
		return false
	}
	c.list[n-2].page, c.list[n-1].page = c.last, p
	c.hist.count(2)
	return true
}

// reference takes a reference to p, which is not the last one again.
func (c *OPTCurve) reference(p vm.PageID) {
	var d uint32
	from := len(c.list)
	switch at := c.at[p]; at {
	case 0:
		c.mark = append(c.mark, listed)
		c.hist.count(0)
		if d = uint32(len(c.mark) - 1); d == 1 { // the first page of all; there is no mark of size 1
			d = noSize
		}
	case listed:
		d, from = c.fromList(p)
		c.hist.count(int(d))
	default:
		d, from = c.fromLine(at - onLine)
		c.hist.count(int(d))
	}
	c.at[p] = listed
	c.list = append(c.list, optListed{optPlace: optPlace{p, d}})
	c.tidy(from)
	if len(c.list) > optList {
		c.store()
	}
}

// fromList takes p, which is in the list, and the mark of its distance away. It returns
// that, and the index of the first place of the list that changed.
func (c *OPTCurve) fromList(p vm.PageID) (d uint32, from int) {
	i := len(c.list) - 1
	tight, balance := i, 0 // of what is behind
	for ; c.list[i].page != p; i-- {
		e := &c.list[i]
		if e.page != noPage {
			if balance == 0 {
				tight = i
			}
			balance--
		}
		if e.size != noSize {
			balance++
		}
	}
	c.list[i].page = noPage
	d, m := c.smallestListed(tight)
	if m < 0 {
		was := c.unmark(d)
		c.mend(was, was)
		return d, i
	}
	c.list[m].size = noSize
	return d, min(i, m)
}

// unmark takes the mark of size d off the line, for the list, and returns its place,
// of which the tree does not know yet.
func (c *OPTCurve) unmark(d uint32) uint32 {
	i := c.mark[d] - onLine
	c.line[i].size = noSize
	c.mark[d] = listed
	return i
}

// smallestListed returns the smallest mark up to index i of the list, and its index;
// -1 if it is on the line.
func (c *OPTCurve) smallestListed(i int) (d uint32, m int) {
	if e := &c.list[i]; e.low < c.tree[1].low {
		return e.low, int(e.lowAt)
	}
	return c.tree[1].low, -1
}

// tidy takes empty places out of the list, from index i on, and finds the smallest
// marks anew.
func (c *OPTCurve) tidy(i int) {
	low, at := noSize, uint32(0)
	if i > 0 {
		low, at = c.list[i-1].low, c.list[i-1].lowAt
	}
	to := i
	for _, e := range c.list[i:] {
		if e.size < low {
			low, at = e.size, uint32(to)
		}
		c.list[to] = optListed{e.optPlace, low, at}
		if uint32(e.page)&e.size != noSize { // not empty
			to++
		}
	}
	c.list = c.list[:to]
}

// fromLine is fromList for the page at place i of the line.
func (c *OPTCurve) fromLine(i uint32) (d uint32, from int) {
	m := -1
	if tight, ok := c.tight(i + 1); ok {
		d = c.smallest(tight)
	} else {
		d, m = c.smallestListed(c.tightListed())
	}
	c.line[i].page = noPage
	if m < 0 {
		c.mend(i, c.unmark(d))
		return d, len(c.list)
	}
	c.mend(i, i)
	c.list[m].size = noSize
	return d, m
}

// tightListed returns the index of the first tight place in the list.
func (c *OPTCurve) tightListed() int {
	balance := c.tree[1].sum
	for i, e := range c.list {
		if e.size != noSize {
			balance++
		}
		if e.page != noPage {
			if balance == 0 {
				return i
			}
			balance--
		}
	}
	return len(c.list) - 1 // the last reference's, which always is
}

// tight returns the first tight place of the line from i on, or one before it that is as
// good, with no mark between; and false if there is none.
func (c *OPTCurve) tight(i uint32) (uint32, bool) {
	if i == c.now {
		return 0, false
	}
	n, end := c.half+int(i/optBlock), c.half+int((c.now-1)/optBlock)
	balance := c.tree[1].sum - c.tree[n].sum // before the block
	for k, e := n, end; k != e; k, e = k/2, e/2 {
		if k&1 == 0 {
			balance -= c.tree[k+1].sum
		}
	}
	if at, ok := c.tightIn(i/optBlock, i, balance); ok {
		return at, true
	}
	for balance += c.tree[n].sum; ; n, end = n/2, end/2 {
		if n == end {
			return 0, false
		}
		if n&1 == 0 {
			if n++; balance+c.tree[n].peak == 0 {
				break
			}
			balance += c.tree[n].sum
		}
	}
	for n < c.half {
		if n *= 2; balance+c.tree[n].peak != 0 {
			balance += c.tree[n].sum
			n++
		}
	}
	return c.tightIn(uint32(n-c.half), 0, balance)
}

// tightIn is tight for the places of block b.
func (c *OPTCurve) tightIn(b, i uint32, balance int32) (uint32, bool) {
	for k, e := range c.block(b) {
		if e.size != noSize {
			balance++
		}
		if at := b*optBlock + uint32(k); balance == 0 && at >= i {
			return at, true
		}
		if e.page != noPage {
			balance--
		}
	}
	return 0, false
}

// smallest returns the smallest mark up to place i of the line.
func (c *OPTCurve) smallest(i uint32) uint32 {
	low := noSize
	for _, e := range c.line[i&^(optBlock-1) : i+1] {
		low = min(low, e.size)
	}
	for n := c.half + int(i/optBlock); n > 1 && low > 2; n /= 2 {
		if n&1 == 1 {
			low = min(low, c.tree[n-1].low)
		}
	}
	return low
}

// store moves the first block of the list to the line.
func (c *OPTCurve) store() {
	if int(c.now) == len(c.line) {
		c.closeUp()
	}
	for i, e := range c.list[:optBlock] {
		c.put(c.now+uint32(i), e.optPlace)
	}
	c.mend(c.now, c.now)
	c.now += optBlock
	c.list = append(c.list[:0], c.list[optBlock:]...)
	c.tidy(0)
}

// put writes e to place i of the line.
func (c *OPTCurve) put(i uint32, e optPlace) {
	c.line[i] = e
	if e.page != noPage {
		c.at[e.page] = i + onLine
	}
	if e.size != noSize {
		c.mark[e.size] = i + onLine
	}
}

// block returns the places of block b.
func (c *OPTCurve) block(b uint32) []optPlace { return c.line[b*optBlock : (b+1)*optBlock] }

// mend mends the tree after changes at the places i and j.
func (c *OPTCurve) mend(i, j uint32) {
	a, b := c.half+int(i/optBlock), c.half+int(j/optBlock)
	for ra, rb := c.rangeOf(i/optBlock), c.rangeOf(j/optBlock); ; {
		if a == b && ra == c.tree[a] {
			return // nothing changes further up
		}
		c.tree[a], c.tree[b] = ra, rb
		if a, b = a/2, b/2; a == 0 {
			return
		}
		ra = c.tree[2*a].and(c.tree[2*a+1])
		if rb = ra; a != b {
			rb = c.tree[2*b].and(c.tree[2*b+1])
		}
	}
}

// rangeOf looks at the places of block b.
func (c *OPTCurve) rangeOf(b uint32) optRange {
	r := optRange{low: noSize}
	for _, e := range c.block(b) {
		if e.size != noSize {
			r.sum++
		}
		r.low = min(r.low, e.size)
		r.peak = max(r.peak, r.sum)
		if e.page != noPage {
			r.sum--
		}
	}
	return r
}

// and returns what there is to say of r and s, which follows it, together.
func (r optRange) and(s optRange) optRange {
	return optRange{r.sum + s.sum, max(r.peak, r.sum+s.peak), min(r.low, s.low)}
}

// closeUp moves what is on the line together, at the front of a line that is at least
// twice as long.
func (c *OPTCurve) closeUp() {
	old := c.line
	c.resize(4 * len(c.mark))
	for _, e := range old {
		if e != (optPlace{noPage, noSize}) {
			c.put(c.now, e)
			c.now++
		}
	}
	c.now = (c.now + optBlock - 1) &^ (optBlock - 1)
	for b := range c.half {
		c.tree[c.half+b] = c.rangeOf(uint32(b))
	}
	for n := c.half - 1; n > 0; n-- {
		c.tree[n] = c.tree[2*n].and(c.tree[2*n+1])
	}
}

// resize makes an empty line of n places or more.
func (c *OPTCurve) resize(n int) {
	for c.half = 1; c.half*optBlock < n; c.half *= 2 {
	}
	c.line, c.tree, c.now = make([]optPlace, c.half*optBlock), make([]optRange, 2*c.half), 0
	for i := range c.line {
		c.line[i] = optPlace{noPage, noSize}
	}
	for i := range c.tree {
		c.tree[i].low = noSize
	}
}
