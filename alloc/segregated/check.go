package segregated

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
)

// Check walks the heap and returns every broken law, joined, or nil. It only reads the region,
// and neither loops nor crashes on damaged metadata. A broken law that begins with L proves
// damage: from then on the heap refuses all work with [alloc.ErrCorrupt], which the error is,
// too. O(spans + runs), and O(units) for L3.
//
//	L1  spans and runs tile the data from its first granule to the top
//	L2  no two neighbouring spans are both free, but for those in quick lists or to be joined, and none before the top is
//	L3  under a span only its mark is set, and its rows say its size; rows past that of the top are clear
//	L4  bits of slots that do not exist are set, rows past that of a run's links clear, and that one if the run is on no list
//	L5  each bin holds exactly the free spans of its size, joined both ways; each quick list, and the list of those to be joined, what is marked as such, but for what Free has noted
//	L6  the bit of a bin is set ⇔ it has spans, that of a word of them ⇔ it has a bit
//	L7  each list of partial runs holds exactly the runs of its class that are neither full, empty nor current; an empty one is current, idle or to be joined; as if what is noted were done
//	L8  the counters agree: spans free, runs of a class and live spans of its sizes, live blocks, bytes committed
//	L9  the header is this heap's, and says what it was left with; first ≤ top ≤ dirty ≤ committed end ≤ end of the region, and dirty ≤ the highest top
//
// In the modes Checked and Guarded also, as [*alloc.Fault] each, O(bytes of
// blocks that are free or held back):
//
//	M1  the record before each live block is sealed, and the canary behind it whole
//	M2  freed blocks that are held back, and free bytes, were not written to
//	M3  the counters agree: live blocks, bytes asked for
func (h *Heap) Check() error {
	if h.closed {
		return nil
	}
	if h.err != nil {
		return h.err
	}
	if errs := h.checkCore(); len(errs) != 0 {
		h.fail("%w", errors.Join(errs...))
		return h.err
	}
	if h.chk != nil {
		return errors.Join(h.chk.verify()...)
	}
	return nil
}

// checkCore is Check for the laws that begin with L.
func (h *Heap) checkCore() (errs []error) {
	c := checker{
		Heap: h, free: map[uint64]uint64{}, kept: map[uint64]uint64{}, deferred: map[uint64]bool{},
		partial: map[uintptr]uintptr{}, linked: map[uintptr]bool{}, owned: map[uint64]int{}, listed: map[uintptr]uint64{},
	}
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, ok := r.(runtime.Error); !ok {
			panic(r)
		}
		errs = append(c.errs, fmt.Errorf("segregated: the walk left the heap: %v", r))
	}()
	c.counters()
	c.deferredSpans()
	c.notes()
	if len(c.errs) == 0 {
		c.walk()
		c.bins()
		c.quickLists()
		c.lists()
		if c.shared != nil {
			c.checkLists()
			c.strayWords()
		}
	}
	return c.errs
}

// checker is one Check.
type checker struct {
	*Heap
	errs     []error
	free     map[uint64]uint64   // free spans the walk saw: size by start
	kept     map[uint64]uint64   // spans in quick lists it saw: size by start
	deferred map[uint64]bool     // starts of spans and runs to be joined that it did not see yet
	partial  map[uintptr]uintptr // partial runs it saw: class by unit
	linked   map[uintptr]bool    // runs it saw that have links in a row
	noted    notedRuns

	owned  map[uint64]int     // of a Shared: runs it saw by owner
	listed map[uintptr]uint64 // and the owners of those that are on lists
}

// maxErrs bounds a report: damage to a table breaks a law at every row.
const maxErrs = 64

func (c *checker) report(law int, format string, args ...any) {
	if len(c.errs) < maxErrs {
		c.errs = append(c.errs, fmt.Errorf("segregated: L%d: "+format, append([]any{law}, args...)...))
	}
}

