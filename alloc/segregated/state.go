package segregated

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
)

// refused reports whether the heap takes no more calls.
func (h *Heap) refused() bool { return h.closed || h.err != nil }

// state returns why the heap takes no more calls.
func (h *Heap) state() error {
	if h.closed {
		return alloc.ErrClosed
	}
	return alloc.ErrCorrupt
}

// refusal is the error of a call that a closed or corrupt heap does not take.
func (h *Heap) refusal(op string) error {
	if h.closed {
		return &alloc.Fault{Op: op, Err: alloc.ErrClosed}
	}
	return h.err
}

// fail remembers that the metadata is damaged, for good: every later call gets
// [alloc.ErrCorrupt]. It returns false, for callers to pass on.
func (h *Heap) fail(format string, args ...any) bool {
	if h.err == nil {
		h.err = &alloc.Fault{Op: "check", Err: fmt.Errorf("segregated: %w: "+format, append([]any{alloc.ErrCorrupt}, args...)...)}
		h.disable()
	}
	return false
}

// disable sends every call to the slow paths.
func (h *Heap) disable() {
	h.hooked = true
	h.reach = 0
	for i := range h.classes {
		h.classes[i].avail = 0
	}
}

// badBlock is the fault for the block argument b.
func (h *Heap) badBlock(op string, b []byte, err error) *alloc.Fault {
	return &alloc.Fault{Op: op, Addr: addrOf(b), Size: len(b), Err: err}
}
