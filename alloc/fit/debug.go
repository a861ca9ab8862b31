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

// Such builds check heaps of up to this many blocks, in regions of up to this
// many bytes, after each operation.
const (
	checkedBlocks = 24
	checkedSize   = 1 << 30
)

// fillLimit is how many bytes of a block are filled at most.
const fillLimit = 64 << 10

// fill overwrites the start of b in builds with the invariants tag.
func fill(b []byte, with byte) {
	if invariants.Enabled {
		b = b[:min(len(b), fillLimit)]
		for i := range b {
			b[i] = with
		}
	}
}

// assertSound panics with the fault if the heap c, of so many blocks and bytes,
// breaks a law, in builds with the invariants tag.
func assertSound(c alloc.Checker, blocks, size int) {
	if invariants.Enabled && blocks <= checkedBlocks && size <= checkedSize {
		if err := c.Check(); err != nil {
			panic(err)
		}
	}
}
