package segregated

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/memlab-go/memlab/alloc"
)

// Try calls f and returns the [*alloc.Fault] that it panicked with, as
// [alloc.Try] does, and one for an access to a page that h keeps closed: the
// guards of a guarded block ([alloc.ErrOverflow], [alloc.ErrUnderflow]), a
// guarded block that was freed ([alloc.ErrUseAfterFree]), and in the modes
// Checked and Guarded any block of a heap that was closed and had a region of
// its own ([alloc.ErrClosed]). Without Try such an access ends the process, with
// a report of the runtime that names the address and the line. Other panics go
// on.
//
// The fault is at the access, so f has been left in the middle. Goroutines that
// f starts are not covered ([debug.SetPanicOnFault] is for one goroutine).
func (h *Heap) Try(f func()) error { return try(f, h.accessFault) }

// try calls f and returns the fault that it panicked with, or the one that
// explain makes of another panic; nil means that the panic goes on.
func try(f func(), explain func(any) *alloc.Fault) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *alloc.Fault:
			err = r
		default:
			fault := explain(r)
			if fault == nil {
				panic(r)
			}
			err = fault
		}
	}()
	f()
	return nil
}

// addressed is what the runtime's error for an access to a bad address has.
type addressed interface {
	runtime.Error
	Addr() uintptr
}

// accessFault returns the fault that the panic r stands for, nil if it is no
// access to a page that h keeps closed.
func (h *Heap) accessFault(r any) *alloc.Fault {
	e, ok := r.(addressed)
	if !ok || h.chk == nil {
		return nil
	}
	off := uint64(e.Addr() - h.chk.base)
	if off >= h.chk.extent {
		return nil
	}
	f := &alloc.Fault{Op: "access", Addr: e.Addr(), Off: offset(off), InRegion: true}
	switch {
	case h.closed:
		f.Err = alloc.ErrClosed
	case h.chk.guards.covers(off):
		h.chk.guards.explain(f, off)
	default:
		return nil
	}
	return f
}

// explain says what the access to the closed page of offset off was.
func (g *guards) explain(f *alloc.Fault, off uint64) {
	if r, ok := g.around(off); ok {
		f.Block = &alloc.Block{Off: offset(r.user), Size: int(r.size), Used: true}
		f.AllocStack = g.c.stackOf(r.stack)
		f.At = int(f.Off - f.Block.Off)
		if off < r.user {
			f.Err, f.Detail = alloc.ErrUnderflow, fmt.Sprintf("access %d bytes before a block", r.user-off)
		} else {
			f.Err, f.Detail = alloc.ErrOverflow, fmt.Sprintf("access %d bytes past the end of a block", off-r.user-r.size)
		}
		return
	}
	f.Err = alloc.ErrUseAfterFree
	blk, ok := g.c.h.containing(off)
	if !ok {
		return
	}
	if old, ok := g.recent[uint64(blk.Off)/g.c.h.pageSize]; ok {
		f.Block = &alloc.Block{Off: offset(old.user), Size: int(old.size)}
		f.AllocStack, f.FreeStack = g.c.stackOf(old.stack), g.c.stackOf(old.freeStack)
		f.At = int(f.Off - f.Block.Off)
	}
}
