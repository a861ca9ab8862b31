package corrupt

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCorrupt is wrapped by every [Error].
var ErrCorrupt = errors.New("corruption")

// What was damaged: the values of [Error.Kind].
const (
	Log         = "log record"
	Manifest    = "manifest record"
	Current     = "CURRENT"
	DataBlock   = "data block"
	IndexBlock  = "index block"
	FilterBlock = "filter block"
	MetaBlock   = "metaindex block"
	RangeBlock  = "range tombstone block"
	Footer      = "footer"
	Table       = "table" // the file as a whole: wrong size, wrong identity
)

// An Error says which bytes of which file failed their check.
type Error struct {
	File string // name in the store's directory
	Kind string // one of the constants above
	Off  int64  // byte offset in File, -1 when unknown
	// Lo and Hi bound the user keys that are out of reach because of the
	// damage: Lo < key ≤ Hi. Nil means unbounded or unknown.
	Lo, Hi []byte
	Err    error // what the check said, never nil
}

// New returns an Error whose Err is formatted from the arguments.
func New(file, kind string, off int64, format string, args ...any) *Error {
	return &Error{File: file, Kind: kind, Off: off, Err: fmt.Errorf(format, args...)}
}

// Error gives file, offset, kind, reason and, when known, the range of keys.
func (e *Error) Error() string {
	var sb strings.Builder
	sb.WriteString("lsm: ")
	if e.File != "" {
		sb.WriteString(e.File)
	} else {
		sb.WriteString("table")
	}
	if e.Off >= 0 {
		fmt.Fprintf(&sb, ": offset %#x", e.Off)
	}
	fmt.Fprintf(&sb, ": corrupt %s: %v", e.Kind, e.Err)
	if e.Lo != nil || e.Hi != nil {
		fmt.Fprintf(&sb, " (keys after %q up to %q are affected)", e.Lo, e.Hi)
	}
	return sb.String()
}

// Unwrap returns ErrCorrupt and the reason.
func (e *Error) Unwrap() []error { return []error{ErrCorrupt, e.Err} }
