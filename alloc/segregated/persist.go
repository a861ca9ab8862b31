package segregated

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math/bits"
	"slices"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// What Open can find wrong with a region, beside damage ([alloc.ErrCorrupt]).
var (
	// ErrNoHeap says that the region holds no heap: it is empty, or something else.
	ErrNoHeap = errors.New("no heap")
	// ErrFormat says that the heap in the region cannot be used here: it is of
	// another version, byte order, page size or size, or was made with options
	// that contradict those of Open.
	ErrFormat = errors.New("heap of another format")
)

// A heap that is open says so in its header. Close first gives up all that is
// known outside of the region, then writes the state with a sum of the header; in
// a file both reach the device in this order. So a heap that says it is clean
// was closed, and one that says it is open was left by a process that ended
// without Close, and is rebuilt from its rows (see rebuild.go).
const (
	stateOpen  = 0x6e65706f // "open"
	stateClean = 0x6e61656c63
)

// layoutPlain and layoutRecords say how blocks lie in the core's: as they are,
// or between a record and a canary. Above layoutRecords stands the poison; with
// layoutPlain, layoutClears says that blocks are cleared when they are freed.
const (
	layoutPlain   = 0
	layoutRecords = 1
	layoutBits    = 8
	layoutClears  = 1 << layoutBits
)

// describe writes into the header of a new heap what Open needs.
func (h *Heap) describe(o Options) {
	d := h.hdr
	d.state, d.seed, d.pageSize = stateOpen, o.Seed, uint32(h.pageSize)
	for i, size := range o.Classes {
		d.sizes[i+1] = uint8(size / granule)
	}
	switch {
	case h.chk != nil:
		d.layout = layoutRecords | uint32(h.chk.poison)<<layoutBits
	case o.ZeroOnFree:
		d.layout = layoutPlain | layoutClears
	}
	h.safe.layout = d.layout
}

// Open opens the heap that an earlier process, or this one, left in r, a region
// of the File backing, wherever it lies in the address space now. Blocks are
// where they were; [Heap.Root] and [Heap.At] lead to them. r may be larger than
// it was. It stays the caller's. Nothing must have the heap open meanwhile: the
// file is not locked.
//
// Size classes, zero-on-free and whether blocks have records are the heap's own:
// o.Classes must be nil or agree, o.Mode may be Checked or Guarded if the heap
// was made in either and means what the heap has if it is Fast. The other
// options are as for New. nil means the defaults.
//
// A heap that was not closed is rebuilt: every block that Malloc had returned
// is there, with what was written to it, if the process ended; if the system
// did, what was not written to the device by [arena.Region.Sync] may be old.
// In all cases the heap is then checked as a whole, O(region in use / 64).
//
// The error is [ErrNoHeap], [ErrFormat], [alloc.ErrCorrupt] (a header that was
// torn, laws that are broken), [alloc.ErrNoMemory], [errors.ErrUnsupported] for a
// region of another backing, or the region's own. The
// region is not changed then, except that of a heap that was not closed.
func Open(r *arena.Region, o *Options) (*Heap, error) {
	opts, err := o.complete()
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("segregated: open: no region: %w", ErrNoHeap)
	}
	if r.Backing() != arena.File {
		return nil, fmt.Errorf("segregated: open: a region of backing %v: %w", r.Backing(), errors.ErrUnsupported)
	}
	h := &Heap{region: r, durable: true}
	clean, err := h.readHeader(o, &opts)
	if err != nil {
		return nil, fmt.Errorf("segregated: open: %w", err)
	}
	if err := h.attach(opts, clean); err != nil {
		return nil, fmt.Errorf("segregated: open: %w", err)
	}
	h.joinOwners(opts)
	return h, nil
}

