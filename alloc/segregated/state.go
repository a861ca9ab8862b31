package segregated

import (
	"fmt"
	"runtime"

	"github.com/memlab-go/memlab/alloc"
)

// refused reports whether the heap takes no calls, for now or for good.
func (h *Heap) refused() bool { return h.walking > 0 || h.ended() }

// ended reports whether the heap takes no calls for good.
func (h *Heap) ended() bool { return h.closed || h.err != nil }

// state returns why the heap takes no calls.
func (h *Heap) state() error {
	switch {
	case h.closed:
		return alloc.ErrClosed
	case h.err != nil:
		return alloc.ErrCorrupt
	}
	return alloc.ErrBusy
}

// refusal is the error of a call that the heap does not take.
func (h *Heap) refusal(op string) error {
	if h.err != nil && !h.closed {
		return h.err
	}
	return &alloc.Fault{Op: op, Err: h.state()}
}

// arm lets calls take the fast paths, or keeps them from it while the heap has
// a reason to see each of them.
func (h *Heap) arm() {
	h.hooked = h.sink != nil || h.zeroOnFree || h.chk != nil || h.trace != nil || h.refused()
	h.near, h.reach, h.wideSizes = 0, 0, 0
	if !h.hooked {
		h.wideSizes = wideCount
		h.reach = uintptr((h.top - h.first) << granuleShift)
		if h.near = h.reach; h.notes.end != 0 {
			h.near, h.wideSizes = 0, 0
		}
		return
	}
	for i := range h.classes {
		h.classes[i].avail = 0 // what Malloc has not taken is still free in the run
	}
}

// catch turns a failed bounds check into what it means: metadata that points
// outside of the heap. It is deferred by the slow paths. With err it sets the
// error, without it panics with the fault. Other panics go on.
func (h *Heap) catch(op string, b []byte, err *error) {
	r := recover()
	if r == nil {
		return
	}
	fault := h.caught(r)
	if err == nil {
		panic(h.badBlock(op, b, fault))
	}
	*err = fault
}

// caught is catch for the value r of a panic. The paths that are only somewhat
// slow defer a call of it for when they do not come to their end, which costs
// less.
func (h *Heap) caught(r any) error {
	if _, ok := r.(runtime.Error); !ok {
		panic(r)
	}
	h.fail("%v", r)
	return h.err
}

// fail remembers that the metadata is damaged, for good: every later call gets
// [alloc.ErrCorrupt]. It returns false, for callers to pass on.
func (h *Heap) fail(format string, args ...any) bool {
	if h.err == nil {
		h.err = &alloc.Fault{Op: "check", Err: fmt.Errorf("segregated: %w: "+format, append([]any{alloc.ErrCorrupt}, args...)...)}
		h.arm()
	}
	return false
}

// badBlock is the fault for the block argument b.
func (h *Heap) badBlock(op string, b []byte, err error) *alloc.Fault {
	return &alloc.Fault{Op: op, Addr: addrOf(b), Size: len(b), Err: err}
}

// foreign is the fault for b, which lies outside of the region.
func (h *Heap) foreign(op string, b []byte) *alloc.Fault {
	f := h.badBlock(op, b, alloc.ErrForeign)
	f.Owner = h.owners.Of(b)
	return f
}
