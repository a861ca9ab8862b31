package replay

import (
	"math/bits"
	"runtime/debug"

	"github.com/memlab-go/memlab/alloc"
)

// A Film is what pictures of one run are made of: where the blocks lay over
// time, what lay beside what when the live payload was at its peak, and which
// free blocks the heap had then.
type Film struct {
	Raster *Raster
	Peak   Snapshot
}

// A Snapshot is the memory at the peak of the live payload.
type Snapshot struct {
	Op    int       // operations done
	Cells []float64 // shares of the touched pages that are live payload, lowest address first; see [Raster] for the order
	Zoom  []Piece   // the window with the most changes between used and not
	Free  []FreeClass
}

// A Piece is a stretch of a snapshot's zoom window: payload of one live block,
// or what lies between (free, rounding, headers).
type Piece struct {
	Off, Size int // bytes from the start of the window
	Used      bool
}

// A FreeClass counts the free blocks of Min bytes and more, below twice Min.
type FreeClass struct {
	Min, Blocks, Bytes int
}

// zoomSize is the size in bytes of a snapshot's zoom window.
const zoomSize = 8 << 10

// A move is one change of what lies where.
type move struct {
	op   int32
	live bool // the block appears; else it disappears
	addr uintptr
	size int
}

// Shoot runs p on a heap of e and returns what could be seen. Addresses mean
// nothing for a heap that moves blocks by itself, of which Go has none. O(ops +
// bytes of blocks / page size).
func Shoot(p *Program, e Entry, cfg Config) (*Film, error) {
	if !e.Collected {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	h, err := e.New(cfg)
	if err != nil {
		return nil, err
	}
	defer h.Close() // its error tells of the blocks left, on purpose
	tab := make(table, p.Slots)
	moves := make([]move, 0, len(p.code))
	f := &Film{Peak: Snapshot{Op: p.PeakOp + 1}}
	m, at := newMover(e, p.PeakLive), int32(0)
	size := make([]int, p.Slots)
	err = m.start(h, func(slot uint32, to []byte) {
		moves = append(moves, move{at, false, address(view(tab[slot], 0)), size[slot]}, move{at, true, address(to), size[slot]})
		tab[slot] = base(to)
	})
	if err != nil {
		return nil, err
	}
	for i := range p.code {
		at = int32(i)
		if i%stopEvery == 0 && cfg.stopped() {
			return nil, &OpError{p.Name, i, ErrStopped}
		}
		in := &p.code[i]
		op, _, old := p.unpack(in)
		if was := tab[in.slot]; was != nil && (op == opFree || op == opRealloc) {
			moves = append(moves, move{int32(i), false, address(view(was, int(old))), int(old)})
		}
		if _, err := p.touching(h, tab, in); err != nil {
			return nil, &OpError{p.Name, i + 1, err}
		}
		if now := tab[in.slot]; now != nil {
			size[in.slot] = p.sizeAfter(in)
			moves = append(moves, move{int32(i), true, address(view(now, 0)), size[in.slot]})
		}
		if err := p.placed(m, tab, i); err != nil {
			return nil, err
		}
		if i == p.PeakOp {
			f.Peak.Free = freeClasses(h)
		}
	}
	pages := touchedPages(moves)
	f.Raster = newRaster(pages, moves, len(p.code))
	f.Peak.from(pages, moves)
	return f, nil
}

// sizeAfter returns the size of the block that in leaves in its slot.
func (p *Program) sizeAfter(in *instr) int {
	switch op, a, b := p.unpack(in); op {
	case opCalloc:
		return int(a * b)
	case opFree:
		return 0
	default:
		return int(a)
	}
}

// freeClasses lists the heap's free blocks by size, if it can be walked.
func freeClasses(h Heap) []FreeClass {
	w, ok := h.(alloc.Walker)
	if !ok {
		return nil
	}
	var classes [bits.UintSize]FreeClass
	top := 0
	for b := range w.Blocks() {
		if b.Used || b.Size <= 0 {
			continue
		}
		c := bits.Len(uint(b.Size)) - 1
		classes[c].Blocks++
		classes[c].Bytes += b.Size
		top = max(top, c)
	}
	const least = 3 // 8 bytes
	for c := range classes {
		classes[c].Min = 1 << c
	}
	if top < least {
		return nil
	}
	return append([]FreeClass(nil), classes[least:top+1]...)
}