// counters checks L9, on which the walk relies.
func (c *checker) counters() {
	d := c.hdr
	if d.magic != magic || d.version != c.version() || d.size != uint64(len(c.mem)) {
		c.report(9, "header %#x version %d size %d is not this heap's", d.magic, d.version, d.size)
		return
	}
	end := uint64(len(c.units)-1) << granuleBits
	data := c.tables().data
	if d.end != end || d.first != data>>granuleShift {
		c.report(9, "data from granule %#x to %#x, want %#x to %#x", d.first, d.end, data>>granuleShift, end)
	}
	if d.first > d.top || d.top > d.dirty || d.dirty > d.commit || d.commit > d.end || d.highest < d.dirty {
		c.report(9, "first %#x top %#x dirty %#x committed %#x end %#x highest %#x are out of order",
			d.first, d.top, d.dirty, d.commit, d.end, d.highest)
	}
	for f := range c.wrongFigures {
		c.report(9, "%v", f)
	}
	if d.state != stateOpen && d.state != stateClean { // Open checks before it makes it the former
		c.report(9, "state %#x of the header", d.state)
	}
	for ci, size := range d.sizes {
		want := c.classes[ci].size >> granuleShift
		if c.shared != nil {
			want = 0 // the classes are not the heap's
		}
		if uintptr(size) != want {
			c.report(9, "size class %d is %d granules in the header, should be %d", ci, size, want)
		}
	}
}

// version returns what the header's must be.
func (h *Heap) version() uint32 {
	if h.shared != nil {
		return versionShared
	}
	return version
}

// tally is what the walk counts.
type tally struct {
	live    uint64             // blocks
	quick   uint64             // granules in quick lists
	runs    [maxClasses]uint32 // by class
	spans   [maxClasses]int32  // by the class of their size: those that are live, or to be joined
	gone    uint64             // granules whose pages have been given back
	reserve bool               // the reserve for runs was there
	tiny    map[*tinyRun]bool  // entries of the tiny runs that were met
}

// walk goes over spans and runs by address: L1 to L4, L8.
func (c *checker) walk() {
	t := tally{tiny: map[*tinyRun]bool{}}
	end, prevFree := c.first, false
	for p := range c.pieces() {
		if p.bad != "" {
			c.report(1, "%#x %s", p.g<<granuleShift, p.bad)
			return
		}
		end = p.g + p.n
		switch {
		case p.class == 0:
			c.span(p)
			c.spanWord(p)
			c.noteSpan(p, prevFree, &t)
		case c.shared != nil:
			t.runs[p.class]++
			c.checkRun(p)
		case c.isTiny(p.class):
			t.runs[p.class]++
			t.live += c.tinyRun(p, &t)
		default:
			t.runs[p.class]++
			t.live += c.run(p)
		}
		prevFree = p.class == 0 && !p.used && !p.quick
	}
	c.end(end, prevFree)
	c.totals(&t)
}

// noteSpan notes and counts a span as what it is: used, free, in a quick list or to be
// joined.
func (c *checker) noteSpan(p piece, prevFree bool, t *tally) {
	if p.n < minSpan {
		c.report(1, "the span at %#x has %d granules, too few", p.g<<granuleShift, p.n)
	}
	switch {
	case p.used:
		t.live++
	case !p.quick:
		c.free[p.g] = p.n
		if p.n >= infoMin {
			t.gone += c.info(p.g).memory().gone.size()
		}
		if prevFree {
			c.report(2, "the free span at %#x follows another", p.g<<granuleShift)
		}
		return
	case p.g == c.reserve.lo && p.n == c.reserve.size():
		t.reserve = true
		return
	case !c.crossOffDeferred(p):
		t.quick += p.n
		c.kept[p.g] = p.n
		return
	}
	if ci := c.demandOf(p.n); ci != 0 {
		t.spans[ci]++
	}
}

