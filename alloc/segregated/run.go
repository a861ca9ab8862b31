package segregated

// Runs serve the size classes. A run of class c is c.units whole units cut
// from the best-fit space: up to 64 slots without headers, and a live word in
// the row of its first unit. It is in one of these states:
//
//	current   Malloc takes its slots; at most one per class
//	partial   on the class's list, joined by its links: in the row of its second unit, or, if
//	          it has one only, in its last granule
//	full      on no list; Free puts it on the list
//
// An empty run that is not current goes back to the best-fit space, or is kept for its class
// (idle.go).

import (
	"math"
	"math/bits"
)

// A class gets its first run when it is populous or busy: when classFull times the slots of a
// run are live in the best-fit space; after classOften requests were served from there, if
// these are one in classOneIn of all requests to the heap; after classBack of them, if the heap
// is back where it was before (see quickshare.go); or after classBusy of them, if it is still
// or they are classPays times as large a part of all as a run is of the data. Until then a run
// would be mostly waste; that of sizes above classSmall bytes, of which there are more, still
// would, so that classFullLarge times the slots have to be live. Those above classLarge fit so
// closely as spans that they have runs for speed alone, when they are often asked for. Blocks that are
// smaller than a span can be have runs from the first one on.
//
// While the heap is crowded with free spans that a run does not fit, but a block
// does, blocks are put there instead, and the class asks again after classWait of
// them: to grow by runs would leave the free spans to nobody. It is crowded when
// one granule in crowded is free, in a small heap one in crowdedLess. Blocks that are smaller
// than a span would leave more behind in spans than they use.
const (
	classFull      = 2
	classFullLarge = 6
	classSmall     = 256
	classLarge     = 1024
	classBusy      = 1024
	classBack      = 64
	classOften     = 32
	classOneIn     = 40
	classPays      = 2
	classWait      = 8
	crowded        = 64
	crowdedLess    = 16
	crowdedSmall   = 1 << 20 >> granuleShift // granules
)

// demand counts the blocks of a class that come from the best-fit space.
type demand struct {
	live  int32
	full  int32  // live ones with which the class gets its first run
	total uint32 // requests while it had no run with room; fewer once it lost one
	wait  uint32 // requests before the class asks for a run again
}

// isBusy reports whether there were so many requests for class ci, which has no run with room,
// that it gets one. Of a heap that was opened again the blocks found count as requests.
func (h *Heap) isBusy(ci uintptr) bool {
	total := uint64(h.demand[ci].total)
	return total >= classOften && (total*classOneIn >= h.mallocs || total >= classBack && h.runPays(ci))
}

// runPays is what is left of isBusy for at least classBack requests that are few beside all.
func (h *Heap) runPays(ci uintptr) bool {
	switch {
	case h.quick.turn == quickBack:
		return true
	case h.demand[ci].total < classBusy:
		return false
	case h.quick.share == quickStill:
		return true
	}
	run, data := uint64(h.classes[ci].units)*unitGranules, h.top-h.first
	return float64(h.demand[ci].total)*float64(data) >= classPays*float64(run)*float64(h.mallocs)
}

// asSpan counts a request for class ci, which has no slot at hand, and reports whether
// it is to be served by a span.
func (h *Heap) asSpan(ci uintptr) bool {
	ci %= maxClasses
	if h.hdr.partial[ci] != 0 {
		return false
	}
	d := &h.demand[ci]
	if h.classes[ci].cur == 0 {
		if h.deferred.row >= deferAfter {
			h.coalesce() // so that d is right
		}
		busy := h.isBusy(ci) // before this request, as in isSeldom
		if d.total++; d.live < d.full && !busy {
			return true
		}
	}
	if d.wait == 0 {
		return false
	}
	d.wait--
	return true
}

// isSeldom is asSpan for class ci, which has no current run, in the usual case that it has
// no others and gets none for now: then it counts the request and reports true. Else the
// request is still to be counted.
func (h *Heap) isSeldom(ci uintptr) bool {
	ci %= maxClasses
	d := &h.demand[ci]
	if h.hdr.partial[ci] != 0 || h.deferred.row >= deferAfter || d.live >= d.full || h.isBusy(ci) {
		return false
	}
	d.total++
	return true
}

