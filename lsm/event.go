package lsm

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// An EventKind says what an [Event] reports.
type EventKind uint8

// The kinds of event.
const (
	FlushBegin      EventKind = iota + 1 // a memtable is being written to level 0: Bytes
	FlushEnd                             // it was: Files, Bytes, Took, or Err
	CompactionBegin                      // tables are being merged: Level, Files, Bytes (of the inputs)
	CompactionEnd                        // they were: Level (of the output), Files, Bytes (of the output), Took, or Err
	StallBegin                           // a write waits: Reason
	StallEnd                             // it goes on: Took
	FileRemoved                          // an obsolete file was removed: Name
	Latched                              // the store has become read-only: Err
)

// String names k.
func (k EventKind) String() string {
	names := [...]string{"", "flush-begin", "flush-end", "compaction-begin", "compaction-end",
		"stall-begin", "stall-end", "file-removed", "latched"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// An Event is one thing the store did in the background. Fields that do not apply
// are zero.
type Event struct {
	Kind   EventKind
	Level  int
	Files  int
	Bytes  int64
	Took   time.Duration
	Name   string // a file in the directory
	Reason string
	Err    error
}

// emit tells the listener and the log. Events come one at a time.
func (d *DB) emit(e Event) {
	d.tell(e)
	if l := d.opts.Logger; l != nil {
		level := slog.LevelInfo
		if e.Err != nil {
			level = slog.LevelError
		}
		l.Log(context.Background(), level, e.Kind.String(), "level", e.Level, "files", e.Files, "bytes", e.Bytes,
			"took", e.Took, "name", e.Name, "reason", e.Reason, "err", e.Err)
	}
}

// tell calls the listener. The lock is released also when the listener panics
// or ends its goroutine, so that the store can still be closed.
func (d *DB) tell(e Event) {
	if d.opts.Events == nil {
		return
	}
	d.eventMu.Lock()
	defer d.eventMu.Unlock()
	d.opts.Events(e)
}

// log tells the operator something that is not an event.
func (d *DB) log(msg string, args ...any) {
	if l := d.opts.Logger; l != nil {
		l.Warn(msg, args...)
	}
}
