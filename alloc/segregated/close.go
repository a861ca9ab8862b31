package segregated

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/internal/invariants"
)

// Close ends the heap: every block and view of it is dead, and touching one
// may end the process. A region of the heap's own is released, one that was
// passed in stays the caller's, who closes it afterwards: a heap whose region is gone
// can only be closed, which returns [alloc.ErrClosed].
//
// The first call returns nil, or an [*alloc.LeakError] that lists the blocks
// that were still live, or the system's error if it would not release the
// region; the heap is closed in each case. Later calls return nil, and panic
// under the invariants build tag.
//
// A heap in a region of the File backing keeps its blocks, which is no leak: it
// is written to the device, and [Open] opens it again. Close the region then.
//
// Inside the function that [Heap.Compact] calls it returns [alloc.ErrBusy].
//
// In the modes Checked and Guarded the error also has what [Heap.Check] says of
// the blocks, and a region of the heap's own keeps its addresses up to the highest block,
// without any memory behind them: a view that is used after Close faults, always. Between
// what is kept there is no room for another such region: a process gets some 2000 of
// 64 GiB in its life, then twice as many of each half. On Windows, where a region keeps
// its addresses as a whole, there is nothing left then; who makes more passes regions.
func (h *Heap) Close() error {
	if h.closed {
		if invariants.Enabled {
			panic(&alloc.Fault{Op: "close", Err: alloc.ErrClosed})
		}
		return nil
	}
	if h.compacting != nil && h.compacting.mover != nil {
		return h.refusal("close")
	}
	if h.region.Bytes() == nil {
		h.detach()
		return fmt.Errorf("segregated: close: the region was closed before: %w", alloc.ErrClosed)
	}
	var leak error
	if !h.durable {
		leak = h.leaks()
	}
	if h.chk != nil && h.err == nil {
		leak = errors.Join(append([]error{leak}, h.chk.verify()...)...)
	}
	if h.durable {
		if err := h.leave(); err != nil {
			leak = errors.Join(leak, fmt.Errorf("segregated: close: %w", err))
		}
	}
	reached := h.reached()
	h.detach()
	if h.own && (h.chk == nil || !h.seal(reached)) {
		if err := h.region.Close(); err != nil {
			return fmt.Errorf("segregated: %w", err)
		}
	}
	return leak
}

// detach makes h a closed heap that touches its region no more.
func (h *Heap) detach() {
	h.closed = true
	h.disown()
	h.deferred, h.notes, h.idle, h.reserve, h.tiny = deferredFrees{}, notes{}, idleRuns{}, gap{}, tinyRuns{} // they are about what is no more
	h.arm()
	h.view = view{}
	h.setBases()
	for i := range h.classes {
		h.classes[i] = class{}
	}
}

// reached returns how far blocks have ever reached in the region, in bytes. In a heap that
// is damaged that may be anywhere.
func (h *Heap) reached() int {
	if h.err != nil {
		return h.region.Size()
	}
	return int(max(h.safe.highest, h.safe.commit) << granuleShift)
}

// seal gives the memory of the heap's own region back and keeps its addresses, so far as
// blocks have reached, inaccessible, so that they are nobody else's. It reports whether it
// could.
func (h *Heap) seal(reached int) bool {
	_ = h.region.Shrink(reached) // some systems cannot
	n := h.region.Size()
	return h.region.Decommit(0, n) == nil && (decommitCloses || h.region.Protect(0, n, arena.ProtNone) == nil)
}

// leaks returns the report of the live blocks, or nil if there are none.
func (h *Heap) leaks() error {
	err := alloc.NewLeakError(h)
	if leak, ok := err.(*alloc.LeakError); ok && h.trace != nil {
		for _, s := range h.sites() {
			if len(leak.Sites) < alloc.MaxLeakBlocks {
				leak.Sites = append(leak.Sites, alloc.LeakSite{Blocks: s.blocks, Bytes: s.bytes, Stack: h.trace.stack(s.stack)})
			}
		}
	}
	return err
}
