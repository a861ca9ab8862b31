package segregated

import "math/bits"

// This file knows the two words that describe a run of [Shared]. They are those of the
// run's first unit, in a table beside the rows, and every decision about a slot is one
// compare-and-swap of the first of them:
//
//	word    111 │ class 6 │ held 1 │ bias 1 │ frees 4 │ slots 49      bit set: the slot is in use
//	bound   111 │ class 6 │ …      │ listed 1 │ owner 32                changed only under the owner's mutex
//
// The word says by itself what it is: one that is not a run's is 0, or tells what is shown
// of a run, see below, and has no class. So whoever comes with an old idea of
// what lies at an address finds a word that does not fit, or one that does and
// is as good: the class and the place fix the address of each slot.
//
// The bias bit is set while a bias is taken away; see bias.go.
// The frees field counts frees modulo 16; who makes it wrap adds 16 to a
// counter of its own. Mallocs are what was freed and what is live.
//
// A held run has lent free slots, whose bits are set, to its owner; which of them
// have not been handed out yet, the owner says: a [Handle] in a word of its
// own, a shard in one that names the run as well, so that a compare-and-swap of it
// takes a slot of that run and of no other:
//
//	shard.cur  run 30 │ fill 1 │ window 1 │ slots 32      bit set: the slot is at hand
//
// The slots are those from 0 or from 17 on. While fill is set the owner is about
// to lend slots, or to take them back, and its mutex must be waited for.
//
// Who frees a slot of a held run has to know that it was handed out, and had better
// not read the owner's word, which changes with each Malloc. The word of the unit that follows
// tells it for most slots, and lies in the same cache line, mostly:
//
//	shown   111 │ 0 │ lends 6 │ slots 49      bit clear: the slot is neither at hand nor biased
//
// The owner sets the bits of what it lends, just before. Who finds the bit of a slot
// set looks at the owner's words, and clears those that it does not find there, if
// nothing was lent meanwhile: the lends field counts them modulo 64. Runs of one unit
// have none.
const (
	sharedRow   = 16 // bytes of the words of a unit
	maxRunSlots = 49
	slotMask    = 1<<maxRunSlots - 1
	countShift  = maxRunSlots
	countOne    = 1 << countShift
	countMask   = 15 << countShift
	countWraps  = 16
	biasBit     = 1 << (countShift + 4)
	heldShift   = countShift + 5
	heldBit     = 1 << heldShift
	classShift  = heldShift + 1
	wordMagic   = 7 << 6 // above the class
	shownCount  = 63 << countShift
	listedBit   = 1 << 32
	ownerMask   = 1<<32 - 1

	maxSharedRun = 1 << 30
	curShift     = 34
	curFill      = 1 << 33
	curWindow    = 1 << 32
	curMask      = 1<<32 - 1
	windowShift  = maxRunSlots - 32
)

// showing is the word of the unit that follows, which was old, when the slots are about
// to be lent. Its class is none.
func showing(old, slots uint64) uint64 {
	return wordMagic<<classShift | (old+countOne)&shownCount | slots
}

// isShown reports whether w is such a word, or none yet.
func isShown(w uint64) bool { return w == 0 || w>>classShift == wordMagic }

// newCur returns the word of a shard that has some of the free slots of run at
// hand, those of one window, and which.
func newCur(run uintptr, free uint64) (cur, lent uint64) {
	low, high := free&curMask, free>>windowShift
	if bits.OnesCount64(high) > bits.OnesCount64(low) {
		return uint64(run)<<curShift | curWindow | high, high << windowShift
	}
	return uint64(run)<<curShift | low, low
}

// atHand returns the slots that cur, the word of a shard, has of run; all if it
// is just changing.
func atHand(cur uint64, run uintptr) uint64 {
	switch {
	case cur>>curShift != uint64(run):
		return 0
	case cur&curFill != 0:
		return slotMask
	case cur&curWindow != 0:
		return cur & curMask << windowShift
	}
	return cur & curMask
}

// versionShared is the version of a header whose runs have such words: no Open
// understands it.
const versionShared = 1<<16 | version

