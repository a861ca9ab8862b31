package segregated

import (
	"math"
	"math/bits"
)

// Units of measure. A granule is what blocks are multiples of; a unit is what
// one row of the metadata describes.
const (
	granuleShift = 4
	granule      = 1 << granuleShift // bytes
	unitShift    = 10
	unitSize     = 1 << unitShift           // bytes
	unitGranules = unitSize / granule       // 64: one bit each in a word
	granuleMask  = unitGranules - 1         // of a granule number: its bit
	granuleBits  = unitShift - granuleShift // granule number >> granuleBits is its unit
)

// A span is a stretch of granules outside the runs, used or free. Its size
// decides where its size is kept.
const (
	// largeMin is the least span, in granules, that covers two whole units
	// after its first one, wherever it starts. Such a span keeps its start and
	// size there; a smaller one is measured by finding the next bound bit.
	largeMin = 3 * unitGranules
	// infoMin is the least span that covers four whole units and one more for
	// its end, so that a free one has room for a whole spanInfo.
	infoMin = 6 * unitGranules
)

// Kinds: one uint16 for each unit says how its row is to be read.
//
//	0             bitmaps of granules, or the inside of a large span (all zero)
//	kindLarge     inside a large span, its first whole unit: the row is the span's start and size
//	kindInfo      inside a large free span: the row is part of its spanInfo
//	kindLast      inside a large free span, its last whole unit: the row is the span's start and size
//	class<<8 | i  unit i of a run of that class; the row of unit 0 is the run's
const (
	kindBitmap = 0
	kindLarge  = 1
	kindInfo   = 2
	kindLast   = 3
	kindRun    = 1 << 8 // at least this: a run
	runIndex   = 63     // mask of i: a run has at most 64 units
)

const (
	magic       = 0x6765732d6c6d656d // "memlseg" with its length, as a word
	version     = 3                  // of the layout, the sizes of runs included
	headerSize  = 4096
	kindSize    = 2  // bytes of a kind
	unitRow     = 16 // bytes of a unit
	maxClasses  = 64
	exactBins   = 128 // bin n holds free spans of exactly n granules
	subBinShift = 3   // 8 bins a doubling above
	numBins     = exactBins + (42-7)*(1<<subBinShift)
	largeBin    = exactBins + largeMin>>(7-subBinShift) - (1 << subBinShift) // first bin of large spans
	binWords    = (numBins + 63) / 64
)

// header is the root of the metadata, at offset 0 of the region. Words are in
// the byte order of the machine, which the magic number reveals.
type header struct {
	magic    uint64
	version  uint32
	classes  uint32 // number of size classes
	size     uint64 // bytes of the region
	first    uint64 // first granule of the data
	end      uint64 // granule past the last one
	top      uint64 // first granule that no span and no run has
	dirty    uint64 // granules in [top, dirty) may hold something; beyond it nothing was written or all was given back
	highest  uint64 // the highest top there ever was: nothing beyond it was handed out
	commit   uint64 // data granules below it may be touched, but for what spanInfo.gone says
	kindsEnd uint64 // bytes of the region: the kinds may be touched up to here
	unitsEnd uint64 // the same for the units
	root     uint64 // offset of the caller's root block, 0 if none

	wordSet uint64           // bit set ⇔ the word of binSet is not 0
	binSet  [binWords]uint64 // bit set ⇔ the bin has a span
	bins    [numBins]uint64  // first granule of the bin's first span, 0 if none
	partial [maxClasses]uint32
	runs    [maxClasses]uint32 // runs of the class

	// What Open needs; see persist.go.
	state    uint64            // stateOpen, or stateClean with sum
	sum      uint64            // of the header, while it is clean
	seed     uint64            // of the seals and canaries
	pageSize uint32            // bytes
	layout   uint32            // of blocks: layoutPlain, with layoutClears or without, or layoutRecords with the fill byte above
	sizes    [maxClasses]uint8 // of the slots of class i, in granules
}

// unit is one row of the metadata: 16 bytes for each 1024 of data.
//
//	bitmaps      of the granules where a span starts; see below
//	unit 0 run   live: bit i is set while slot i is used; bound: links to the partial runs before and after
//	others       see spanInfo
//
// Where a span starts, the bits of the granule say what it is:
//
//	live  bound
//	 1     1     used
//	 0     1     free
//	 1     0     in a quick list, or to be joined later: taken for used by its neighbours, not by Free
type unit struct {
	live, bound uint64
}

// spanInfo overlays the rows of the first whole units inside a large free
// span. A used one has start and size only. In a free one the row of the last
// whole unit repeats them, so that the span after it can find them; where that
// is the second one, as it may be in the smallest large spans, the links take
// its place. Spans of fewer than infoMin granules end after prev.
//
//	unit   +1             +2             +3               +4               …  last
//	       start  size    next   prev    goneLo  goneHi   idleLo  idleHi      start  size
//	                      └ free only ──────────────────────────────────────────────────┘
type spanInfo struct {
	start, size uint64 // granules
	links
	goneLo, goneHi uint64 // granules whose pages have been given back, whole pages; equal: none
	idleLo, idleHi uint64 // granules that have been free since the last sweep, or since trade said so
}

// links join the free spans of a bin. Those of a small span are in the span
// itself and are not trusted: the bitmaps say what is free, see [Heap.unlink].
type links struct {
	next, prev uint64 // first granule of the neighbour, 0 if none
}

// binOf returns the bin for free spans of n granules, n ≥ 1.
func binOf(n uint64) int {
	if n < exactBins {
		return int(n)
	}
	return wideBinOf(n)
}

// wideBinOf is binOf for exactBins granules and more: but for a constant, the exponent of
// n as a floating-point number with the first bits of its fraction behind it. Sizes are
// below 2^53, so that the conversion is exact.
func wideBinOf(n uint64) int {
	const fraction, first = 52 - subBinShift, (1023 + 7) << subBinShift
	return int(math.Float64bits(float64(int64(n)))>>fraction) - first + exactBins
}

// sizesOf returns the least size of the free spans in a bin from exactBins on, and
// how many sizes there are.
func sizesOf(bin int) (least, width uint64) {
	width = 1 << ((uint(bin-exactBins)>>subBinShift + 7 - subBinShift) & 63)
	return width * (1<<subBinShift + uint64(bin)&(1<<subBinShift-1)), width
}

// sameBin reports whether free spans of a granules and of b are in one bin; both are
// exactBins or more.
func sameBin(a, b uint64) bool {
	return (a^b)>>((bits.Len64(a)-1-subBinShift)&63) == 0
}

// metaOffsets returns where the kinds, the units and the data of a region of n
// units begin, in bytes. The tables start on pages, so that each is committed
// as the data grows.
func metaOffsets(n int, pageSize uint64) (kinds, units, data uint64) {
	kinds = roundUp(headerSize, pageSize)
	units = roundUp(kinds+uint64(n)*kindSize, pageSize)
	data = roundUp(units+uint64(n)*unitRow, pageSize)
	return kinds, units, data
}

// tableStarts returns from where on the kinds and the units of a region of n units are
// committed if the data begins with unit first: with the pages of what describes it, and
// of as many rows before as Free may go back for a run when a kind is damaged.
func tableStarts(n int, first, pageSize uint64) (kinds, units uint64) {
	kinds, units, _ = metaOffsets(n, pageSize)
	kinds += first * kindSize
	units += (first - min(first, runIndex)) * unitRow
	return kinds &^ (pageSize - 1), units &^ (pageSize - 1)
}

// roundUp returns n rounded up to a multiple of a power of two.
func roundUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
