package paging

import (
	"math/bits"
	"math/rand/v2"
)

// usedBlocks is how many of the last uses the model program can come back to.
const usedBlocks = 1 << 16

// useBytes is how much of a block one use touches: a cache line.
const useBytes = 64

// A block is what the program knows of one id.
type block struct {
	off, size uint64 // where it lies in the region, and its bytes
	gen       uint32 // of the id; odd while the block is live
}

// A use is one entry of the history: a block that was used, if it still is.
type use struct {
	id  int32
	gen uint32
}

// program is the model of the package comment: it chooses blocks to use.
type program struct {
	rng    *rand.Rand
	blocks []block
	recent []use // a ring
	n      uint64
}

func newProgram(ids int, seed uint64) *program {
	return &program{rng: rand.New(rand.NewPCG(seed, 0x757365)), blocks: make([]block, ids), recent: make([]use, usedBlocks)}
}

// begin makes id a live block.
func (p *program) begin(id int32, off, size uint64) {
	b := &p.blocks[id]
	b.off, b.size, b.gen = off, size, b.gen+1
	p.used(id)
}

// moved gives a live block another place and size.
func (p *program) moved(id int32, off, size uint64) {
	p.blocks[id].off, p.blocks[id].size = off, size
	p.used(id)
}

// end ends the life of a block, if it is live.
func (p *program) end(id int32) {
	if p.live(id) {
		p.blocks[id].gen++
	}
}

func (p *program) live(id int32) bool { return p.blocks[id].gen&1 == 1 }

// used puts the block in front of the history.
func (p *program) used(id int32) {
	p.recent[p.n%usedBlocks] = use{id, p.blocks[id].gen}
	p.n++
}

// next chooses a use: the range of the region to touch, and whether to write it; n
// is 0 if no live block was found.
func (p *program) next() (off, n uint64, write bool) {
	const tries = 4
	for range tries {
		r := p.rank()
		at, write := p.rng.Uint64(), p.rng.Uint32()&3 == 0
		if r == 0 {
			continue
		}
		u := p.recent[(p.n-r)%usedBlocks]
		b := &p.blocks[u.id]
		if b.gen != u.gen || b.size == 0 {
			continue // it has ended since
		}
		p.used(u.id)
		in := at % b.size &^ (useBytes - 1)
		return b.off + in, min(useBytes, b.size-in), write
	}
	return 0, 0, false
}

// rank draws how many uses ago the block was used, with a probability that falls as
// the rank's inverse: a power of two, all alike, then a number up to the next.
// 0: there was none.
func (p *program) rank() uint64 {
	n := min(p.n, usedBlocks)
	if n == 0 {
		return 0
	}
	k := p.rng.IntN(bits.Len64(n))
	if r := uint64(1)<<k + p.rng.Uint64N(1<<k); r <= n {
		return r
	}
	return n
}