// totals compares what the walk has counted with the counters: L8.
func (c *checker) totals(t *tally) {
	if !t.reserve && c.reserve.size() != 0 {
		c.report(5, "the reserve for runs at %#x is not there", c.reserve.lo<<granuleShift)
	}
	c.tinyEntries(t)
	if t.quick != c.quick.total {
		c.report(8, "%d granules in the quick lists, the counter says %d", t.quick, c.quick.total)
	}
	if want := c.mallocs - c.frees; t.live != want {
		c.report(8, "%d live blocks, the counters say %d", t.live, want)
	}
	if want := c.committed; !c.Heap.kept && c.mode != Guarded && c.expects(t.gone) != want {
		c.report(8, "%d bytes are committed, the counter says %d", c.expects(t.gone), want)
	}
	if t.runs != c.hdr.runs {
		c.report(8, "runs by class are %v, the counters say %v", t.runs, c.hdr.runs)
	}
	for ci, n := range t.spans {
		if n != c.demand[ci].live {
			c.report(8, "%d live spans have a size of class %d, the counter says %d", n, ci, c.demand[ci].live)
		}
	}
}

// expects returns how many bytes should be committed if so many granules of the data below the
// committed end have been given back.
func (c *checker) expects(gone uint64) uint64 {
	n := uint64(c.metadataBytes()) + roundUp(c.safe.commit<<granuleShift, c.pageSize) - (c.first+gone)<<granuleShift
	if t := c.tables(); c.shared != nil && t.words < t.starts(c.first>>granuleBits, c.pageSize).words {
		n += c.pageSize // of the first word, see Shared.start
	}
	return n
}

// end checks what follows the last span.
func (c *checker) end(end uint64, prevFree bool) {
	if end != c.top {
		c.report(1, "spans end at %#x, the top is %#x", end<<granuleShift, c.top<<granuleShift)
	}
	if prevFree {
		c.report(2, "the span before the top is free")
	}
	top := c.top
	u := top >> granuleBits
	if row := c.units[u]; row>>(top&cellMask) != asFree|top&placeMask || c.kinds[u] != kindMarks {
		c.report(3, "row of the top: %#x", row)
	}
	if err := c.checkPastTop(); err != nil {
		c.report(3, "%v", err)
	}
}

// span checks the rows of a span.
func (c *checker) span(p piece) {
	u, last := p.g>>granuleBits, (p.g+p.n)>>granuleBits
	for i := u + 1; i < last; i++ {
		want, kind := uint64(0), uint16(kindMarks)
		switch isFree := !p.used && !p.quick; {
		case p.n < tagMin, p.n < largeMin && isFree:
		case i == u+1:
			want, kind = tagOf(p.g, p.n), kindLarge
		case isFree && p.n >= infoMin && i <= u+infoRows:
			want, kind = c.units[i], kindInfo // links and gap: see bins and below
		case isFree && i == last-1:
			want, kind = endTagOf(p.g, p.n), kindLast
		}
		if c.units[i] != want || c.kinds[i] != kind {
			c.report(3, "row %#x inside the span %#x: %#x of kind %d, want %#x of kind %d",
				i, p.g<<granuleShift, c.units[i], c.kinds[i], want, kind)
		}
	}
	if last > u && c.kinds[last] == kindMarks && marksBefore(c.units[last], p.g+p.n) != 0 {
		c.report(3, "row %#x, where the span %#x ends: %#x", last, p.g<<granuleShift, c.units[last])
	}
	if !p.used && !p.quick && p.n >= infoMin {
		m := c.info(p.g).memory()
		if !m.gone.within(p.g, p.n) {
			c.report(3, "free span %#x: gap %#x to %#x is outside", p.g<<granuleShift, m.gone.lo, m.gone.hi)
		}
		if !m.idle.within(p.g, p.n) {
			c.report(3, "free span %#x: idle from %#x to %#x is outside", p.g<<granuleShift, m.idle.lo, m.idle.hi)
		}
	}
}