// fullAt returns how many live blocks of c are to be spans before it gets a run.
func (c *class) fullAt() int {
	switch {
	case !c.canDissolve():
		return 0
	case c.size > classLarge:
		return math.MaxInt32
	case c.size > classSmall:
		return classFullLarge * c.numSlots()
	default:
		return classFull * c.numSlots()
	}
}

// initSmall sets the classes up for the options and the region.
func (h *Heap) initSmall(o Options) {
	h.setBases()
	h.smallState.classes = [maxClasses]class{{recip: 1 << (32 - granuleShift)}}
	prev := 0
	for i, size := range o.Classes {
		h.classes[i+1] = newClass(uintptr(size))
		h.demand[i+1].full = int32(h.classes[i+1].fullAt())
		for g := prev/granule + 1; g <= size/granule; g++ {
			h.classOf[g] = uint8(i + 1)
		}
		prev = size
	}
	h.classOf[0] = h.classOf[1]
	h.maxSize = uintptr(prev)
	h.setClasses(len(o.Classes))
	if o.tiny && o.isPlain() && h.shared == nil && !h.durable {
		h.initTiny(uintptr(len(o.Classes) + 1))
	}
	h.setClassAt()
	h.quick.prepare()
}

// The size that runs aim at, for sizes above classSmall runBytesLarge: with eight slots a
// run is soon used up, full or empty, and each time there is something to do that nobody
// has foreseen. At most one part in runWaste of a run may be no slot, for sizes above classLarge,
// which fit closely as spans, one in runWasteLarge; were that less, some would have more than the 64 units
// that a run may have. A change of these makes another layout, see version.
const (
	runBytes      = 4 << 10
	runBytesLarge = 8 << 10
	runWaste      = 16
	runWasteLarge = 64
)

// newClass returns the class of the given slot size: the fewest whole units
// that are at least what runs aim at, have 8 to 64 slots, and waste no more than they may.
func newClass(size uintptr) class {
	c := class{size: size, recip: (1<<32 + uint64(size) - 1) / uint64(size)}
	aim, part := uintptr(runBytes), uintptr(runWaste)
	if size > classSmall {
		aim = runBytesLarge
	}
	if size > classLarge {
		part = runWasteLarge
	}
	for c.units = 1; ; c.units++ {
		slots := c.units * unitSize / size
		next := (c.units + 1) * unitSize / size
		waste := c.units*unitSize - min(slots, 64)*size
		if next > 64 || c.units*unitSize >= aim && slots >= 8 && waste*part < c.units*unitSize {
			if slots = min(slots, 64); c.units == 1 {
				slots = min(slots, (unitSize-granule)/size) // the rest has the links
			}
			c.valid = ^uint64(0) >> (64 - slots)
			return c
		}
	}
}

// numSlots returns how many slots a run of c has.
func (c *class) numSlots() int { return bits.OnesCount64(c.valid) }

// refresh makes what Free has returned to the current run the slots at hand. Those that do
// not exist are none, whatever a damaged row says.
func (c *class) refresh() { c.avail = c.valid &^ *c.live }

// empty is the live word of an empty run: slots that do not exist count as used.
func (c *class) empty() uint64 { return ^c.valid }

// refill gives class ci slots to hand out: more of the current run, else the
// partial run that was listed first, else a new run if the class is to have
// one. It reports whether there are any.
func (h *Heap) refill(ci uintptr) bool {
	if h.overdue() {
		if h.tick(); h.err != nil { // as in mallocSlow
			return false
		}
	}
	c := &h.classes[ci%maxClasses]
	if c.cur != 0 {
		if c.refresh(); c.avail != 0 {
			return true
		}
	}
	return h.takeOther(ci) || h.err == nil && !h.asSpan(ci) && h.takeNew(ci)
}

// takeOther makes another run of class ci that has room the current one, and reports whether
// there was one: an idle one first, as blocks that come and go, between others that stay, are
// then together, and use all slots of few runs instead of some of many.
func (h *Heap) takeOther(ci uintptr) bool {
	if h.endRow(); h.err != nil {
		return false
	}
	return h.idle.first[ci%maxClasses] != 0 && h.takeIdle(ci) || h.takePartial(ci)
}

