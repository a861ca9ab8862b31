package replay

import (
	"fmt"
	"iter"

	"github.com/memlab-go/memlab/alloc"
	"github.com/memlab-go/memlab/arena"
)

// A compacter is a heap that can move its blocks, when whoever refers to them
// helps; see [segregated.Heap.Compact].
type compacter interface {
	Compact(budget int, move func(from, to []byte) bool) (int, error)
	Offset(b []byte) arena.Offset
	Blocks() iter.Seq[alloc.Block]
}

// A mover calls Compact of a heap while it is replayed: after every so many bytes
// that were allocated, with moverBudget times as many as the budget. It knows the owner of each
// block, a number of the replay's, by the block's offset, and has the replay
// change what it knows of an owner whose block has moved. A nil mover does nothing.
type mover struct {
	every int
	h     compacter
	base  uintptr  // address of the first block in the heap, 0 while it is not known
	owner []uint32 // by distance from base/moverGrain
	fix   func(owner uint32, to []byte)
	move  func(from, to []byte) bool // moved

	due              int // bytes allocated since the last Compact
	allocated, moves int64
}

// moverBudget lets a call finish what it finds: blocks that it leaves for the next one
// cost a page of the heap until then.
const moverBudget = 4

// moverGrain is what the offsets of blocks are multiples of.
const moverGrain = 16

// newMover returns a mover for an entry that is to be compacted, else nil. Its table
// has room for a few times peak, the most bytes that will be live, and is resident,
// so that it does not count as memory of the heap.
func newMover(e Entry, peak int64) *mover {
	if e.Compact == 0 {
		return nil
	}
	const least, most = 16 << 20, 256 << 20
	m := &mover{every: e.Compact, owner: make([]uint32, (least+3*min(peak, most))/moverGrain)}
	clear(m.owner)
	m.move = m.moved
	return m
}

// start makes the mover one of the heap h, which is empty.
func (m *mover) start(h Heap, fix func(owner uint32, to []byte)) error {
	if m == nil {
		return nil
	}
	c, ok := h.(compacter)
	if !ok {
		return fmt.Errorf("replay: %T cannot move blocks", h)
	}
	m.h, m.base, m.fix, m.due = c, 0, fix, 0
	return nil
}

// placed says that b is the block of owner now, nil that it has none. It may move
// blocks, also this one.
func (m *mover) placed(owner uint32, b []byte) error {
	if m == nil || base(b) == nil {
		return nil
	}
	if m.base == 0 {
		m.base = address(b) - uintptr(m.h.Offset(b)-firstBlock(m.h))
	}
	*m.at(b) = owner
	m.allocated += int64(len(b))
	m.due += len(b)
	if m.due < m.every {
		return nil
	}
	m.due = 0
	n, err := m.h.Compact(moverBudget*m.every, m.move)
	m.moves += int64(n)
	return err
}

// firstBlock returns where the first block of h begins.
func firstBlock(h compacter) arena.Offset {
	for b := range h.Blocks() {
		return b.Off
	}
	return 0
}

// moved is what Compact calls.
func (m *mover) moved(from, to []byte) bool {
	owner := *m.at(from)
	*m.at(to) = owner
	m.fix(owner, to)
	return true
}

// at returns the entry of the block b.
func (m *mover) at(b []byte) *uint32 {
	i := (address(b) - m.base) / moverGrain
	if i >= uintptr(len(m.owner)) {
		m.owner = append(m.owner, make([]uint32, 2*i-uintptr(len(m.owner)))...)
	}
	return &m.owner[i]
}

// share returns how much was moved of what was allocated.
func (m *mover) share() float64 {
	if m == nil || m.allocated == 0 {
		return 0
	}
	return float64(m.moves) / float64(m.allocated)
}

// runMoving is run with a mover.
func (p *Program) runMoving(a Heap, tab table, cfg *Config, m *mover) error {
	for i := range p.code {
		if i%stopEvery == 0 && cfg.stopped() {
			return &OpError{p.Name, i, ErrStopped}
		}
		if err := p.runPart(a, tab, i, i+1, cfg.raw); err != nil {
			return err
		}
		if err := p.placed(m, tab, i); err != nil {
			return err
		}
	}
	return nil
}

// follow makes the mover one of h whose blocks are in tab.
func (m *mover) follow(h Heap, tab table) error {
	return m.start(h, func(owner uint32, to []byte) { tab[owner] = base(to) })
}

// placed tells the mover of the block that operation i of p has left in tab.
func (p *Program) placed(m *mover, tab table, i int) error {
	if m == nil {
		return nil
	}
	in := &p.code[i]
	if err := m.placed(in.slot, view(tab[in.slot], p.sizeAfter(in))); err != nil {
		return &OpError{p.Name, i + 1, err}
	}
	return nil
}
