package fit

import (
	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/internal/invariants"
)

// What builds with the invariants tag fill memory with: fresh blocks, whose
// contents nobody may count on, and freed ones, which nobody may read.
const (
	freshByte = 0xaa
	freedByte = 0xdd
)

// Such builds check heaps of up to this many blocks after each operation.
const checkedBlocks = 64

// fill overwrites b in builds with the invariants tag.
func fill(b []byte, with byte) {
	if invariants.Enabled {
		for i := range b {
			b[i] = with
		}
	}
}

// assertSound panics with the fault if the heap c, of so many blocks, breaks a
// law, in builds with the invariants tag.
func assertSound(c alloc.Checker, blocks int) {
	if invariants.Enabled && blocks <= checkedBlocks {
		if err := c.Check(); err != nil {
			panic(err)
		}
	}
}
