package arena

import (
	"errors"
	"fmt"
)

// What can go wrong. Errors of this package wrap one of these; test with
// [errors.Is]. An [Error] carries the figures.
var (
	// ErrClosed says that the region or arena has been closed.
	ErrClosed = errors.New("closed")
	// ErrRange says that a range does not lie inside the region.
	ErrRange = errors.New("outside the region")
	// ErrUncommitted says that a range is not committed as a whole.
	ErrUncommitted = errors.New("not committed")
	// ErrSize says that a size or count is negative, overflows, or is more
	// than this system can address.
	ErrSize = errors.New("bad size")
	// ErrAlign says that an alignment is not a power of two, or that an offset
	// is not a multiple of the page size where it has to be.
	ErrAlign = errors.New("bad alignment")
	// ErrFull says that the region has no room left.
	ErrFull = errors.New("out of room")
	// ErrLimit says that Options.Limit would be passed. It is an ErrFull:
	// errors.Is(ErrLimit, ErrFull) is true.
	ErrLimit = fmt.Errorf("%w: byte limit reached", ErrFull)
	// ErrMark says that Release was given a mark that is not live: it was
	// released before, by itself or with an outer one, or is another arena's.
	ErrMark = errors.New("mark is not live")
	// ErrPointers says that a type holds Go pointers, which the collector
	// would not see in this memory.
	ErrPointers = errors.New("type has pointers")
	// ErrUnsupported says that the backing or the system cannot do this. It is
	// an [errors.ErrUnsupported].
	ErrUnsupported = fmt.Errorf("backing or system: %w", errors.ErrUnsupported)
)

// An Error is a failed operation on a region or an arena with what is known of
// it. Fields that do not apply are zero.
type Error struct {
	Op    string // "reserve", "commit", "decommit", "protect", "move", "close", "alloc", …
	Off   Offset // start of the range
	Size  int    // its length, or the bytes asked for
	Have  int    // bytes committed or used when it failed
	Limit int    // bytes there may be: the byte limit or the size of the region
	Err   error  // one of the sentinels above, or the system's error
}

// Error formats e as "arena: commit 8192 bytes at 0x1000: out of room: byte
// limit reached (have 4096, limit 8192)".
func (e *Error) Error() string {
	s := "arena: " + e.Op
	if e.Size != 0 {
		s += fmt.Sprintf(" %d bytes", e.Size)
	}
	if e.Off != 0 {
		s += fmt.Sprintf(" at %#x", uint64(e.Off))
	}
	s += ": " + e.Err.Error()
	if e.Limit > 0 {
		s += fmt.Sprintf(" (have %d, limit %d)", e.Have, e.Limit)
	}
	return s
}

// Unwrap returns the sentinel or the system's error.
func (e *Error) Unwrap() error { return e.Err }