// takePartial makes the partial run that was listed first the current one of class ci
// and reports whether there was one.
func (h *Heap) takePartial(ci uintptr) bool {
	run := uintptr(h.hdr.partial[ci%maxClasses])
	if run == 0 || h.err != nil {
		return false
	}
	c := &h.classes[ci%maxClasses]
	if !h.isListable(ci, run) {
		return h.fail("partial run %#x of class %d is none", run<<unitShift, ci)
	}
	links := h.runLinks(c, run)
	next := uintptr(*links & runMask)
	*links = 0
	if c.units == 1 && !h.comesAfter(ci, next, run) {
		return false
	}
	h.hdr.partial[ci%maxClasses] = uint32(next)
	h.takeUp(ci, run)
	return c.avail != 0 || h.fail("partial run %#x of class %d is full", run<<unitShift, ci)
}

// takeNew makes a new run, if there is room for it, the current one of class ci.
func (h *Heap) takeNew(ci uintptr) bool {
	run := h.fittingRun(ci)
	if run == 0 {
		return false
	}
	h.takeUp(ci, run)
	return true
}

// takeUp makes run the current one of class ci.
func (h *Heap) takeUp(ci, run uintptr) {
	c := &h.classes[ci%maxClasses]
	h.setCurrent(c, run)
	h.dissolving.traces[ci%maxClasses].now++
	c.refresh()
}

// fittingRun is newRun for a heap that may be crowded; 0 also if the block had
// better be a span.
func (h *Heap) fittingRun(ci uintptr) uintptr {
	h.coalesce()
	c := &h.classes[ci%maxClasses]
	run := h.newRun(ci, !c.canDissolve() || !h.isCrowded() || h.nextBin(binOf(spanFor(int(c.size)))) == numBins)
	if run == 0 {
		h.demand[ci%maxClasses].wait = classWait
	}
	return run
}

// isCrowded reports whether much of the data is free.
func (h *Heap) isCrowded() bool {
	data := h.top - h.first
	if data < crowdedSmall {
		return h.freeSum >= data/crowdedLess
	}
	return h.freeSum >= data/crowded
}

// newRun cuts a run of class ci from the best-fit space, with fresh also from
// pages that were not touched; 0 if there is no room, or if it would lie where a
// link cannot name it.
func (h *Heap) newRun(ci uintptr, fresh bool) uintptr {
	c := &h.classes[ci]
	g := h.findRun(uint64(c.units)*unitGranules, fresh)
	if g == 0 {
		return 0
	}
	run := uintptr(g >> granuleBits)
	if uint64(run) > 1<<32-1 {
		h.freeSpan(g, uint64(c.units)*unitGranules)
		return 0
	}
	kinds := h.kinds[run:][:c.units]
	for i := range kinds {
		kinds[i] = uint16(ci<<8) | uint16(i)
	}
	if h.shared == nil {
		*h.row(uint64(run)), *h.runLinks(c, run) = c.empty(), 0
	}
	h.hdr.runs[ci]++
	return run
}

// takeEmpty returns the current run of class ci if it is empty, which has none from then on, or 0.
func (h *Heap) takeEmpty(ci uintptr) (run uintptr) {
	c := &h.classes[ci%maxClasses]
	if c.cur == 0 || *c.live != c.empty() {
		return 0
	}
	run, c.cur, c.avail = c.cur, 0, 0
	return run
}

// dropRun gives the empty run back to the best-fit space, and sweeps if it is time.
func (h *Heap) dropRun(ci, run uintptr) {
	h.leaveRun(ci, run)
	h.tick()
}

// leaveRun makes the empty run a free span.
func (h *Heap) leaveRun(ci, run uintptr) {
	h.unmarkRun(ci, run)
	h.freeSpan(uint64(run)<<granuleBits, uint64(h.classes[ci%maxClasses].units)*unitGranules)
}

