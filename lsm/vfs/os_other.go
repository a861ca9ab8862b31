//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package vfs

import (
	"errors"
	"os"
)

// lockFile grants every lock: these systems (js, wasip1, plan9, ...) offer none that
// dies with its holder.
func lockFile(*os.File) error { return nil }

func linkBetween(_ *osDir, name string, _ *osDir, toName string) error {
	return &os.LinkError{Op: "link", Old: name, New: toName, Err: errors.ErrUnsupported}
}

// syncDirFile syncs an open directory where the system can.
func syncDirFile(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
