package lsm

import (
	"errors"
	"fmt"

	"github.com/memlab-go/memlab/lsm/internal/corrupt"
	"github.com/memlab-go/memlab/lsm/vfs"
)

// What can go wrong. Errors of this package wrap one of these, or the error of
// the file system; test with [errors.Is].
var (
	// ErrNotFound says that the key has no value.
	ErrNotFound = errors.New("lsm: not found")
	// ErrClosed says that the store, the snapshot or the iterator is closed.
	ErrClosed = errors.New("lsm: closed")
	// ErrLocked says that the directory is open already, in this process or in
	// another; the error names the holder when it can be read.
	ErrLocked = vfs.ErrLocked
	// ErrCorrupt says that bytes on disk are not what was written. The details
	// are in a [*CorruptionError].
	ErrCorrupt = corrupt.ErrCorrupt
	// ErrReadOnly says that the store does not take writes: it was opened so, or
	// it has latched after a failure whose effect on the disk is unknown.
	ErrReadOnly = errors.New("lsm: read-only")
	// ErrTooLarge says that a key, a value or a batch passes a limit.
	ErrTooLarge = errors.New("lsm: too large")
	// ErrMemoryLimit says that the work needs more memory than
	// [Options.MemoryLimit] leaves.
	ErrMemoryLimit = errors.New("lsm: memory limit")
	// ErrOptions says that the options contradict each other or the store.
	ErrOptions = errors.New("lsm: bad options")
	// ErrBusy says that Close found open iterators or snapshots.
	ErrBusy = errors.New("lsm: iterators or snapshots are open")
	// ErrInPlace says that the store updates in place and thus has no snapshots.
	ErrInPlace = errors.New("lsm: no snapshots with in-place update")
	// ErrBadRange says that the end of a range is before its start.
	ErrBadRange = errors.New("lsm: bad range")
)

// A CorruptionError is [ErrCorrupt] with the file, the offset in it, what kind of
// structure was damaged and, for a table, the range of keys that is affected.
type CorruptionError = corrupt.Error

// repairHint wraps an error of Open that Repair may mend.
func repairHint(dir string, err error) error {
	return fmt.Errorf("lsm: open %s: %w (memlab lsm repair, or lsm.Repair, keeps what can still be read)", dir, err)
}
