//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// diskSize returns the bytes of data that a file has on the disk: neither holes count
// nor what is allocated behind its end.
func diskSize(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), int64(st.Blocks)*512)
	}
	return info.Size()
}
