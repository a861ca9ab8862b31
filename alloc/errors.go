package alloc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/memlab-go/memlab/arena"
)

// What can go wrong. Errors of this package wrap one of these; test with
// [errors.Is].
var (
	// ErrSize says that a size or count is negative, overflows, or cannot be
	// represented on this system.
	ErrSize = errors.New("bad size")
	// ErrAlign says that an alignment is not a power of two or is too large.
	ErrAlign = errors.New("bad alignment")
	// ErrNoMemory says that the limit, the region or the system has no room;
	// see [NoMemoryError] for the figures.
	ErrNoMemory = errors.New("out of memory")
	// ErrClosed says that the allocator has been closed.
	ErrClosed = errors.New("allocator closed")

	// ErrDoubleFree says that the block was free already.
	ErrDoubleFree = errors.New("block already free")
	// ErrInvalidFree says that the address is in the heap but no live block
	// starts there.
	ErrInvalidFree = errors.New("not the start of a live block")
	// ErrForeign says that the address does not belong to this allocator.
	ErrForeign = errors.New("address not of this allocator")
	// ErrCorrupt says that the heap's own structures are damaged. It is
	// sticky: the heap refuses further work.
	ErrCorrupt = errors.New("heap metadata corrupt")
	// ErrPointers says that a type holds Go pointers, which the collector
	// would not see in this memory.
	ErrPointers = errors.New("type has pointers")
	// ErrOverflow says that bytes past the end of a block were written.
	ErrOverflow = errors.New("write past the end of a block")
	// ErrUnderflow says that bytes before the start of a block were written.
	ErrUnderflow = errors.New("write before the start of a block")
	// ErrWriteAfterFree says that a block was written after it was freed.
	ErrWriteAfterFree = errors.New("write after free")
	// ErrUseAfterFree says that a block was read or written after it was freed.
	ErrUseAfterFree = errors.New("access after free")
	// ErrBusy says that the heap is being walked or compacted and cannot change.
	ErrBusy = errors.New("heap is being walked or compacted")
	// ErrLeak says that blocks were live at Close.
	ErrLeak = errors.New("blocks still live")
)

// A Fault is misuse or damage that an allocator found. It is what a bad block
// argument panics with; [Try] returns it as an error.
type Fault struct {
	Op    string       // the call: "free", "realloc", "usable", "check", …
	Addr  uintptr      // the address that was passed, 0 if none; never dereferenced
	Off   arena.Offset // the same as an offset, when InRegion
	Size  int          // length of the view that was passed, or bytes asked for
	Owner string       // who owns the address, when known; see Owners
	Block *Block       // the block that contains the address, when known
	At    int          // of damage and bad accesses: the byte of Block that it begins at, negative before it

	InRegion   bool      // the address lies inside the allocator's region
	AllocStack []uintptr // program counters of the allocation, when traced
	FreeStack  []uintptr // program counters of the earlier free, when traced

	Detail string // what exactly is wrong, in place of Err's words; may be empty
	Err    error  // one of the sentinels above, never nil
}

// Error formats f as "alloc: free 0x40: block already free", with what else is
// known in parentheses. Detail, if any, takes the place of Err's words.
func (f *Fault) Error() string {
	var sb strings.Builder
	sb.WriteString("alloc: " + f.Op)
	switch {
	case f.InRegion:
		fmt.Fprintf(&sb, " %#x", uint64(f.Off))
	case f.Addr != 0:
		fmt.Fprintf(&sb, " address %#x", f.Addr)
	}
	sb.WriteString(": ")
	if f.Detail != "" {
		sb.WriteString(f.Detail)
	} else {
		sb.WriteString(f.Err.Error())
	}
	if f.Block != nil {
		state := "free"
		if f.Block.Used {
			state = "live"
		}
		fmt.Fprintf(&sb, " (%d bytes into the %s block of %d bytes at %#x)",
			f.Off-f.Block.Off, state, f.Block.Size, uint64(f.Block.Off))
	}
	if f.Owner != "" {
		fmt.Fprintf(&sb, " (owner: %s)", f.Owner)
	}
	return sb.String()
}

// Unwrap returns the sentinel, so that errors.Is(f, ErrDoubleFree) works.
func (f *Fault) Unwrap() error { return f.Err }

// A NoMemoryError is [ErrNoMemory] with the figures a caller needs to decide
// what to do.
type NoMemoryError struct {
	Op          string // the call that failed
	Requested   int    // bytes asked for
	Limit       int    // bytes the allocator may use: its limit option, else what its region holds
	LargestFree int    // bytes of the largest free block
	Err         error  // the system's error, if it refused; else nil
}

// Error gives the request, the limit and the largest free block in bytes.
func (e *NoMemoryError) Error() string {
	s := fmt.Sprintf("alloc: %s %d bytes: %v (limit %d, largest free block %d)",
		e.Op, e.Requested, ErrNoMemory, e.Limit, e.LargestFree)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns ErrNoMemory and the system's error, if any.
func (e *NoMemoryError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrNoMemory}
	}
	return []error{ErrNoMemory, e.Err}
}