// unmarkRun makes an empty run granules without marks.
func (h *Heap) unmarkRun(ci, run uintptr) {
	c := &h.classes[ci%maxClasses]
	if h.shared != nil {
		h.shared.clearWords(run, c.units)
	}
	for i := range min(c.units, 2) { // the others have not been written to
		*h.row(uint64(run + i)) = 0
	}
	clear(h.kinds[run:][:c.units])
	h.hdr.runs[ci%maxClasses]--
}

// runEdge does what Free leaves over when a slot of a run that is not current was freed and
// the live word was full, or has become empty.
func (h *Heap) runEdge(run uintptr, before uint64) {
	ci := uintptr(*h.kind(uint64(run))) >> 8 % maxClasses
	h.lookForRow(uint64(run) << granuleBits)
	if before == ^uint64(0) {
		h.linkRun(ci, run) // it has more than one slot
	} else if h.unlinkRun(ci, run) {
		h.letGoRun(ci, run)
	}
}

// linkRun puts a run last on its class's list of partial runs: when its turn comes
// more of it is free. The low half of its links is the next run, the high half the one
// before, which the first run of a list does not use.
func (h *Heap) linkRun(ci, run uintptr) {
	head, last := &h.hdr.partial[ci%maxClasses], &h.lastPartial[ci%maxClasses]
	c, prev := &h.classes[ci%maxClasses], uintptr(*last)
	links := h.runLinks(c, run)
	*last = uint32(run)
	if *head == 0 {
		*head, *links = uint32(run), 0
		return
	}
	*links = uint64(prev) << 32
	if !h.isRun(ci, prev) {
		h.fail("partial run %#x of class %d is not a run", prev<<unitShift, ci)
		return
	}
	*h.runLinks(c, prev) |= uint64(run)
}

// runMask masks the next run in links.
const runMask = 1<<32 - 1

// nextRun returns the run that the links of the run of class ci lead to.
func (h *Heap) nextRun(ci, run uintptr) uintptr {
	return uintptr(*h.runLinks(&h.classes[ci%maxClasses], run) & runMask)
}

// comesAfter reports whether next, if it is not 0, is a run of class ci whose links lead back to
// run. A stray write can reach those of a run of one unit.
func (h *Heap) comesAfter(ci, next, run uintptr) bool {
	if next == 0 || h.isRun(ci, next) && uintptr(*h.runLinks(&h.classes[ci%maxClasses], next)>>32) == run {
		return true
	}
	return h.fail("partial run %#x: next link %#x is damaged", run<<unitShift, next<<unitShift)
}

// unlinkRun takes a run off the list and reports whether the links were sound.
func (h *Heap) unlinkRun(ci, run uintptr) bool {
	c := &h.classes[ci%maxClasses]
	links := h.runLinks(c, run)
	next, prev := uintptr(*links&runMask), uintptr(*links>>32)
	*links = 0
	head := &h.hdr.partial[ci%maxClasses]
	isHead := uintptr(*head) == run
	if (!isHead || c.units == 1) && !h.comesAfter(ci, next, run) {
		return false
	}
	if isHead {
		*head = uint32(next)
		return true
	}
	if !h.isRun(ci, prev) || h.nextRun(ci, prev) != run {
		return h.fail("partial run %#x: previous link %#x is damaged", run<<unitShift, prev<<unitShift)
	}
	if next == 0 {
		h.lastPartial[ci%maxClasses] = uint32(prev)
	} else {
		after := h.runLinks(c, next)
		*after = *after&runMask | uint64(prev)<<32
	}
	before := h.runLinks(c, prev)
	*before = *before&^runMask | uint64(next)
	return true
}

// isListable reports whether a run of class ci starts at the unit that can be on the list of partial ones: one
// that is empty is not, but may be waiting to be joined.
func (h *Heap) isListable(ci, run uintptr) bool {
	c := &h.classes[ci%maxClasses]
	return h.isRun(ci, run) && run != c.cur && *h.row(uint64(run)) != c.empty()
}

// isRun reports whether a run of class ci starts at the unit. It trusts
// nothing about the unit.
func (h *Heap) isRun(ci, run uintptr) bool {
	first := h.first >> granuleBits
	return uint64(run)-first < h.top>>granuleBits-first && uintptr(*h.kind(uint64(run))) == ci<<8
}
