package replace

import (
	"errors"
	"math"

	"github.com/memlab-go/memlab/vm"
)

// never stands for the next use of a page that is not referenced again.
const never = math.MaxUint32

// ErrTooManyRefs says that a [Future] would have more than 2^32-2 references.
var ErrTooManyRefs = errors.New("replace: more than 2^32-2 references for a policy that looks ahead")

// A Future is a whole trace with the time of the next use of every reference's
// page: what [OPT] needs. It takes 8 bytes a reference and does
// not change, so that any number of simulations may share it.
type Future struct {
	refs  []Ref
	next  []uint32 // by time: next time of the same page, or never
	first []uint32 // by page: its first time
}

// NewFuture looks ahead in refs, which must not change afterwards. O(refs).
func NewFuture(refs []Ref) (*Future, error) {
	if uint64(len(refs)) >= never {
		return nil, ErrTooManyRefs
	}
	f := &Future{refs: refs, next: make([]uint32, len(refs))}
	for t := len(refs) - 1; t >= 0; t-- {
		p := int(refs[t] >> 1)
		for n := len(f.first); n <= p; n++ {
			f.first = append(f.first, never)
		}
		f.next[t] = f.first[p]
		f.first[p] = uint32(t)
	}
	return f, nil
}

// Len returns the number of references.
func (f *Future) Len() int { return len(f.refs) }

// Refs returns the references. They must not be changed.
func (f *Future) Refs() []Ref { return f.refs }

// NumPages returns one more than the largest page number.
func (f *Future) NumPages() int { return len(f.first) }

// NextUse returns when the page referenced at time t is referenced next, and
// false if it never is.
func (f *Future) NextUse(t int) (int, bool) { return int(f.next[t]), f.next[t] != never }

// FirstUse returns the time of the first reference to p, and false if there is
// none.
func (f *Future) FirstUse(p vm.PageID) (int, bool) {
	if int(p) >= len(f.first) {
		return 0, false
	}
	return int(f.first[p]), f.first[p] != never
}
