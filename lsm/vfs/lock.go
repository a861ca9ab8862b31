package vfs

import (
	"errors"
	"os"
	"strconv"
)

// errWouldBlock is what lockFile returns when somebody else holds the lock.
var errWouldBlock = errors.New("lock is held")

// readHolder returns the process number in the lock file, or 0.
func readHolder(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0) // best effort: it only makes the message better
	return parsePID(b[:n])
}

// writeHolder notes who holds the lock, for the message of whoever comes
// second. A failure takes nothing away from the lock.
func writeHolder(f *os.File, pid int) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	}
}
