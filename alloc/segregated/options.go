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
	// best-fit space. nil means DefaultClasses; an empty slice means none.
	Classes []int

	// ZeroOnFree clears every block when it is freed, so that no later owner
	// can read what it held.
	ZeroOnFree bool

	// Sink receives the heap's events; see alloc.Event. It must not call the
	// heap. Without it events cost nothing.
	Sink alloc.Sink
}

// MaxClass is the largest size in bytes that Options.Classes may hold.
const MaxClass = 1024

// DefaultClasses returns the size classes that nil Options.Classes stands for:
// every multiple of 16 up to 256. Above, runs would hold more memory than they
// save time: a program whose sizes shift leaves them half empty.
func DefaultClasses() []int {
	var c []int
	for size := granule; size <= 256; size += granule {
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
	if c.Classes == nil {
		c.Classes = DefaultClasses()
	}
	if len(c.Classes) >= maxClasses {
		return c, fmt.Errorf("segregated: %d size classes, at most %d: %w", len(c.Classes), maxClasses-1, alloc.ErrSize)
	}
	last := 0
	for i, size := range c.Classes {
		if size <= last || size%granule != 0 || size > MaxClass {
			return c, fmt.Errorf("segregated: class %d of %d bytes: %w: want ascending multiples of %d up to %d",
				i, size, alloc.ErrSize, granule, MaxClass)
		}
		last = size
	}
	return c, nil
}
