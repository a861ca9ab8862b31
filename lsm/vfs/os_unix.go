//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes flock(2)'s exclusive lock: unlike fcntl's it belongs to the
// open file, so a second Lock in the same process conflicts, and closing some
// other descriptor of the file does not drop it.
func lockFile(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errWouldBlock
		default:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// linkBetween makes a hard link with both directories named by descriptor, so
// that neither path is looked up again.
func linkBetween(from *osDir, name string, to *osDir, toName string) error {
	fd, err := from.root.Open(".")
	if err != nil {
		return err
	}
	td, err := to.root.Open(".")
	if err != nil {
		return errors.Join(err, fd.Close())
	}
	err = unix.Linkat(int(fd.Fd()), name, int(td.Fd()), toName, 0)
	if err != nil {
		err = &os.LinkError{Op: "link", Old: name, New: toName, Err: cannotLink(err, unix.EXDEV, unix.EPERM, unix.EMLINK)}
	}
	return errors.Join(err, fd.Close(), td.Close())
}

// syncDirFile syncs an open directory.
func syncDirFile(f *os.File) error { return f.Sync() }

// Map maps the file read-only and shared. The Go runtime is told nothing: it
// is memory like any other until unmap.
func (f *osFile) Map(size int) ([]byte, func() error, error) {
	if size <= 0 {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: os.ErrInvalid}
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
