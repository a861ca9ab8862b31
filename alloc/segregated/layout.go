package segregated

import (
	"math"
	"math/bits"
)

// Units of measure. A granule is what blocks of more than 8 bytes are multiples of; a unit is what
// one row of the metadata describes.
const (
	granuleShift = 4
	granule      = 1 << granuleShift // bytes
	unitShift    = 10
	unitSize     = 1 << unitShift           // bytes
	unitGranules = unitSize / granule       // 64: as many as a row has bits
	granuleMask  = unitGranules - 1         // of a granule number: its place in its unit
	granuleBits  = unitShift - granuleShift // granule number >> granuleBits is its unit
)

// A span is a stretch of granules outside the runs, used or free, of minSpan at least. Its
// size decides where its size is kept.
const (
	// tagMin is the least used span, in granules, that keeps its size in the row of its first
	// whole unit: it covers one, wherever it starts, and has no class, so that Free needs to
	// know nothing else. Such spans are large; a smaller one is measured by finding the next
	// mark.
	tagMin = 2*unitGranules + 1
	// largeMin is the least large free span: it covers two whole units, the last of which says,
	// too, how large it is.
	largeMin = 3 * unitGranules
	// infoMin is the least span that covers six whole units, so that a free one
	// has room for a whole spanInfo and one row more for its end.
	infoMin = 7 * unitGranules
)

// Kinds: one uint16 for each unit says how its row is to be read.
//
//	0             marks of spans, or the inside of a large one (all zero)
//	kindLarge     inside a large span, its first whole unit: the row is a tag, see spanInfo
//	kindInfo      inside a free span of infoMin: the row is another part of its spanInfo
//	kindLast      inside a large free span, its last whole unit: the row is its endTag
//	class<<8 | i  unit i of a run of that class; the row of unit 0 is the run's live word,
//	              that of unit 1 its links
const (
	kindMarks = 0
	kindLarge = 1
	kindInfo  = 2
	kindLast  = 3
	kindRun   = 1 << 8 // at least this: a run
	runIndex  = 63     // mask of i: a run has at most 64 units
)

const (
	magic       = 0x6765732d6c6d656d // "memlseg" with its length, as a word
	version     = 6                  // of the layout, the sizes of runs included
	headerSize  = 4096
	kindSize    = 2 // bytes of a kind
	unitRow     = 8 // bytes of a row
	maxClasses  = 64
	exactBins   = 128     // bin n holds free spans of exactly n granules; those before minSpan none
	subBinShift = 3       // 8 bins a doubling above
	maxGranules = 1 << 40 // of a heap, 16 TiB: see pageRange
	numBins     = exactBins + (40-7)*(1<<subBinShift)
	infoBin     = exactBins + infoMin>>(8-subBinShift) // first bin of spans of infoMin and more
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

// spanInfo overlays the rows of the first whole units inside a free span of infoMin. A row is
// a word of the metadata, 8 bytes for each 1024 of data, and has
//
//	the marks of the spans that start in the unit, see marks.go
//	in unit 0 of a run a bit for each slot, set while it is live
//	in unit 1 of a run links to the partial runs before and after, see runLinks
//	inside a large span what its kind says, mostly nothing
//
// A smaller free span, and a used one, has only the tag, if it is large; the links of a smaller
// free one are in the span itself. In a large free one the row of the last whole unit has its
// endTag, so that the span after it can find it.
//
//	unit   +1    +2     +3     +4      +5      …   last
//	       tag   next   prev   gone    idle        endTag
//	             └ free only ──────────────────────────┘
type spanInfo struct {
	tag uint64 // see tagOf
	links
	gone pageRange // pages that have been given back
	idle pageRange // pages that have been free since the last sweep, or since trade said so
}

// infoRows is how many rows that are.
const infoRows = 5

// tagOf returns the tag of the span of n granules at g: its size, and which granule of the unit
// before that of the tag it starts at.
func tagOf(g, n uint64) uint64 { return n<<granuleBits | g&granuleMask }

// endTagOf returns its endTag: its size, and at which granule of the unit after that of the
// endTag it ends.
func endTagOf(g, n uint64) uint64 { return n<<granuleBits | (g+n)&granuleMask }

// links join the free spans of a bin. Those of a small span are in the span
// itself and are not trusted: the marks say what is free, see [Heap.unlink].
type links struct {
	next, prev uint64 // first granule of the neighbour, 0 if none
}

// binOf returns the bin for free spans of n granules, n ≥ minSpan.
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

// tables are the offsets in bytes of the tables in a region: where the kinds begin, the rows, the
// words of the runs of a [Shared], which others have none of, and the data. They start on
// pages, so that each is committed as the data grows.
type tables struct{ kinds, units, words, data uint64 }

// tablesOf returns the tables of a region of n units, with wordRow bytes of words for each.
func tablesOf(n int, pageSize, wordRow uint64) (t tables) {
	t.kinds = roundUp(headerSize, pageSize)
	t.units = roundUp(t.kinds+uint64(n)*kindSize, pageSize)
	t.words = roundUp(t.units+uint64(n)*unitRow, pageSize)
	t.data = roundUp(t.words+uint64(n)*wordRow, pageSize)
	return t
}

// tables returns the tables of h.
func (h *Heap) tables() tables { return tablesOf(len(h.units), h.pageSize, h.wordRow()) }

// wordRow returns how many bytes of words there are for each unit.
func (h *Heap) wordRow() uint64 {
	if h.shared != nil {
		return sharedRow
	}
	return 0
}

// starts returns from where on the tables are committed if the data begins with unit first:
// with the pages of what describes it, and of as many rows before as Free may go back for a
// run when a kind is damaged.
func (t tables) starts(first, pageSize uint64) tables {
	before := first - min(first, runIndex)
	return tables{
		kinds: (t.kinds + first*kindSize) &^ (pageSize - 1),
		units: (t.units + before*unitRow) &^ (pageSize - 1),
		words: (t.words + before*sharedRow) &^ (pageSize - 1),
	}
}

// roundUp returns n rounded up to a multiple of a power of two.
func roundUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