// readHeader reads what the region holds, completes the options by it, and
// reports whether the heap was closed.
func (h *Heap) readHeader(o *Options, opts *Options) (clean bool, err error) {
	mem := h.region.Bytes()
	h.pageSize = uint64(h.region.PageSize())
	h.setPageGranules()
	file := h.region.Stats()
	if len(mem) < headerSize || file.Committed == 0 {
		return false, fmt.Errorf("%w in a region of %d bytes", ErrNoHeap, len(mem))
	}
	m := uint64(0)
	for lo := range h.region.Committed() { // a commit may make the file longer, which is not known to be ours
		if lo == 0 {
			m = binary.NativeEndian.Uint64(mem)
		}
		break
	}
	switch {
	case m == bits.ReverseBytes64(magic):
		return false, fmt.Errorf("%w: the byte order is not this machine's", ErrFormat)
	case m != magic:
		return false, fmt.Errorf("%w: it begins with %#x", ErrNoHeap, m)
	}
	if err := h.region.Commit(0, headerSize); err != nil {
		return false, err
	}
	h.view = newView(mem[:headerSize:headerSize], tables{})
	d := h.hdr
	switch {
	case d.version != version:
		return false, fmt.Errorf("%w: version %d, want %d", ErrFormat, d.version, version)
	case d.state == stateClean && d.sum != h.headerSum():
		return false, fmt.Errorf("%w: the header was torn or damaged: its sum is %#x, want %#x", alloc.ErrCorrupt, h.headerSum(), d.sum)
	case d.state != stateClean && d.state != stateOpen:
		return false, fmt.Errorf("%w: state %#x of the header is none", alloc.ErrCorrupt, d.state)
	case uint64(d.pageSize) != h.pageSize:
		return false, fmt.Errorf("%w: pages of %d bytes, here %d", ErrFormat, d.pageSize, h.pageSize)
	case d.size > uint64(len(mem)):
		return false, fmt.Errorf("%w: of %d bytes, the region has %d", ErrFormat, d.size, len(mem))
	}
	if err := h.believable(); err != nil {
		return false, err
	}
	if end := d.top << granuleShift; d.top > d.first && file.Commits == 0 && uint64(file.Existing) < end {
		return false, fmt.Errorf("%w: the file was cut: it has %d bytes, the heap %d", alloc.ErrCorrupt, file.Existing, end)
	}
	return d.state == stateClean, h.ownOptions(o, opts)
}

// headerSum returns the sum of the header, itself left out.
func (h *Heap) headerSum() uint64 {
	d := *h.hdr
	d.sum = 0
	b := make([]byte, headerSize)
	n, _ := binary.Encode(b, binary.LittleEndian, &d)
	return crc64.Checksum(b[:n], crc64.MakeTable(crc64.ECMA))
}

// believable checks the header's figures, on which everything else relies.
func (h *Heap) believable() error {
	d := h.hdr
	n := d.size / unitSize
	t := tablesOf(int(n), h.pageSize, 0)
	ok := n >= 2 && d.end <= maxGranules && d.first == t.data>>granuleShift && d.end == (n-1)<<granuleBits && d.first < d.end &&
		d.first <= d.top && d.top <= d.end && d.commit >= d.top && d.commit <= d.end &&
		d.kindsEnd >= t.kinds && d.kindsEnd <= t.units && d.unitsEnd >= t.units && d.unitsEnd <= t.data &&
		d.kindsEnd%h.pageSize == 0 && d.unitsEnd%h.pageSize == 0 &&
		d.classes < maxClasses && d.layout&(1<<layoutBits-1) <= layoutRecords
	if !ok {
		return fmt.Errorf("%w: the header's figures contradict each other", alloc.ErrCorrupt)
	}
	last := 0
	for i := range int(d.classes) {
		size := int(d.sizes[i+1]) * granule
		if size <= last || size%granule != 0 || size > MaxClass {
			return fmt.Errorf("%w: size class %d of %d bytes", alloc.ErrCorrupt, i, size)
		}
		last = size
	}
	return nil
}

