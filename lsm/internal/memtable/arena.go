package memtable

import (
	"errors"
	"math"
	"sync/atomic"
)

// ErrFull says that the arena has no room for an entry. The list is unchanged.
var ErrFull = errors.New("memtable: arena full")

// nodeAlign is the alignment of nodes, which atomic access to links requires.
const nodeAlign = 4

// An Arena hands out stretches of one piece of memory, from the front to the
// back, and takes nothing back. It is safe for concurrent use.
type Arena struct {
	mem  []byte
	used atomic.Int64 // bytes handed out; may pass len(mem) when it ran out
}

// NewArena makes an arena of mem, which must be aligned to 4 bytes and of which
// at most the first 4 GiB are used. The memory stays the caller's and must
// outlive the arena.
func NewArena(mem []byte) *Arena {
	if most := uint64(math.MaxUint32 &^ (nodeAlign - 1)); uint64(len(mem)) > most {
		mem = mem[:most]
	}
	a := &Arena{mem: mem[:len(mem)&^(nodeAlign-1)]}
	a.used.Store(nodeAlign) // offset 0 means "no node"
	return a
}

// Size returns the bytes handed out so far.
func (a *Arena) Size() int { return int(min(a.used.Load(), int64(len(a.mem)))) }

// Capacity returns the bytes there are.
func (a *Arena) Capacity() int { return len(a.mem) }

// alloc hands out size bytes at a multiple of nodeAlign. size must itself be a
// multiple of nodeAlign.
func (a *Arena) alloc(size int) (uint32, error) {
	end := a.used.Add(int64(size))
	if end > int64(len(a.mem)) {
		a.used.Add(-int64(size))
		return 0, ErrFull
	}
	return uint32(end - int64(size)), nil
}
