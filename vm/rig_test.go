package vm_test

import (
	"errors"
	"iter"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/stretchr/testify/require"
)

const (
	memBase = vm.PhysAddr(0x8000_0000)
	memSize = 4 << 20
	pageVA  = vm.VirtAddr(0x40_1000)
	pagePA  = memBase + 0x20_0000
	all     = vm.PermR | vm.PermW | vm.PermX | vm.PermU
)

// listTLB is the simplest TLB there can be: every entry ever inserted, until it
// is flushed. It never forgets, so it shows every stale translation.
type listTLB struct{ entries []vm.Entry }

func (l *listTLB) Lookup(asid vm.ASID, va vm.VirtAddr, _ vm.Access) (vm.Entry, bool) {
	for _, e := range l.entries {
		if e.Contains(va) && (e.Global || e.ASID == asid) {
			return e, true
		}
	}
	return vm.Entry{}, false
}

func (l *listTLB) LookupAll(asid vm.ASID, vas []vm.VirtAddr, acc vm.Access, ok vm.PermSet, pas []vm.PhysAddr) int {
	for i, va := range vas {
		e, hit := l.Lookup(asid, va, acc)
		if !hit || !ok.Has(e.Perm) {
			return i
		}
		pas[i] = e.Addr(va)
	}
	return len(vas)
}

func (l *listTLB) Insert(e vm.Entry, _ vm.Access) {
	l.Flush(vm.FlushVAASID(e.Page, e.ASID))
	l.entries = append(l.entries, e)
}

func (l *listTLB) Flush(f vm.Flush) int {
	kept := l.entries[:0]
	for _, e := range l.entries {
		if !f.Matches(e) {
			kept = append(kept, e)
		}
	}
	n := len(l.entries) - len(kept)
	l.entries = kept
	return n
}

func (l *listTLB) Entries() iter.Seq[vm.Entry] {
	return func(yield func(vm.Entry) bool) {
		for _, e := range l.entries {
			if !yield(e) {
				return
			}
		}
	}
}

// a rig is an address space with an MMU in front of it.
type rig struct {
	mem  *vm.Memory
	pool *pagetable.Pool
	t    *pagetable.Table
	tlb  *listTLB
	m    *vm.MMU
}

func newRig(t testing.TB, f *pagetable.Format, o pagetable.Options, mo vm.MMUOptions) *rig {
	t.Helper()
	r := &rig{tlb: &listTLB{}}
	var err error
	r.mem, err = vm.NewMemory(make([]byte, memSize), memBase)
	require.NoError(t, err)
	r.pool = pagetable.NewPool(memBase, 128, f.PageSize())
	o.Frames = r.pool
	r.t, err = pagetable.New(r.mem, f, &o)
	require.NoError(t, err)
	mo.TLB = r.tlb
	r.m = vm.NewMMU(r.mem, &mo)
	r.m.Switch(r.t, 1)
	return r
}

// image is all of memory, to show that nothing changed.
func (r *rig) image() string {
	b, _ := r.mem.Bytes(memBase, memSize)
	return string(b)
}

// faults asks for an access that must fail and change nothing.
func (r *rig) faults(t testing.TB, va vm.VirtAddr, acc vm.Access, kind vm.FaultKind) *vm.Fault {
	t.Helper()
	before, entries := r.image(), len(r.tlb.entries)
	_, err := r.m.Translate(va, acc)
	require.ErrorIs(t, err, kind)
	f, ok := errors.AsType[*vm.Fault](err)
	require.True(t, ok)
	require.Equal(t, va, f.VA)
	require.Equal(t, acc, f.Access)
	require.True(t, before == r.image(), "memory changed")
	require.Len(t, r.tlb.entries, entries, "the TLB was filled")
	return f
}

// poke changes bits of the entry for va at a level.
func (r *rig) poke(t testing.TB, va vm.VirtAddr, level int, set, clear uint64) (vm.PhysAddr, uint64) {
	t.Helper()
	addr, pte, ok := r.t.Locate(va, level)
	require.True(t, ok)
	pte = pte&^clear | set
	r.mem.Store(addr, uint64(r.t.Format().PTESize), pte)
	return addr, pte
}

func mapped(t testing.TB, f *pagetable.Format, o pagetable.Options) *rig {
	t.Helper()
	r := newRig(t, f, o, vm.MMUOptions{})
	require.NoError(t, r.t.Map(pageVA, pagePA, 4096, 4096, all))
	return r
}
