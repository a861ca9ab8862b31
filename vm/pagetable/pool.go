package pagetable

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
)

// A Pool is a simple [vm.FrameSource]: a range of frames, handed out from the
// bottom, taken back on a list and reused last-in first-out. It is enough to hold
// tables; it is not safe for concurrent use by several tables.
type Pool struct {
	next, end vm.PhysAddr
	size      uint64
	free      map[int][]vm.PhysAddr // by number of frames
	used      map[vm.PhysAddr]int
}

// NewPool returns a pool of the frames of the given size in bytes (a power of
// two) in [base, base+n*size). base must be a multiple of size.
func NewPool(base vm.PhysAddr, n int, size uint64) *Pool {
	return &Pool{next: base, end: base + vm.PhysAddr(uint64(n)*size), size: size, free: map[int][]vm.PhysAddr{}, used: map[vm.PhysAddr]int{}}
}

// AllocFrames returns n adjacent frames, aligned to their size together.
func (p *Pool) AllocFrames(n int) (vm.PhysAddr, error) {
	if l := p.free[n]; len(l) > 0 {
		pa := l[len(l)-1]
		p.free[n] = l[:len(l)-1]
		p.used[pa] = n
		return pa, nil
	}
	bytes := vm.PhysAddr(uint64(n) * p.size)
	pa := (p.next + bytes - 1) &^ (bytes - 1)
	if pa > p.end || p.end-pa < bytes {
		return 0, &vm.Fault{Kind: vm.OutOfFrames, Level: -1, Note: fmt.Sprintf("pool of %d frames in use", len(p.used))}
	}
	for q := p.next; q < pa; q += vm.PhysAddr(p.size) {
		p.free[1] = append(p.free[1], q)
	}
	p.next = pa + bytes
	p.used[pa] = n
	return pa, nil
}

// FreeFrames takes back what AllocFrames(n) returned. It panics with a *vm.Fault
// of kind FrameDoubleFree on anything else, before anything is changed.
func (p *Pool) FreeFrames(pa vm.PhysAddr, n int) {
	if p.used[pa] != n || n == 0 {
		panic(&vm.Fault{Kind: vm.FrameDoubleFree, Level: -1, PA: pa})
	}
	delete(p.used, pa)
	p.free[n] = append(p.free[n], pa)
}

// Used returns how many tables are out.
func (p *Pool) Used() int { return len(p.used) }

// Next returns the address below which all frames ever handed out lie.
func (p *Pool) Next() vm.PhysAddr { return p.next }
