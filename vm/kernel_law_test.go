package vm

import (
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// mapTable is a page table that is a Go map, without dirty bits: a student's first.
type mapTable map[VirtAddr]Entry

func (t mapTable) Walk(va VirtAddr, acc Access) (Entry, *Fault) {
	e, f := t.Probe(va)
	if f == nil && !t.Permits(acc).Has(e.Perm) {
		return Entry{}, &Fault{Kind: Protection, VA: va, Access: acc}
	}
	return e, f
}

func (t mapTable) WalkAll(vas []VirtAddr, acc Access, pas []PhysAddr) (int, *Fault) {
	for i, va := range vas {
		e, f := t.Walk(va, acc)
		if f != nil {
			return i, f
		}
		pas[i] = e.Addr(va)
	}
	return len(vas), nil
}

func (t mapTable) Probe(va VirtAddr) (Entry, *Fault) {
	if e, ok := t[va&^4095]; ok {
		return e, nil
	}
	return Entry{}, &Fault{Kind: NotPresent, VA: va}
}

func (t mapTable) Permits(acc Access) (s PermSet) {
	for p := range Perm(NumPerms) {
		if p&need(acc) != 0 {
			s |= 1 << p
		}
	}
	return s
}

func (t mapTable) Map(va VirtAddr, pa PhysAddr, _, _ uint64, perm Perm) error {
	t[va] = Entry{Page: va, Frame: pa, Perm: perm, Shift: 12}
	return nil
}

func (t mapTable) Unmap(va VirtAddr, _ uint64) error {
	delete(t, va)
	return nil
}

func (t mapTable) Protect(va VirtAddr, _ uint64, perm Perm) error {
	return t.Map(va, t[va].Frame, 0, 0, perm)
}

func (t mapTable) Mappings() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, va := range slices.Sorted(maps.Keys(t)) {
			if !yield(t[va]) {
				return
			}
		}
	}
}

// queue is the FIFO of the documentation of Policy.
type queue struct{ q []PageID }

func (f *queue) Hit(PageID, bool)        {}
func (f *queue) Insert(p PageID, _ bool) { f.q = append(f.q, p) }
func (f *queue) Remove(p PageID) {
	f.q = slices.DeleteFunc(f.q, func(q PageID) bool { return q == p })
}

func (f *queue) Victim(PageID) (v PageID, ok bool) {
	if len(f.q) == 0 {
		return 0, false
	}
	v, f.q = f.q[0], f.q[1:]
	return v, true
}

type sliceDevice []byte

func (d sliceDevice) ReadAt(p []byte, off int64) (int, error)  { return copy(p, d[off:]), nil }
func (d sliceDevice) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

// lawKernel is a kernel with two forked spaces, ten pages of which some are on
// swap.
func lawKernel(t *testing.T) (*Kernel, *Space) {
	t.Helper()
	mem, err := NewMemory(make([]byte, 6*4096), 0)
	require.NoError(t, err)
	swap, err := NewSwap(make(sliceDevice, 20*(4096+swapTrailer)), 20, 0)
	require.NoError(t, err)
	k, err := NewKernel(mem, 0, &KernelOptions{
		NewTable: func(FrameSource) (Mapper, error) { return mapTable{}, nil }, Policy: &queue{}, Swap: swap,
	})
	require.NoError(t, err)
	s, err := k.NewSpace()
	require.NoError(t, err)
	va, err := s.Mmap(0x10_0000, 10*4096, PermR|PermW, nil)
	require.NoError(t, err)
	for i := range VirtAddr(10) {
		_, err := s.Write(va+i*4096, []byte{byte(i), 1, 2})
		require.NoError(t, err)
	}
	_, err = s.Fork()
	require.NoError(t, err)
	require.NoError(t, k.Check())
	return k, s
}

