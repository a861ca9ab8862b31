package segregated

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/internal/invariants"
)

// Close ends the heap: every block and view of it is dead, and touching one
// may end the process. A region of the heap's own is released, one that was
// passed in stays the caller's.
//
// The first call returns nil, or an [*alloc.LeakError] that lists the blocks
// that were still live, or the system's error if it would not release the
// region; the heap is closed in each case. Later calls return nil, and panic
// under the invariants build tag.
func (h *Heap) Close() error {
	if h.closed {
		if invariants.Enabled {
			panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
		}
		return nil
	}
	leak := alloc.NewLeakError(h)
	h.closed = true
	h.arm()
	h.view = view{}
	h.setBases()
	for i := range h.classes {
		h.classes[i] = class{}
	}
	if h.own {
		if err := h.region.Close(); err != nil {
			return fmt.Errorf("segregated: %w", err)
		}
	}
	return leak
}
