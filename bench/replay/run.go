package replay

import (
	"fmt"

	"github.com/memlab-go/memlab/alloc"
)

// An OpError says at which operation of a trace an allocator failed.
type OpError struct {
	Trace string
	Op    int // from 1
	Err   error
}

// Error formats e as "git-log: operation 17: alloc: …".
func (e *OpError) Error() string {
	return fmt.Sprintf("%s: operation %d: %v", e.Trace, e.Op, e.Err)
}

// Unwrap returns what the allocator said.
func (e *OpError) Unwrap() error { return e.Err }

// run executes p on a, whose mover is m if it has one. It writes the first byte of
// each block it gets.
func (p *Program) run(a Heap, tab table, cfg *Config, m *mover) error {
	if m != nil {
		return p.runMoving(a, tab, cfg, m)
	}
	for lo := 0; lo < len(p.code); lo += stopEvery {
		if cfg.stopped() {
			return &OpError{p.Name, lo, ErrStopped}
		}
		if err := p.runPart(a, tab, lo, min(lo+stopEvery, len(p.code)), cfg.raw); err != nil {
			return err
		}
	}
	return nil
}

// runBig executes an operation whose sizes do not fit its instruction.
func (p *Program) runBig(a alloc.Allocator, tab table, in *instr) (err error) {
	entry := &tab[in.slot]
	var b []byte
	switch op, x, y := p.unpack(in); op {
	case opMalloc:
		b, err = a.Malloc(int(x))
	case opRealloc:
		b, err = a.Realloc(view(*entry, int(y)), int(x))
	case opCalloc:
		b, err = a.Calloc(int(x), int(y))
	default:
		a.Free(view(*entry, int(y)))
	}
	if err != nil {
		return err
	}
	if len(b) > 0 {
		b[0] = byte(in.slot)
	}
	*entry = base(b)
	return nil
}

// freeLeft frees what p leaves live, so that it can run again.
func (p *Program) freeLeft(a alloc.Allocator, tab table) {
	for i := range p.left {
		in := &p.left[i]
		_, _, size := p.unpack(in)
		a.Free(view(tab[in.slot], int(size)))
		tab[in.slot] = nil
	}
}