// TestKernelStudentTable runs a kernel on a page table without dirty bits.
func TestKernelStudentTable(t *testing.T) {
	k, s := lawKernel(t)
	child := k.Spaces()[1]
	for round := range byte(3) {
		for i := range VirtAddr(10) {
			_, err := child.Write(0x10_0000+i*4096, []byte{round})
			require.NoError(t, err)
			b := make([]byte, 3)
			_, err = s.Read(0x10_0000+i*4096, b)
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i), 1, 2}, b)
			_, err = child.Read(0x10_0000+i*4096, b)
			require.NoError(t, err)
			require.Equal(t, []byte{round, 1, 2}, b)
			require.NoError(t, k.Check())
		}
	}
	s.Destroy()
	child.Destroy()
	require.NoError(t, k.Check())
	require.Equal(t, 6, k.frames.Free())
	require.Zero(t, k.opts.Swap.Used())
}

// TestKernelCheckFinds breaks each law and expects Check to name it.
func TestKernelCheckFinds(t *testing.T) {
	resident := func(s *Space) (VirtAddr, *entry) {
		for _, n := range s.touched(0x10_0000, 0x20_0000) {
			if e := s.entries[n]; e.mapped {
				return s.address(n), e
			}
		}
		panic("no page is mapped")
	}
	for _, c := range []struct {
		law   string
		spoil func(k *Kernel, s *Space)
	}{
		{"K1", func(k *Kernel, _ *Space) { k.frames.free++ }},
		{"K2", func(k *Kernel, _ *Space) { k.tables++ }},
		{"K2", func(k *Kernel, _ *Space) { k.resident-- }},
		{"K3", func(_ *Kernel, s *Space) { va, _ := resident(s); must(s.table.Unmap(va, 4096)) }},
		{"K3", func(_ *Kernel, s *Space) { must(s.table.Map(0x70_0000, 0, 4096, 4096, PermR)) }},
		{"K3", func(k *Kernel, s *Space) {
			va, e := resident(s)
			must(k.frames.RemoveMapping(e.page.frame, Mapping{s.asid, va}))
		}},
		{"K4", func(_ *Kernel, s *Space) { _, e := resident(s); e.page.users++ }},
		{"K4", func(_ *Kernel, s *Space) { _, e := resident(s); e.pins++ }},
		{"K5", func(k *Kernel, _ *Space) { k.opts.Swap.alloc() }},
		{"K5", func(k *Kernel, _ *Space) {
			for _, p := range k.pages {
				if p.slot >= 0 {
					p.slot = 19
					return
				}
			}
		}},
		{"K6", func(_ *Kernel, s *Space) { s.areas[0].lo += 4096 * 5 }},
		{"K6", func(_ *Kernel, s *Space) { s.areas[0].hi = s.areas[0].lo }},
		{"K7", func(_ *Kernel, s *Space) { va, _ := resident(s); must(s.table.Protect(va, 4096, PermR|PermW)) }},
		{"K8", func(k *Kernel, _ *Space) { k.stats.Minor++ }},
		{"K8", func(k *Kernel, _ *Space) { k.stats.CleanEvictions++ }},
		{"K8", func(k *Kernel, _ *Space) { k.opts.Swap.stats.Reads++ }},
		{"K10", func(_ *Kernel, s *Space) { s.huge = map[uint64]bool{7: true} }},
		{"K10", func(_ *Kernel, s *Space) { s.filled = map[uint64]int{7: 3} }},
		{"K11", func(k *Kernel, _ *Space) { k.common.charged++ }},
		{"K11", func(_ *Kernel, s *Space) { _, e := resident(s); e.page.pool = newPool(nil, nil) }},
		{"K11", func(k *Kernel, s *Space) {
			va, _ := resident(s)
			must(s.PageOut(va))
			k.bytes(k.zeroPage())[5] = 1
		}},
	} {
		k, s := lawKernel(t)
		c.spoil(k, s)
		require.ErrorContains(t, k.Check(), c.law+":")
	}
}
