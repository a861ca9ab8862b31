package trace

import (
	"fmt"
	"math/bits"
)

// What a block id is, as far as a reader has come.
const (
	idUnused uint8 = iota // never a block, or freed: may be allocated
	idLive                // a block
	idFreed               // freed: may be allocated again, not freed again
	idNulled              // ended by a Realloc to 0: holds nil, which may be freed
)

// A checker follows the life of every id and says which operations make no
// sense.
type checker struct {
	ids   int // ids must be below
	state []uint8
}

// check returns what is wrong with o after the operations before it, and which
// field is to blame (0 is the kind, 1 the id, 2 and 3 what follows), or "".
func (c *checker) check(o Op) (field int, msg string) {
	if o.Count < 0 || o.Size < 0 {
		return 2, fmt.Sprintf("negative size %d", min(o.Count, o.Size))
	}
	if hi, lo := bits.Mul64(uint64(o.Count), uint64(o.Size)); o.Kind == Calloc && (hi != 0 || lo > 1<<62) {
		return 2, fmt.Sprintf("calloc of %d times %d bytes overflows", o.Count, o.Size)
	}
	if o.ID == NoID {
		if o.Kind != Free {
			return 1, "id -1 is only for a free of nil"
		}
		return 0, ""
	}
	if o.ID < 0 || int(o.ID) >= c.ids {
		return 1, fmt.Sprintf("id %d is not below the %d ids of the header", o.ID, c.ids)
	}
	for int(o.ID) >= len(c.state) {
		c.state = append(c.state, make([]uint8, max(int(o.ID)+1-len(c.state), len(c.state)/2))...)
	}
	return c.step(o)
}

// step moves o.ID, which has a state, to its next one.
func (c *checker) step(o Op) (field int, msg string) {
	s := &c.state[o.ID]
	switch o.Kind {
	case Malloc, Calloc:
		if *s == idLive {
			return 1, fmt.Sprintf("id %d is live already", o.ID)
		}
		*s = idLive
	case Realloc:
		*s = idLive
		if o.Size == 0 {
			*s = idNulled
		}
	case Free:
		switch *s {
		case idUnused:
			return 1, fmt.Sprintf("free of id %d, which was never allocated", o.ID)
		case idFreed:
			return 1, fmt.Sprintf("free of id %d, which is free already", o.ID)
		}
		*s = idFreed
	default:
		return 0, fmt.Sprintf("unknown operation %v", o.Kind)
	}
	return 0, ""
}

// Check returns the first operation that makes no sense: an id out of range or
// used for two live blocks, a free of what is not live, a negative size. Its
// Line is the operation's number, from 1. O(ops).
func (t *Trace) Check() error {
	c := checker{ids: t.IDs}
	for i, o := range t.Ops {
		if _, msg := c.check(o); msg != "" {
			return fmt.Errorf("trace: %s: operation %d: %s", t.Name, i+1, msg)
		}
	}
	return nil
}