// run checks the rows of a run and returns how many slots are live.
func (c *checker) run(p piece) uint64 {
	u, cl := uintptr(p.g>>granuleBits), &c.classes[p.class]
	live := c.units[u]
	if live&cl.empty() != cl.empty() {
		c.report(4, "run %#x: live %#x lacks bits of %#x", p.g<<granuleShift, live, cl.empty())
	}
	for i := uintptr(1); i < cl.units; i++ {
		isLinks := i == 1 && c.units[u+i] != 0
		if isLinks {
			c.linked[u] = true // see lists
		}
		if !isLinks && c.units[u+i] != 0 || c.kinds[u+i] != uint16(p.class<<8)|uint16(i) {
			c.report(4, "row %d of the run %#x: %#x of kind %#x", i, p.g<<granuleShift, c.units[u+i], c.kinds[u+i])
		}
	}
	switch {
	case u == cl.cur:
		if cl.avail&live != 0 {
			c.report(4, "run %#x: slots %#x are at hand and live", p.g<<granuleShift, cl.avail&live)
		}
	case live == cl.empty() && c.crossOffDeferred(p):
	case live != ^uint64(0):
		off, empty := c.crossOffRun(u, cl)
		switch isEmpty := live == cl.empty(); {
		case isEmpty && !empty:
			c.report(7, "the empty run %#x is kept", p.g<<granuleShift)
		case empty && !isEmpty:
			c.report(7, "the run %#x is noted as empty, and has live slots", p.g<<granuleShift)
		}
		if !off {
			c.partial[u] = uintptr(p.class)
		}
	}
	return uint64(bits.OnesCount64(live & cl.valid))
}

// bins compares the free lists with the walk: L5, L6, L8.
func (c *checker) bins() {
	seen, sum := 0, uint64(0)
	for w, word := range c.hdr.binSet {
		if has := c.hdr.wordSet>>w&1 != 0; has != (word != 0) {
			c.report(6, "bins %d to %d: bit %v, word %#x", w*64, w*64+63, has, word)
		}
	}
	const inLast = numBins - 64*(binWords-1)
	if c.hdr.wordSet>>binWords|c.hdr.binSet[binWords-1]>>inLast != 0 {
		c.report(6, "bits of bins that do not exist: words %#x, bits of the last one %#x", c.hdr.wordSet, c.hdr.binSet[binWords-1])
	}
	for bin := range c.hdr.bins {
		if has := c.hdr.binSet[bin/64]>>(bin%64)&1 != 0; has != (c.hdr.bins[bin] != 0) {
			c.report(6, "bin %d: bit %v, first span %#x", bin, has, c.hdr.bins[bin]<<granuleShift)
		}
		prev := uint64(0)
		for g := c.hdr.bins[bin]; g != 0; seen++ {
			n, ok := c.free[g]
			if !ok || binOf(n) != bin {
				c.report(5, "bin %d has %#x, which is no free span of its size or is there twice", bin, g<<granuleShift)
				break
			}
			delete(c.free, g)
			sum += n
			l := c.links(g, bin)
			if l.prev != prev {
				c.report(5, "free span %#x: previous link %#x, want %#x", g<<granuleShift, l.prev<<granuleShift, prev<<granuleShift)
			}
			prev, g = g, l.next
		}
	}
	for g := range c.free {
		c.report(5, "free span %#x is in no bin", g<<granuleShift)
	}
	if seen != c.freeSpans || sum != c.freeSum {
		c.report(8, "%d free spans of %d granules in the bins, the counters say %d of %d", seen, sum, c.freeSpans, c.freeSum)
	}
}

// quickLists compares the quick lists with the walk, and says what of those to be joined it
// has not met: L5.
func (c *checker) quickLists() {
	for i := range quickBuckets {
		b := c.quick.at(i)
		if b.n > roomOf(i) {
			c.report(5, "quick list %d has room for %d spans, and has %d", i, roomOf(i), b.n)
			return
		}
		if (b.n != 0 || b.more != 0) && c.quick.filled[i/64]>>(i%64)&1 == 0 {
			c.report(5, "quick list %d has spans, its bit is clear", i)
		}
		c.keptIn(i, b.spans())
		for k := b.more; k != 0; k = c.quick.chunks[k-1].next {
			if !c.keptIn(i, c.quick.chunks[k-1].spans()) {
				break // the chunks may go round in a circle
			}
		}
	}
	for g := range c.deferred {
		c.report(5, "%#x is to be joined, and is no freed span or run", g<<granuleShift)
	}
	c.leftNotes()
	for g := range c.kept {
		c.report(5, "span %#x is in no quick list", g<<granuleShift)
	}
}

