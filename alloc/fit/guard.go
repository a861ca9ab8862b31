package fit

import (
	"errors"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A guard says whether a heap may be changed, and reports why not.
type guard struct {
	walking int   // iterators that are running
	bad     error // the fault that made the heap refuse work
	closed  bool
}

// corrupt makes the heap refuse all further work and panics with the fault.
func (g *guard) corrupt(op string, off int, what string) {
	f := &alloc.Fault{Op: op, Off: arena.Offset(off), InRegion: true, Err: alloc.ErrCorrupt,
		Detail: alloc.ErrCorrupt.Error() + ": " + what}
	g.bad = f
	panic(f)
}

// returnCorrupt makes an error of the panic of corrupt, for methods that have
// an error result. It is called by defer.
func (g *guard) returnCorrupt(b *[]byte, err *error) {
	switch r := recover().(type) {
	case nil:
	case *alloc.Fault:
		if !errors.Is(r, alloc.ErrCorrupt) {
			panic(r)
		}
		*b, *err = nil, r
	default:
		panic(r)
	}
}

// ready returns the error of a heap that cannot be changed now.
func (g *guard) ready() error {
	switch {
	case g.closed:
		return alloc.ErrClosed
	case g.bad != nil:
		return g.bad
	case g.walking > 0:
		return alloc.ErrBusy
	}
	return nil
}

// mustBeOpen panics with the fault of a heap that is closed or corrupt.
func (g *guard) mustBeOpen(op string, b []byte) {
	switch {
	case g.closed:
		panic(&alloc.Fault{Op: op, Addr: addr(b), Size: len(b), Err: alloc.ErrClosed})
	case g.bad != nil:
		panic(&alloc.Fault{Op: op, Addr: addr(b), Size: len(b), Err: alloc.ErrCorrupt, Detail: g.bad.Error()})
	}
}

// mustBeStill panics with the fault of a heap that is being walked.
func (g *guard) mustBeStill(op string, b []byte) {
	if g.walking > 0 {
		panic(&alloc.Fault{Op: op, Addr: addr(b), Size: len(b), Err: alloc.ErrBusy})
	}
}