// ownOptions completes the options with what the heap was made with.
func (h *Heap) ownOptions(o *Options, opts *Options) error {
	d := h.hdr
	var classes []int
	for i := range int(d.classes) {
		classes = append(classes, int(d.sizes[i+1])*granule)
	}
	if o != nil && o.Classes != nil && !slices.Equal(classes, opts.Classes) {
		return fmt.Errorf("%w: size classes %v, not %v", ErrFormat, classes, o.Classes)
	}
	opts.Classes = classes
	opts.Seed = d.seed
	switch {
	case d.layout&(1<<layoutBits-1) == layoutPlain:
		if opts.Mode != Fast {
			return fmt.Errorf("%w: its blocks have no records, as mode %v needs them", ErrFormat, opts.Mode)
		}
		opts.ZeroOnFree = d.layout&layoutClears != 0
	case opts.Mode == Fast:
		opts.Mode = Checked
		fallthrough
	default:
		opts.ZeroOnFree = d.layout>>layoutBits == 0
	}
	return nil
}

// attach makes h the heap that the header describes.
func (h *Heap) attach(o Options, clean bool) (err error) {
	mem := h.region.Bytes()
	size := h.hdr.size
	h.view = newView(mem[:size:size], tablesOf(int(size/unitSize), h.pageSize, 0))
	d := h.hdr
	h.limit, h.zeroOnFree = uint64(o.Limit), o.ZeroOnFree
	h.maxAlign = len(mem) // what was asked for is not known
	h.trustHeader()
	h.sweepAt = ^uint64(0) // nothing is swept before all is sound
	h.hasSoon = true       // for all that is known
	h.initSmall(o)
	h.setMode(o)
	h.arm()
	if err := h.commitMeta(); err != nil {
		return err
	}
	defer h.catch("open", nil, &err)
	if clean {
		if err = h.checkPastTop(); err == nil {
			err = h.resume()
		}
	} else {
		err = h.rebuild()
	}
	if err != nil {
		return err
	}
	if errs := h.checkCore(); len(errs) > 0 {
		return fmt.Errorf("%w: %w", alloc.ErrCorrupt, errors.Join(errs...))
	}
	if err := h.dropSpareTables(); err != nil {
		return err
	}
	if h.chk != nil {
		h.chk.recount(!clean)
	}
	d.state = stateOpen
	if err := h.region.Sync(); err != nil {
		return err
	}
	h.credited, h.peak = max(h.safe.commit, h.safe.highest), h.committed
	h.sink = o.Sink
	h.lastTick = h.mallocs + h.frees
	h.lastSweep = h.lastTick
	h.sweepAt = h.lastTick + sweepEvery
	h.arm()
	return nil
}

// checkPastTop reports whether the rows past the top are clear, as new spans need
// them, as far as the tables are in use.
func (h *Heap) checkPastTop() error {
	next := h.hdr.top>>granuleBits + 1
	kinds, units := h.usedTables()
	for u := next; u < kinds; u++ {
		if k := h.kinds[u]; k != kindMarks {
			return fmt.Errorf("%w: row %#x past the top is of kind %#x", alloc.ErrCorrupt, u, k)
		}
	}
	for u := next; u < units; u++ {
		if r := h.units[u]; r != 0 {
			return fmt.Errorf("%w: row %#x past the top: %#x", alloc.ErrCorrupt, u, r)
		}
	}
	return nil
}

// clearPastTop clears the rows that checkPastTop looks at.
func (h *Heap) clearPastTop() {
	next := h.hdr.top>>granuleBits + 1
	kinds, units := h.usedTables()
	clear(h.kinds[min(next, kinds):kinds])
	clear(h.units[min(next, units):units])
}

// usedTables returns how many kinds and how many rows lie in the part of the tables
// that is in use.
func (h *Heap) usedTables() (kinds, units uint64) {
	t, n := h.tables(), uint64(len(h.units))
	return min((h.safe.kindsEnd-t.kinds)/kindSize, n), min((h.safe.unitsEnd-t.units)/unitRow, n)
}

