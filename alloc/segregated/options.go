package segregated

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
)

// Options says how a heap behaves. Zero fields mean the defaults; the struct is
// copied and checked once, by New.
type Options struct {
	// Limit is the most bytes, metadata included, that may be committed at
	// once; 0 means that only the region limits the heap. A request that would
	// pass it gets alloc.ErrNoMemory and the heap stays usable.
	Limit int

	// Classes are the sizes in bytes that are served from runs: ascending
	// multiples of 16 up to MaxClass, at most 63 of them. A request takes the
	// smallest class that holds it; one that is larger than all goes to the
	// best-fit space, where a block has 64 bytes at least. nil means DefaultClasses; an empty slice means none.
	// The first may be 8: blocks of up to 8 bytes have that alignment then. Only a Heap in mode Fast that
	// is not in a file, does not trace, clear or report has that class; in others it is as if it were not there.
	Classes []int
	tiny    bool // the first was 8, and is not in Classes any more

	// ZeroOnFree clears every block when it is freed, so that no later owner
	// can read what it held.
	ZeroOnFree bool

	// Mode says what the heap finds beyond bad block arguments. The zero value is
	// Fast.
	Mode Mode

	// Guard says which blocks mode Guarded puts between guard pages.
	Guard GuardOptions

	// Quarantine is how many bytes of freed blocks the modes Checked and
	// Guarded hold back from reuse; 0 means 1 MiB, a negative number none. A
	// larger block is not held back. Blocks with guard pages do not count.
	Quarantine int

	// ProfileRate makes the heap trace call stacks, for WriteProfile, the
	// report of leaks and the stacks in faults: one allocation in so many
	// bytes, on average; 1 means each. 0 means none. With it every call takes
	// the slow path.
	ProfileRate int

	// Seed makes what is random in the modes and in the sampling of stacks
	// repeatable: same seed and same calls, same result. 0 means a random one
	// from the system, if there is need of one; Heap.ModeReport says which.
	Seed uint64

	// Sink receives the heap's events; see alloc.Event. It must not call the
	// heap. Without it events cost nothing.
	Sink alloc.Sink

	// Owners, if it is not nil, is told that the region belongs to the heap that is called Name, and
	// asked whose a block is that this heap is given and does not have; see alloc.Fault.Owner.
	// Without a name it is as if nobody knew it.
	Owners *alloc.Owners
	Name   string
}

// MaxClass is the largest size in bytes that Options.Classes may hold.
const MaxClass = 2048

// DefaultClasses returns the size classes that nil Options.Classes stands for:
// 8, every multiple of 16 up to 512, of 32 up to 1024, of 64 up to 1536 and of 128
// up to 2048, and 1040, for 1024 bytes with a word or two of the caller's in front. Above, a run
// would hold more memory than it saves time.
func DefaultClasses() []int {
	c := append(make([]int, 0, maxClasses), tinySize)
	for size := granule; size <= 512; size += granule {
		c = append(c, size)
	}
	for size := 512 + 2*granule; size <= 1024; size += 2 * granule {
		c = append(c, size)
	}
	c = append(c, 1024+granule)
	for size := 1024 + 4*granule; size <= 1536; size += 4 * granule {
		c = append(c, size)
	}
	for size := 1536 + 8*granule; size <= MaxClass; size += 8 * granule {
		c = append(c, size)
	}
	return c
}

// complete returns o with its defaults filled in, or what is wrong with it.
func (o *Options) complete() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Limit < 0 {
		return c, fmt.Errorf("segregated: limit of %d bytes: %w", c.Limit, alloc.ErrSize)
	}
	if c.Mode > Guarded {
		return c, fmt.Errorf("segregated: %v is none: %w", c.Mode, alloc.ErrSize)
	}
	if c.ProfileRate < 0 || c.Guard.Every < 0 || c.Guard.Mappings < 0 {
		return c, fmt.Errorf("segregated: profile rate %d, guarded one in %d, mappings %d: %w: none may be negative",
			c.ProfileRate, c.Guard.Every, c.Guard.Mappings, alloc.ErrSize)
	}
	if c.Seed == 0 && (c.Mode != Fast || c.ProfileRate > 1) {
		c.Seed = randomSeed()
	}
	if c.Classes == nil {
		c.Classes = DefaultClasses()
	}
	if len(c.Classes) >= maxClasses {
		return c, fmt.Errorf("segregated: %d size classes, at most %d: %w", len(c.Classes), maxClasses-1, alloc.ErrSize)
	}
	last, first := 0, 0
	if c.tiny = len(c.Classes) != 0 && c.Classes[0] == tinySize; c.tiny {
		c.Classes, first = c.Classes[1:], 1
	}
	for i, size := range c.Classes {
		if size <= last || size%granule != 0 || size > MaxClass {
			return c, fmt.Errorf("segregated: class %d of %d bytes: %w: want ascending multiples of %d up to %d",
				first+i, size, alloc.ErrSize, granule, MaxClass)
		}
		last = size
	}
	return c, nil
}

// isPlain reports whether no call has to take the slow path by these options.
func (o *Options) isPlain() bool {
	return o.Mode == Fast && o.ProfileRate == 0 && o.Sink == nil && !o.ZeroOnFree
}