// keptIn compares spans of quick list i with the walk, and reports whether they agree.
func (c *checker) keptIn(i int, spans []quickEntry) bool {
	for _, e := range spans {
		if n, ok := c.kept[e.start()]; !ok || n != e.size() || binOf(n) != i {
			c.report(5, "quick list %d has %#x of %d granules, which is no span of its size or is there twice", i, e.start()<<granuleShift, e.size())
			return false
		}
		delete(c.kept, e.start())
	}
	return true
}

// deferredSpans notes which spans and runs are to be joined: L5.
func (c *checker) deferredSpans() {
	for _, g := range c.Heap.deferred.list {
		c.toJoin(uint64(g))
	}
	c.idleRuns()
}

// idleRuns notes which runs are idle, as they are as good as those to be joined, and compares
// their lists with the sum of their sizes: L5, L8.
func (c *checker) idleRuns() {
	r, sum := &c.Heap.idle, uint64(0)
	for ci := range r.first {
		for i, n := r.first[ci], 0; i != 0; i, n = r.nodes[i-1].next, n+1 {
			if int(i) > len(r.nodes) || n == len(r.nodes) {
				c.report(5, "idle runs of class %d: node %d of %d", ci, i, len(r.nodes))
				break
			}
			run := uintptr(r.nodes[i-1].run)
			if !c.isRun(uintptr(ci), run) {
				c.report(5, "idle run %#x is no run of class %d", run<<unitShift, ci)
			}
			c.toJoin(uint64(run) << granuleBits)
			sum += uint64(c.classes[ci].units) * unitGranules
		}
	}
	if sum != r.sum {
		c.report(8, "%d granules in idle runs, the counter says %d", sum, r.sum)
	}
}

func (c *checker) toJoin(g uint64) {
	if c.deferred[g] {
		c.report(5, "the span %#x is to be joined twice", g<<granuleShift)
	}
	c.deferred[g] = true
}

// crossOffDeferred reports whether p is one of those that are to be joined, and takes it
// off them: those that are left in the end are no freed spans or runs.
func (c *checker) crossOffDeferred(p piece) bool {
	was := c.deferred[p.g]
	delete(c.deferred, p.g)
	return was
}

// lists compares the lists of partial runs with the walk: L7.
func (c *checker) lists() {
	for ci := range c.hdr.partial {
		prev := uintptr(0)
		for run := uintptr(c.hdr.partial[ci]); run != 0; {
			if class, ok := c.partial[run]; !ok || class != uintptr(ci) {
				c.report(7, "partial list of class %d has %#x, which is no partial run of it or is there twice", ci, run<<unitShift)
				break
			}
			delete(c.partial, run)
			delete(c.linked, run)
			w := *c.runLinks(&c.classes[ci], run)
			if prev != 0 && uintptr(w>>32) != prev {
				c.report(7, "partial run %#x: previous link %#x, want %#x", run<<unitShift, w>>32<<unitShift, prev<<unitShift)
			}
			prev, run = run, uintptr(w&runMask)
		}
		if prev != 0 && prev != uintptr(c.lastPartial[ci]) {
			c.report(7, "the partial list of class %d ends with %#x, not %#x", ci, prev<<unitShift, uintptr(c.lastPartial[ci])<<unitShift)
		}
	}
	for run := range c.partial {
		c.report(7, "partial run %#x is on no list", run<<unitShift)
	}
	for run := range c.linked {
		c.report(4, "run %#x is on no list, and has links %#x", run<<unitShift, c.units[run+1])
	}
}
