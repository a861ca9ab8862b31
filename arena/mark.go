package arena

import "github.com/memlab-go/memlab/internal/invariants"

// A Mark is a position of an [Arena] to which [Arena.Release] goes back. The
// zero Mark is no position of any arena.
type Mark struct {
	arena  *Arena
	serial uint64 // of the call that made it
	depth  int    // marks that were live before it
	chunk  int    // the chunk that was being filled
	pos    int    // and how far
}

// Mark remembers the current position. Marks form a stack: releasing one
// releases those made after it. A mark that is never released costs a few
// words until the next Reset. O(1) amortised.
func (a *Arena) Mark() Mark {
	a.serial++
	m := Mark{arena: a, serial: a.serial, depth: len(a.marks), chunk: a.cur}
	if a.cur < len(a.chunks) {
		m.pos = a.chunks[a.cur].pos
	}
	a.marks = append(a.marks, m)
	return m
}

// Release takes back everything that was allocated since m was made: those
// views are dead and so are m and the marks made after it. The memory stays
// committed for reuse.
//
// A mark that is not live any more, because it or one that was made before it
// has been released, or the arena reset, is [ErrMark], and nothing changes;
// so is another arena's. Under the invariants build tag that panics. O(chunks
// released).
func (a *Arena) Release(m Mark) error {
	if m.arena != a || m.depth >= len(a.marks) || a.marks[m.depth].serial != m.serial {
		err := &Error{Op: "release", Off: Offset(m.pos), Err: ErrMark}
		if invariants.Enabled {
			panic(err)
		}
		return err
	}
	a.marks = a.marks[:m.depth]
	a.rewind(m.chunk, m.pos)
	return nil
}

// rewind makes pos in chunk cur the current position.
func (a *Arena) rewind(cur, pos int) {
	a.peak = max(a.peak, a.used())
	for i := cur; i < len(a.chunks); i++ {
		c := a.chunks[i]
		to := 0
		if i == cur {
			to = pos
		}
		c.dirty = max(c.dirty, c.pos)
		if invariants.Enabled && to < c.pos {
			fill(c.mem[to:min(c.pos, to+mostFilled)], 0xDD)
		}
		c.pos = to
	}
	a.cur = cur
}

// mostFilled is the number of released bytes of a chunk that are filled in
// builds that look for mistakes: filling touches pages.
const mostFilled = 1 << 20

// fill sets every byte of b to v.
func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}
