package alloc

import (
	"fmt"
	"runtime"
	"strings"
)

// A LeakError is [ErrLeak] with what was still live at Close. The memory is
// gone all the same: Close always closes.
type LeakError struct {
	Blocks int        // live blocks
	Bytes  int        // their usable bytes
	First  []Block    // the first of them by address, at most [MaxLeakBlocks]
	Sites  []LeakSite // where they were allocated, most bytes first; nil unless stacks were traced
}

// MaxLeakBlocks is how many blocks a [LeakError] lists.
const MaxLeakBlocks = 10

// A LeakSite is one call stack that allocated blocks which are still live.
type LeakSite struct {
	Blocks int       // live blocks allocated here
	Bytes  int       // their usable bytes
	Stack  []uintptr // program counters, innermost first, for [runtime.CallersFrames]
}

// NewLeakError returns the report of w's live blocks, or nil if there are none.
// O(blocks).
func NewLeakError(w Walker) error {
	e := &LeakError{}
	for b := range w.Blocks() {
		if !b.Used {
			continue
		}
		e.Blocks++
		e.Bytes += b.Size
		if len(e.First) < MaxLeakBlocks {
			e.First = append(e.First, b)
		}
	}
	if e.Blocks == 0 {
		return nil
	}
	return e
}

// Error gives the counts, then the first blocks and the sites, one a line.
func (e *LeakError) Error() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "alloc: close: %v: %d blocks, %d bytes", ErrLeak, e.Blocks, e.Bytes)
	for _, b := range e.First {
		fmt.Fprintf(&sb, "\n\t%#x: %d bytes", uint64(b.Off), b.Size)
	}
	if more := e.Blocks - len(e.First); more > 0 && len(e.First) > 0 {
		fmt.Fprintf(&sb, "\n\tand %d more", more)
	}
	for _, s := range e.Sites {
		fmt.Fprintf(&sb, "\n\t%d blocks, %d bytes at %s", s.Blocks, s.Bytes, s.location())
	}
	return sb.String()
}

// Unwrap returns ErrLeak.
func (e *LeakError) Unwrap() error { return ErrLeak }

// location is the innermost frame of the stack: "function (file:line)".
func (s LeakSite) location() string {
	if len(s.Stack) == 0 {
		return "an unknown place"
	}
	f, _ := runtime.CallersFrames(s.Stack).Next()
	return fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line)
}
