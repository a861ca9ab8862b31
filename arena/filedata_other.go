//go:build !linux && !darwin && !freebsd

package arena

import "os"

// haveFileMapping says that the File backing does not exist here.
const haveFileMapping = false

func nextData(f *os.File, off, length int64) (data, hole int64, err error) {
	return 0, 0, ErrUnsupported
}
