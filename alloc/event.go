package alloc

import "github.com/memlab-go/memlab/arena"

// EventKind says what an [Event] reports.
type EventKind uint8

// The kinds of event. The first group is what the caller did, the second what
// the heap did with its blocks, the third which bytes of the region it touched.
const (
	EventMalloc  EventKind = iota + 1 // a block was handed out: Off, Size (asked for), Usable
	EventCalloc                       // the same, zeroed
	EventRealloc                      // a block changed size: Old (offset before), Off, Size, Usable
	EventFree                         // a block was taken back: Off, Usable
	EventFailed                       // a call returned ErrNoMemory: Size

	EventSplit    // a free block was cut: Off, Size (what was kept), Usable (before)
	EventCoalesce // neighbours were joined: Off, Size (after)
	EventCommit   // pages became usable: Off, Size
	EventDecommit // pages went back to the system: Off, Size
	EventMove     // pages lie elsewhere now, without being copied: Old, Off, Size

	EventRead  // the heap read Size bytes at Off (metadata or links)
	EventWrite // the heap wrote Size bytes at Off
)

// An Event is one thing an allocator did. Events are values, small, and valid
// without the heap; offsets are in the heap's region.
type Event struct {
	Kind   EventKind
	Off    arena.Offset
	Old    arena.Offset // EventRealloc, EventMove: where the block was, where the pages were
	Size   int
	Usable int
}

// A Sink receives events in the order they happen, on the goroutine that caused
// them. It must not call the allocator. A nil Sink costs one branch per call.
type Sink func(Event)