// dropSpareTables gives back what lies in the tables behind their part in use: there
// should be nothing, but a damaged file may have something.
func (h *Heap) dropSpareTables() error {
	t := h.tables()
	for _, part := range [...][2]uint64{{h.hdr.kindsEnd, t.units}, {h.hdr.unitsEnd, t.data}} {
		if part[0] >= part[1] {
			continue
		}
		if err := h.region.Decommit(arena.Offset(part[0]), int(part[1]-part[0])); err != nil {
			return err
		}
	}
	return nil
}

// commitMeta makes the header and the tables usable, as far as they were.
func (h *Heap) commitMeta() error {
	d := h.hdr
	from := h.tables().starts(d.first>>granuleBits, h.pageSize)
	if !h.commitBytes(0, headerSize) || !h.commitBytes(from.kinds, d.kindsEnd) || !h.commitBytes(from.units, d.unitsEnd) ||
		!h.growMeta(d.commit>>granuleBits+rowsPastTop) {
		return h.noMemory("open", int(d.unitsEnd))
	}
	return nil
}

// resume takes over a heap that was closed: its lists are in the region. Pages
// that were given back inside free spans are not taken again.
func (h *Heap) resume() error {
	d := h.hdr
	at := d.first
	take := func(lo, hi uint64) bool { return lo >= hi || h.commit(gap{lo, hi}) }
	for p := range h.pieces() {
		if p.bad != "" {
			return fmt.Errorf("%w: %#x %s", alloc.ErrCorrupt, p.g<<granuleShift, p.bad)
		}
		switch {
		case p.class != 0:
			c := &h.classes[p.class]
			h.mallocs += uint64(bits.OnesCount64(h.units[p.g>>granuleBits] & c.valid))
		case p.used:
			h.countSpan(p.n)
		default:
			h.freeSpans++
			h.freeSum += p.n
			if p.n < infoMin {
				continue
			}
			gone := h.info(p.g).gone.gap()
			if gone.lo >= gone.hi || gone.lo < p.g || gone.hi > p.g+p.n {
				continue
			}
			if !take(at, gone.lo) {
				return h.noMemory("open", int(d.commit<<granuleShift))
			}
			at = gone.hi
		}
	}
	if !take(at, d.commit) {
		return h.noMemory("open", int(d.commit<<granuleShift))
	}
	h.topPeak = d.dirty
	h.setTop(d.top)
	h.findLastRuns()
	return nil
}

// findLastRuns finds where the lists of partial runs end. One that is damaged ends
// nowhere, which the check tells that follows.
func (h *Heap) findLastRuns() {
	for ci := range h.hdr.partial {
		run := uintptr(h.hdr.partial[ci])
		for i := uint32(0); i < h.hdr.runs[ci] && h.isRun(uintptr(ci), run); i++ {
			h.lastPartial[ci] = uint32(run)
			run = h.nextRun(uintptr(ci), run)
		}
	}
}

// leave makes the header that of a closed heap. What is known outside of the
// region is given up before.
func (h *Heap) leave() error {
	if h.err != nil {
		return nil // it stays open: Open has to look at it
	}
	if h.chk != nil {
		h.chk.settle()
	}
	h.flushQuick()
	h.parkRuns()
	if h.err != nil || !h.isSound() {
		return h.err
	}
	if err := h.region.Sync(); err != nil {
		return err
	}
	h.hdr.state = stateClean
	h.hdr.sum = h.headerSum()
	return h.region.Sync()
}

// parkRuns puts the current runs where runs are that are not current.
func (h *Heap) parkRuns() {
	h.dropEmpty()
	for ci := range h.classes {
		c := &h.classes[ci]
		if c.cur == 0 {
			continue
		}
		run := c.cur
		c.cur, c.avail = 0, 0
		if h.units[run] != ^uint64(0) {
			h.linkRun(uintptr(ci), run)
		}
	}
}
