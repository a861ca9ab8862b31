package vfs

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockFile locks one byte far behind the end, so that the holder's number can
// still be read. The lock belongs to the handle: a second one in the same
// process conflicts.
func lockFile(f *os.File) error {
	ov := windows.Overlapped{OffsetHigh: 0x7fffffff}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &ov)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return errWouldBlock
	}
	return &os.PathError{Op: "LockFileEx", Path: f.Name(), Err: err}
}

// linkBetween links by path: Windows has no call that takes directory handles.
// Both names were checked to be local.
func linkBetween(from *osDir, name string, to *osDir, toName string) error {
	err := os.Link(filepath.Join(from.path, filepath.FromSlash(name)),
		filepath.Join(to.path, filepath.FromSlash(toName)))
	return cannotLink(err, windows.ERROR_NOT_SAME_DEVICE, windows.ERROR_INVALID_FUNCTION, windows.ERROR_TOO_MANY_LINKS)
}

// syncDirFile does nothing: NTFS logs directory changes itself, and
// FlushFileBuffers refuses a directory that was opened for reading.
func syncDirFile(*os.File) error { return nil }
