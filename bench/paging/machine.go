package paging

import (
	"fmt"
	"io"

	"github.com/memlab-go/memlab/arena"
	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/memlab-go/memlab/vm/tlb"
)

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	hugePage  = 2 << 20

	// base is where the allocator's region lies in every simulated space, aligned
	// to huge pages, and reach is how much of it is mapped.
	base  = vm.VirtAddr(1 << 44)
	reach = 1 << 41
)

// A machine is one simulated computer with one process.
type machine struct {
	k     *vm.Kernel
	s     *vm.Space
	cache *tlb.TLB
	mem   *arena.Region
	sum   int64 // of resident pages, over the operations
	peak  int
}

// machineOptions say what a machine has.
type machineOptions struct {
	tlb    string
	frames int
	policy vm.Policy // nil: no swap either
	slots  int
	huge   bool
}

// everyone lets every space use every frame: the stream is not what is checked.
type everyone struct{}

func (everyone) Owns(vm.ASID, vm.PhysAddr, uint64) bool { return true }

func newMachine(o machineOptions) (_ *machine, err error) {
	m := &machine{}
	if m.mem, err = arena.Reserve(o.frames*pageSize, nil); err != nil {
		return nil, fmt.Errorf("paging: memory of %d frames: %w", o.frames, err)
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if err := m.mem.Commit(0, o.frames*pageSize); err != nil {
		return nil, fmt.Errorf("paging: memory of %d frames: %w", o.frames, err)
	}
	mem, err := vm.NewMemory(m.mem.Bytes()[:o.frames*pageSize], 0)
	if err != nil {
		return nil, err
	}
	conf, err := tlb.ParseSpec(o.tlb)
	if err != nil {
		return nil, err
	}
	if m.cache, err = tlb.New(conf); err != nil {
		return nil, err
	}
	ko := &vm.KernelOptions{
		NewTable: func(src vm.FrameSource) (vm.Mapper, error) {
			return pagetable.New(mem, &pagetable.X86_64, &pagetable.Options{Frames: src})
		},
		Policy: o.policy, High: 1 << 46, MMU: vm.MMUOptions{TLB: m.cache, Frames: everyone{}},
	}
	if o.huge {
		ko.HugePage = hugePage
	}
	if o.slots > 0 {
		if ko.Swap, err = vm.NewSwap(&zeroDisk{}, o.slots, pageSize); err != nil {
			return nil, err
		}
	}
	if m.k, err = vm.NewKernel(mem, pageSize, ko); err != nil {
		return nil, err
	}
	if m.s, err = m.k.NewSpace(); err != nil {
		return nil, err
	}
	_, err = m.s.Mmap(base, reach, vm.PermR|vm.PermW, nil)
	return m, err
}

func (m *machine) close() {
	if m.mem != nil {
		m.mem.Close()
	}
}

// touch makes one access to a page.
func (m *machine) touch(page uint64, acc vm.Access) error {
	_, err := m.s.Touch(base+vm.VirtAddr(page<<pageShift), acc)
	return err
}

// sample books the resident pages after an operation.
func (m *machine) sample() {
	n := m.k.Resident()
	m.sum += int64(n)
	m.peak = max(m.peak, n)
}

// discard gives the whole pages of [lo, hi), offsets in the region, back.
func (m *machine) discard(lo, hi uint64) error {
	lo, hi = (lo+pageSize-1)&^(pageSize-1), hi&^(pageSize-1)
	if lo >= hi {
		return nil
	}
	return m.s.Discard(base+vm.VirtAddr(lo), hi-lo)
}

// move moves whole pages.
func (m *machine) move(to, from, n uint64) error {
	return m.s.MovePages(base+vm.VirtAddr(to), base+vm.VirtAddr(from), n)
}

// tightPolicy makes the policy of the machine that is short of memory.
func tightPolicy(spec string, frames int, seed uint64) (vm.Policy, error) {
	return replace.New(spec, replace.Config{Frames: frames, Seed: int64(seed)})
}

// zeroDisk is a disk for pages whose contents do not matter: the machines only
// touch pages, so that every page is zeros. It keeps what follows them, the
// trailers by which [vm.Swap] knows its slots.
type zeroDisk struct {
	trailers []byte
}

const trailerSize = 16

// WriteAt implements io.WriterAt for whole records of [vm.Swap].
func (d *zeroDisk) WriteAt(p []byte, off int64) (int, error) {
	at := int(off/(pageSize+trailerSize)) * trailerSize
	if n := at + trailerSize; n > len(d.trailers) {
		d.trailers = append(d.trailers, make([]byte, n-len(d.trailers))...)
	}
	copy(d.trailers[at:], p[pageSize:])
	return len(p), nil
}

// ReadAt implements io.ReaderAt for whole records of [vm.Swap].
func (d *zeroDisk) ReadAt(p []byte, off int64) (int, error) {
	at := int(off/(pageSize+trailerSize)) * trailerSize
	if at+trailerSize > len(d.trailers) {
		return 0, io.EOF
	}
	clear(p[:pageSize])
	return pageSize + copy(p[pageSize:], d.trailers[at:at+trailerSize]), nil
}
