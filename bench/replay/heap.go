package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/memlab-go/memlab/alloc"
)

// A Heap is an allocator that can be ended. A heap may also have a method
// Stats() [alloc.Stats], and be an [alloc.Walker] and an [alloc.Checker]; what
// it has is used.
type Heap interface {
	alloc.Allocator
	// Close releases the heap's memory. Its error tells of leaks, which a
	// replay leaves on purpose.
	Close() error
}

// A Config says how to make a [Heap]. The zero value is right for measuring.
type Config struct {
	Limit int        // most bytes the heap may commit, 0: no limit
	Sink  alloc.Sink // receives the heap's events, nil: none

	// Stop is asked every few thousand operations whether to end the run, which
	// then returns an [OpError] with [ErrStopped]. nil: never. A slow allocator
	// on a long trace would otherwise hold up everything else.
	Stop func() bool

	raw bool // blocks are no objects of Go's heap, see runPlain
}

// ErrStopped says that Config.Stop ended a run.
var ErrStopped = errors.New("stopped: it takes too long")

// stopEvery is how many operations pass between two questions to Config.Stop.
const stopEvery = 1 << 12

// stopped asks c.Stop, if there is one.
func (c *Config) stopped() bool { return c.Stop != nil && c.Stop() }

// An Entry is an allocator that can be measured.
type Entry struct {
	Name      string // as on the command line
	About     string // one line
	Align     int    // what blocks of 16 bytes and more are aligned to; 1: nothing is promised
	Collected bool   // memory comes back only through Go's collector, which must run
	Special   bool   // Find returns it by name only
	Compact   int    // bytes of allocation after which the heap's Compact is called, with 4 times as many as the budget; 0: never
	New       func(Config) (Heap, error)
}

// Find returns the entries of known with these names, in this order; no names
// means all but the special ones. The error lists the known names.
func Find(known []Entry, names ...string) ([]Entry, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(known), func(e Entry) bool { return e.Special }), nil
	}
	var out []Entry
	for _, name := range names {
		i := slices.IndexFunc(known, func(e Entry) bool { return e.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown allocator %q; known are %s", name, strings.Join(Names(known), ", "))
		}
		out = append(out, known[i])
	}
	return out, nil
}

// Names returns the names of the entries, in their order.
func Names(known []Entry) []string {
	var out []string
	for _, e := range known {
		out = append(out, e.Name)
	}
	return out
}

// stats returns what h says of itself, if it says anything.
func stats(h Heap) (alloc.Stats, bool) {
	if s, ok := h.(interface{ Stats() alloc.Stats }); ok {
		return s.Stats(), true
	}
	return alloc.Stats{}, false
}
