//go:build linux || darwin || freebsd

package arena

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// haveFileMapping says that the File backing exists here.
const haveFileMapping = true

// nextData returns the first stretch [data, hole) of the file at or after off
// that holds data, io.EOF if there is none. A file system that keeps no record
// of holes counts as full to the end.
func nextData(f *os.File, off, length int64) (data, hole int64, err error) {
	data, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, 0, io.EOF
	case errors.Is(err, unix.EINVAL):
		return off, length, nil
	case err != nil:
		return 0, 0, err
	}
	hole, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	return data, hole, err
}
