package pagetable

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/memlab-go/memlab/vm"
)

// A Table is an address space: a root in simulated physical memory, read by the
// rules of a [Format] under [Options].
//
// Laws (see [Table.Check]): no frame serves as two tables or as table and page;
// leaves stand only at levels that allow them; reserved bits are zero; huge
// frames are aligned; every frame lies in memory.
//
// Walks may run on many goroutines while others change the mapping: each walk
// sees the table before or after a change, never between.
type Table struct {
	mem    *vm.Memory
	words  []uint64 // mem.Words(), for the fast walk
	root   vm.PhysAddr
	plan   plan
	second *Table // second stage under this one, or nil
	stage  uint8  // of its step events: 0 alone, else 1 or 2
	sink   vm.Sink

	// mu is held while the mapping changes and by walks that update or fail.
	// seq is odd meanwhile a change is under way: a fast walk that saw it move
	// is made again under mu.
	mu    sync.Mutex
	seq   atomic.Uint64
	owned map[vm.PhysAddr]uint8 // tables that came from Frames, by level
}

// New makes an empty address space of format f in mem, with a root from
// o.Frames, which must be set.
func New(mem *vm.Memory, f *Format, o *Options) (*Table, error) {
	if o == nil || o.Frames == nil {
		return nil, fmt.Errorf("pagetable: %s: New needs Options.Frames for the root", f.Name)
	}
	t, err := open(mem, f, 0, o)
	if err != nil {
		return nil, err
	}
	if t.root, err = t.newTable(t.plan.top); err != nil {
		return nil, err
	}
	return t, nil
}

// Open makes an address space of what is in mem already: the tables under root.
// A nil o means the defaults. Nothing is checked here; see [Table.Check].
func Open(mem *vm.Memory, f *Format, root vm.PhysAddr, o *Options) (*Table, error) {
	return open(mem, f, root, o)
}

func open(mem *vm.Memory, f *Format, root vm.PhysAddr, o *Options) (*Table, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if err := opts.validate(f, mem); err != nil {
		return nil, err
	}
	t := &Table{mem: mem, words: mem.Words(), root: root, plan: newPlan(f, &opts), owned: map[vm.PhysAddr]uint8{}}
	if size := t.plan.format.tableSize(t.plan.top); uint64(root)%size != 0 {
		return nil, fmt.Errorf("pagetable: %s: root %v is not aligned to %#x", f.Name, root, size)
	}
	return t, nil
}

// Root returns the physical address of the root, as it stands in CR3, satp or
// TTBR0 (as an address).
func (t *Table) Root() vm.PhysAddr { return t.root }

// Format returns a copy of the table's format.
func (t *Table) Format() *Format {
	f := t.plan.format.clone()
	return &f
}

// Options returns the table's options with the defaults filled in.
func (t *Table) Options() Options { return t.plan.opts }

// Memory returns the memory that the tables live in.
func (t *Table) Memory() *vm.Memory { return t.mem }

// SetEvents makes t report its steps to sink; nil turns that off. It must not be
// called while walks run.
func (t *Table) SetEvents(sink vm.Sink) {
	t.sink = sink
	if t.second != nil {
		t.second.sink = sink
	}
}

// Permits returns which rights allow acc; see [vm.PageTable].
func (t *Table) Permits(acc vm.Access) vm.PermSet {
	if !acc.Valid() {
		return 0
	}
	return t.plan.permit[acc]
}

// Walk translates va for acc; see [vm.PageTable]. It reads one entry per level.
func (t *Table) Walk(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	if e, ok := t.walkFast(va, acc); ok {
		return e, nil
	}
	return t.walkExact(va, acc, modeAccess)
}

// Probe translates va whatever its rights are and changes nothing.
func (t *Table) Probe(va vm.VirtAddr) (vm.Entry, *vm.Fault) {
	return t.walkExact(va, vm.Read, modeProbe)
}

// WalkDry says how Walk would end and changes nothing; see [vm.DryWalker].
func (t *Table) WalkDry(va vm.VirtAddr, acc vm.Access) (vm.Entry, *vm.Fault) {
	return t.walkExact(va, acc, modeCheck)
}

// walkExact walks by all the rules, under the lock.
func (t *Table) walkExact(va vm.VirtAddr, acc vm.Access, mode walkMode) (vm.Entry, *vm.Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := walker{t: t, va: va, acc: acc, mode: mode, quiet: mode != modeAccess}
	if w.run() {
		return w.entry, nil
	}
	return vm.Entry{}, w.takeFault()
}

// takeFault copies the fault to the heap, so that only faults allocate.
func (w *walker) takeFault() *vm.Fault {
	f := w.fault
	return &f
}

// WalkCached is Walk that begins where c knows the way; see [vm.CachedWalker].
func (t *Table) WalkCached(va vm.VirtAddr, acc vm.Access, asid vm.ASID, c vm.WalkCache) (vm.Entry, *vm.Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := walker{t: t, va: va, acc: acc, asid: asid, cache: c}
	if w.run() {
		return w.entry, nil
	}
	return vm.Entry{}, w.takeFault()
}

// inRAM reports whether all of [pa, pa+size) may hold a page.
func (t *Table) inRAM(pa vm.PhysAddr, size uint64) bool {
	o := &t.plan.opts
	off := uint64(pa - o.RAMBase)
	return pa >= o.RAMBase && size <= o.RAMSize && off <= o.RAMSize-size
}

// newTable takes a zeroed table for level i from the frame source.
func (t *Table) newTable(i int) (vm.PhysAddr, error) {
	f := &t.plan.format
	if t.plan.opts.Frames == nil {
		return 0, &vm.Fault{Kind: vm.OutOfFrames, Level: i, Note: "the table has no frame source"}
	}
	n := t.tableFrames(i)
	pa, err := t.plan.opts.Frames.AllocFrames(n)
	if err != nil {
		return 0, err
	}
	if size := uint64(n) * f.PageSize(); !t.mem.Zero(pa, size) {
		t.plan.opts.Frames.FreeFrames(pa, n)
		return 0, &vm.Fault{Kind: vm.BadFrame, Level: i, PA: pa, Note: "the frame source gave a frame outside memory"}
	}
	t.owned[pa] = uint8(i)
	return pa, nil
}

// tableFrames returns how many frames a table at level i takes.
func (t *Table) tableFrames(i int) int {
	f := &t.plan.format
	return int(max(f.tableSize(i)/f.PageSize(), 1))
}

// freeTable gives a table back, if it is ours to give.
func (t *Table) freeTable(pa vm.PhysAddr) {
	if i, ok := t.owned[pa]; ok {
		delete(t.owned, pa)
		t.plan.opts.Frames.FreeFrames(pa, t.tableFrames(int(i)))
	}
}
