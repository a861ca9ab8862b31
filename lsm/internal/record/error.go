package record

import (
	"fmt"
)

// A Reason says what was wrong with a chunk.
type Reason uint8

// The reasons.
const (
	BadChecksum Reason = iota + 1 // the CRC does not match
	BadLength                     // the chunk would cross its block
	BadType                       // a type this format does not have
	Cut                           // the file ends inside the chunk or its record
	Zeros                         // never-written space where a chunk should be
	NoFirst                       // MIDDLE or LAST without a FIRST
	NoLast                        // FULL or FIRST while a record is unfinished
)

// String describes r.
func (r Reason) String() string {
	switch r {
	case BadChecksum:
		return "checksum mismatch"
	case BadLength:
		return "bad chunk length"
	case BadType:
		return "unknown chunk type"
	case Cut:
		return "file ends inside a record"
	case Zeros:
		return "zeros where a chunk should be"
	case NoFirst:
		return "fragment without a start"
	case NoLast:
		return "record without an end"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// An Error says where a log stops being what was written.
type Error struct {
	Off    int64  // the chunk that is wrong
	Record int64  // where the record that is lost began; ≤ Off
	Reason Reason // what is wrong with it
	// Next is the first valid chunk at or behind Off, -1 when there is none.
	Next int64
	// Hole says that a whole aligned 512-byte sector of the chunk is zero, as
	// a power failure leaves it when later sectors reached the disk first, and
	// that no flip of a single bit explains the damage instead.
	Hole bool
	Size int64 // length of the file
}

// Torn reports whether the damage can be the unfinished last write: nothing
// valid follows.
func (e *Error) Torn() bool { return e.Next < 0 }

// Error gives the offset, the reason and what follows.
func (e *Error) Error() string {
	s := fmt.Sprintf("record at %#x: %v at %#x", e.Record, e.Reason, e.Off)
	switch {
	case e.Torn():
		return s + fmt.Sprintf(", nothing valid in the %d bytes behind it", e.Size-e.Off)
	case e.Hole:
		s += " (a sector that was never written)"
	}
	return s + fmt.Sprintf(", valid data follows at %#x", e.Next)
}
