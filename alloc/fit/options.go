package fit

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/memlab-go/memlab/alloc"
)

// ErrOptions says that an option has a value that makes no sense, alone or with
// the others. New, NewTLSF, NewBuddy and NewOSTEP return it.
var ErrOptions = errors.New("fit: bad options")

// A Policy says which of the free blocks that are large enough is taken.
type Policy uint8

// The policies (Knuth, The Art of Computer Programming, volume 1, section 2.5).
const (
	First Policy = iota // the first one found
	Next                // the first one found from where the last search ended
	Best                // the smallest; the first one found of several
	Worst               // the largest; the first one found of several
)

// An Order says where a freed block goes on an explicit free list.
type Order uint8

// The orders. Among blocks of one size, the sorted ones put the newest last.
const (
	Front          Order = iota // at the front (last in, first out)
	Back                        // at the back (first in, first out)
	Address                     // by address
	SizeAscending               // by size, smallest first
	SizeDescending              // by size, largest first
)

// A Coalesce says when free neighbours are joined.
type Coalesce uint8

// The kinds of coalescing.
const (
	Immediate Coalesce = iota // at each free
	Deferred                  // all at once, when a search finds nothing and when the heap becomes empty
	Never                     // not at all
)

var (
	policyNames   = []string{"first", "next", "best", "worst"}
	orderNames    = []string{"front", "back", "address", "size+", "size-"}
	coalesceNames = []string{"immediate", "deferred", "never"}
)

// String returns "first", "next", "best" or "worst".
func (p Policy) String() string { return nameOf(policyNames, int(p)) }

// String returns "front", "back", "address", "size+" or "size-".
func (o Order) String() string { return nameOf(orderNames, int(o)) }

// String returns "immediate", "deferred" or "never".
func (c Coalesce) String() string { return nameOf(coalesceNames, int(c)) }

// ParsePolicy returns the policy of a name, in any case. The error lists the
// known ones.
func ParsePolicy(s string) (Policy, error) {
	i, err := parseName("policy", policyNames, s)
	return Policy(i), err
}

// ParseOrder returns the order of a name, in any case: those that String gives
// and those of OSTEP's malloc.py, INSERT-FRONT, INSERT-BACK, ADDRSORT,
// SIZESORT+ and SIZESORT-. The error lists the known ones.
func ParseOrder(s string) (Order, error) {
	i, err := parseName("order", orderNames, ostepOrder(s))
	return Order(i), err
}

// ParseCoalesce returns the kind of coalescing of a name, in any case. The error
// lists the known ones.
func ParseCoalesce(s string) (Coalesce, error) {
	i, err := parseName("coalescing", coalesceNames, s)
	return Coalesce(i), err
}

// ostepOrder translates the words of malloc.py.
func ostepOrder(s string) string {
	switch strings.ToUpper(s) {
	case "INSERT-FRONT":
		return "front"
	case "INSERT-BACK":
		return "back"
	case "ADDRSORT":
		return "address"
	case "SIZESORT+":
		return "size+"
	case "SIZESORT-":
		return "size-"
	}
	return s
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("?%d", i)
}

func parseName(what string, names []string, s string) (int, error) {
	for i, n := range names {
		if strings.EqualFold(n, s) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: unknown %s %q (known: %s)", ErrOptions, what, s, strings.Join(names, ", "))
}

// Options says how a heap behaves. Zero fields mean the defaults.
type Options struct {
	Policy   Policy   // which free block is taken; First
	Order    Order    // where a freed block goes on the list; Front
	Coalesce Coalesce // when free neighbours are joined; Immediate
	Implicit bool     // no list: a search walks over all blocks, used and free; Order does not apply

	Header int // bytes before each block, a multiple of 8 up to 256; 8
	Align  int // bytes, a power of two from 8 to 256; 16. With 8 all blocks are aligned to 8 only
	Limit  int // most bytes of the region to use, metadata included; all of it
	Grow   int // bytes by which the heap grows at least; 64 KiB

	// Zero hands out zeroed memory: every block, and every byte that Realloc
	// adds to one.
	Zero bool
	// Seed salts the check bits of the heap's words. 0 takes one from the
	// system's random source; anything else makes the region's bytes reproducible.
	Seed uint64

	Sink     alloc.Sink // told what the heap does, if not nil
	Accesses bool       // tell Sink also of each metadata word that is read or written

	// Owners, if it is not nil, is told that the region belongs to the heap that is called Name, and
	// asked whose a block is that this heap is given and does not have; see alloc.Fault.Owner.
	// Without a name it is as if nobody knew it.
	Owners *alloc.Owners
	Name   string
}

// The limits of the options.
const (
	maxHeader   = 256
	maxAlign    = 256
	defaultGrow = 64 << 10
)

// withDefaults returns a copy with the defaults filled in, or ErrOptions.
func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	set := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	set(&v.Header, wordSize)
	set(&v.Align, 16)
	set(&v.Grow, defaultGrow)
	if v.Seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		v.Seed = binary.LittleEndian.Uint64(b[:]) | 1
	}
	bad := func(format string, args ...any) (Options, error) {
		return v, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...)
	}
	switch {
	case int(v.Policy) >= len(policyNames):
		return bad("policy %d", v.Policy)
	case int(v.Order) >= len(orderNames):
		return bad("order %d", v.Order)
	case int(v.Coalesce) >= len(coalesceNames):
		return bad("coalescing %d", v.Coalesce)
	case v.Implicit && v.Order != Front && v.Order != Address:
		return bad("an implicit list is in address order, not %v", v.Order)
	case v.Header < wordSize || v.Header > maxHeader || v.Header%wordSize != 0:
		return bad("header of %d bytes, want a multiple of %d up to %d", v.Header, wordSize, maxHeader)
	case v.Align < 8 || v.Align > maxAlign || v.Align&(v.Align-1) != 0:
		return bad("alignment %d, want a power of two from 8 to %d", v.Align, maxAlign)
	case v.Limit < 0:
		return bad("limit %d", v.Limit)
	case v.Grow < 0:
		return bad("growth %d", v.Grow)
	}
	return v, nil
}

// onlyCommon returns ErrOptions if a field is set that only the free-list heap
// has.
func (o *Options) onlyCommon(who string) error {
	if o != nil && (o.Policy != 0 || o.Order != 0 || o.Coalesce != 0 || o.Implicit) {
		return fmt.Errorf("%w: %s has no policy, order, coalescing or list kind to choose", ErrOptions, who)
	}
	return nil
}

// limitOr returns the byte limit, or room, the bytes of blocks that the region
// holds, if there is none.
func (o *Options) limitOr(room int) int {
	if o.Limit > 0 {
		return o.Limit
	}
	return room
}