// sharedClass is a size class of Shared: runs of up to 49 slots of one size.
type sharedClass struct {
	inverse uint64  // see slotAfter
	valid   uint64  // bits of the slots that exist
	tag     uint64  // of a word shifted down by classShift: magic, class
	size    uintptr // bytes of a slot
	units   uintptr // units of a run
	index   uintptr
	slots   uint64 // of a run; 0 for no class
	rot     uint8  // see slotAfter
	_       [7]byte
}

// slotAfter returns the slot that begins at a distance from the start of a run, for
// slots of odd<<(64-rot) bytes, if inverse is that of odd modulo 2^64: any distance but
// slot*size gives a number that is larger than each quotient of a distance. For the
// product of a multiple of odd is the quotient, and the rotation makes bits that are
// not zero below the last odd one of the divisor the highest ones.
// (Granlund, Montgomery: Division by invariant integers using multiplication, 1994,
// section 9.)
func slotAfter(distance uintptr, inverse uint64, rot uint8) uint64 {
	return bits.RotateLeft64(uint64(distance)*inverse, int(rot))
}

// inverseOf returns what slotAfter needs for slots of that many bytes.
func inverseOf(size uint64) (inverse uint64, rot uint8) {
	k := bits.TrailingZeros64(size)
	odd := size >> k
	inverse = odd // right in the last three bits; each step doubles that
	for range 5 {
		inverse *= 2 - odd*inverse
	}
	return inverse, uint8(64 - k)
}

// sharedRunBytes is the most bytes of a run. Runs have many slots, since a lock
// is taken for each; pages of theirs that were never used are not resident.
const sharedRunBytes = 32 << 10

// newSharedClass returns class ci, of the given slot size: as many units as have
// not more than 49 slots and fit.
func newSharedClass(ci int, size uintptr) sharedClass {
	c := sharedClass{size: size, index: uintptr(ci), tag: uint64(wordMagic | ci)}
	c.inverse, c.rot = inverseOf(uint64(size))
	for c.units = 1; ; c.units++ {
		slots := min(c.units*unitSize/size, maxRunSlots)
		if (c.units+1)*unitSize/size > maxRunSlots || (c.units+1)*unitSize > sharedRunBytes {
			c.valid, c.slots = 1<<slots-1, uint64(slots)
			return c
		}
	}
}

// empty is the word of a run without used slots; those that do not exist count as used.
func (c *sharedClass) empty() uint64 { return c.tag<<classShift | slotMask&^c.valid }

// isRun reports whether w is the word of a run of c.
func (c *sharedClass) isRun(w uint64) bool { return w>>classShift == c.tag }

// freeOne is w, whose bias bit is clear, without a used slot, with one more free.
// Where the count begins again it carries into the bit of the bias.
func freeOne(w, bit uint64) uint64 { return (w&^bit + countOne) &^ biasBit }

// isFull reports whether no slot of w is free.
func isFull(w uint64) bool { return ^w&slotMask == 0 }

// isEmpty reports whether no slot of w, a word of c, is used.
func (c *sharedClass) isEmpty(w uint64) bool { return w&c.valid == 0 }

// isEdge reports whether a Free that made n of the word w of a run that has lent nothing leaves
// something to do: the run was full, or is empty now.
func (c *sharedClass) isEdge(w, n uint64) bool { return w&heldBit == 0 && (isFull(w) || c.isEmpty(n)) }

// freeSlots returns how many slots of w are free.
func freeSlots(w uint64) int { return bits.OnesCount64(^w & slotMask) }

// countOf returns the frees field of w.
func countOf(w uint64) uint64 { return w & countMask >> countShift }

// SharedClasses returns the size classes that nil Options.Classes stands for in
// [NewShared]: every multiple of 16 up to 512, of 64 up to 1024.
func SharedClasses() []int {
	var c []int
	for size := granule; size <= 512; size += granule {
		c = append(c, size)
	}
	for size := 576; size <= 1024; size += 64 {
		c = append(c, size)
	}
	return c
}
