package segregated

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"

	"github.com/memlab-go/memlab/alloc"
)

// A Mode says how much a heap does to find mistakes in the use of its blocks.
// Bad block arguments are found in every mode, exactly; what a mode adds are
// writes and reads where there is no live block.
type Mode uint8

const (
	// Fast adds nothing and costs nothing. It is the zero value.
	Fast Mode = iota

	// Checked keeps a sealed record before each block and a canary behind it,
	// which Free, Realloc and Check look at; fills new blocks with 0xAA and
	// freed ones with 0xDD, which is looked at before the memory is used
	// again; and holds freed blocks back in a quarantine. Each block costs 24
	// bytes more. A Malloc and Free of 64 bytes take some 300 ns together, 25
	// times as long as in mode Fast, and large blocks are written twice and
	// read twice (go test -bench Mode).
	Checked

	// Guarded is Checked with some blocks, or all, on pages of their own
	// between pages that cannot be touched, so that a bad access faults at
	// once; see [GuardOptions] and [Heap.Try]. A guarded block costs six system
	// calls and a page or more; with one in a thousand the cost of Guarded is
	// that of Checked. In a region of the backing GoHeap or File blocks get
	// canaries instead; [Heap.ModeReport] counts them.
	Guarded
)

// String returns the name of the mode in lower case.
func (m Mode) String() string {
	switch m {
	case Fast:
		return "fast"
	case Checked:
		return "checked"
	case Guarded:
		return "guarded"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// checked is what a heap has in the modes Checked and Guarded: a layer between
// the calls and the core, which hands out blocks that are larger by a record
// and a canary. Every call of such a heap takes the slow path (see [Heap.arm]),
// and goes to the method of the same name here.
//
// The records lie in the region beside the blocks, rather than in a table on
// the Go heap: the collector has nothing to scan however many blocks there are,
// a heap in a file has them when it is opened again, and the seal over a record
// is at the same time the canary in front of its block.
type checked struct {
	h      *Heap
	base   uintptr // address and bytes of the region, for what happens after Close
	extent uint64
	secret uint64    // of the seals and canaries
	poison byte      // what freed bytes are filled with
	clean  [256]byte // such bytes

	mallocs, frees uint64 // of the callers; the core counts a block as live while it is in quarantine
	requested      int    // bytes asked for, of the live blocks
	quarantine     quarantine
	guards         *guards // of mode Guarded, else nil
}

// Fill bytes: a block that was not written yet, and one that was freed.
const (
	freshByte = 0xAA
	freedByte = 0xDD
)

// setMode gives the heap what its mode and tracing need.
func (h *Heap) setMode(o Options) {
	h.mode, h.seed = o.Mode, o.Seed
	h.trace = newTracer(o)
	h.chk = newChecked(h, o)
}

// newChecked returns the layer for the options, or nil for mode Fast.
func newChecked(h *Heap, o Options) *checked {
	if o.Mode == Fast {
		return nil
	}
	c := &checked{
		h: h, base: addrOf(h.mem), extent: uint64(len(h.mem)),
		secret: mix(o.Seed ^ 0x6d656d6c6162), poison: freedByte,
	}
	if o.ZeroOnFree {
		c.poison = 0
	}
	set(c.clean[:], c.poison)
	c.quarantine = newQuarantine(o.Quarantine)
	if o.Mode == Guarded {
		c.guards = newGuards(c, o)
	}
	return c
}

// A ModeReport says what the modes beyond Fast have done so far.
type ModeReport struct {
	Mode Mode
	Seed uint64 // of the canaries, the sampling of guarded blocks and of stacks: Options.Seed, or the random one; 0 if there is none of these

	QuarantinedBlocks int // freed blocks that are held back
	Condemned         int // freed blocks that were written to; they are never used again

	GuardedLive    int    // live blocks between guard pages
	GuardedTotal   uint64 // such blocks since the start
	GuardFallbacks uint64 // blocks that were to be guarded and got canaries instead: over the budget, or the system refused
	GuardReused    uint64 // freed guarded blocks whose addresses may be in use again
	GuardMappings  int    // entries of the system's map table that guarding may use

	Stacks int // different call stacks that were traced
}

// ModeReport returns the figures of the heap's mode.
func (h *Heap) ModeReport() ModeReport {
	r := ModeReport{Mode: h.mode, Seed: h.seed}
	if h.trace != nil {
		r.Stacks = h.trace.stacks.len()
	}
	if c := h.chk; c != nil {
		r.QuarantinedBlocks, r.Condemned = c.quarantine.blocks(), len(c.quarantine.condemned)
		if c.guards != nil {
			c.guards.report(&r)
		}
	}
	return r
}

// randomSeed returns a seed that nobody can guess.
func randomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// newRand returns a generator for one purpose of the seed.
func newRand(seed, purpose uint64) *mrand.Rand { return mrand.New(mrand.NewPCG(seed, purpose)) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection in
// which each bit of the result depends on each of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fault returns a fault of the block b, without more than its address.
func (c *checked) fault(op string, b []byte, err error) *alloc.Fault {
	f := c.h.badBlock(op, b, err)
	if off := uint64(addrOf(b) - addrOf(c.h.mem)); off < uint64(len(c.h.mem)) {
		f.Off, f.InRegion = offset(off), true
	}
	return f
}
