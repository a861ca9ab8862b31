package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// An FS opens directories.
type FS interface {
	// OpenDir opens the directory at path, which is in the system's own form.
	// With create it makes the directory and its parents if they are missing,
	// and syncs the parent of what it made.
	OpenDir(path string, create bool) (Dir, error)
}

// A Dir is an open directory. Names are relative to it.
type Dir interface {
	// Path returns the path the directory was opened with, for messages.
	Path() string

	// Open opens an existing file for ReadAt. Writing to it is an error.
	Open(name string) (File, error)

	// Create makes an empty file for writing, replacing any that is there.
	Create(name string) (File, error)

	// Append opens an existing file for writing at its end.
	Append(name string) (File, error)

	// Rename moves a file to a new name in one step, replacing any file
	// there.
	Rename(from, to string) error

	// Remove deletes a file or an empty directory.
	Remove(name string) error

	// Link makes toName in to another name of the file name. Both
	// directories must come from the same FS. Where the system cannot link,
	// the error wraps [errors.ErrUnsupported].
	Link(name string, to Dir, toName string) error

	// Mkdir makes a directory; that it exists is no error.
	Mkdir(name string) error

	// List returns the names of the entries, sorted.
	List() ([]string, error)

	// Stat describes the entry.
	Stat(name string) (Info, error)

	// Sync makes the entries durable: what was created, renamed, linked and
	// removed before it stays so after a crash.
	Sync() error

	// Lock takes the lock file name, creating it if need be, or fails with a
	// [*LockError] at once. Two Locks conflict inside one process too.
	// Closing the result gives the lock back; the file stays.
	Lock(name string) (io.Closer, error)

	// Close releases the directory. Open files stay open.
	Close() error
}

// A File is an open file.
type File interface {
	// ReadAt reads as [io.ReaderAt] does.
	io.ReaderAt

	// Write appends to the file.
	io.Writer

	// Sync makes the bytes durable, not the name: see [Dir.Sync].
	Sync() error

	// Truncate cuts the file; later writes append at the new end. The file
	// must have been opened for writing.
	Truncate(size int64) error

	// Size returns the length in bytes.
	Size() (int64, error)

	// Close releases the file. It does not sync.
	Close() error
}

// A Mapper is a File that can be mapped into memory, read-only.
type Mapper interface {
	// Map maps the first size bytes. The bytes stay valid until unmap, also
	// after Close. Touching a page that the file has lost since (it was
	// truncated under us) is a fault: see [runtime/debug.SetPanicOnFault].
	Map(size int) (b []byte, unmap func() error, err error)
}

// Info describes a file.
type Info struct {
	Name    string
	Size    int64 // bytes
	Dir     bool
	ModTime time.Time
}

// ErrLocked says that somebody else holds the lock; see [LockError].
var ErrLocked = errors.New("directory is locked")

// A LockError is [ErrLocked] with what is known of the holder.
type LockError struct {
	Path string // the lock file
	PID  int    // process that holds it, 0 when it is not readable
}

// Error names the lock file and the holder.
func (e *LockError) Error() string {
	s := "vfs: " + e.Path + ": " + ErrLocked.Error()
	if e.PID != 0 {
		s += " by process " + strconv.Itoa(e.PID)
	}
	return s
}

// Unwrap returns ErrLocked.
func (e *LockError) Unwrap() error { return ErrLocked }

// checkName refuses what is not a local, clean, slash-separated name.
func checkName(op, name string) error {
	if name == "." || !fs.ValidPath(name) || strings.ContainsAny(name, "\x00\\") {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return nil
}

// parsePID reads the holder's process number from the contents of a lock file.
func parsePID(b []byte) int {
	var pid int
	if _, err := fmt.Sscanf(string(b), "%d", &pid); err != nil || pid < 0 {
		return 0
	}
	return pid
}
