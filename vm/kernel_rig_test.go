package vm_test

import (
	"io"
	"iter"
	"testing"

	"github.com/memlab-go/memlab/vm"
	"github.com/memlab-go/memlab/vm/pagetable"
	"github.com/memlab-go/memlab/vm/replace"
	"github.com/memlab-go/memlab/vm/tlb"
	"github.com/stretchr/testify/require"
)

const page = 4096

// memDevice is a disk of bytes.
type memDevice struct{ b []byte }

func (d *memDevice) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(d.b)) {
		return 0, io.EOF
	}
	n := copy(p, d.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *memDevice) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(d.b) {
		d.b = append(d.b, make([]byte, end-len(d.b))...)
	}
	return copy(d.b[off:], p), nil
}

// a lab is a kernel with all its parts.
type lab struct {
	k      *vm.Kernel
	swap   *vm.Swap
	disk   *vm.FaultyDevice
	format *pagetable.Format
}

// labOptions say how a lab is made; zero fields: Sv39, LRU, a TLB of 16 entries.
type labOptions struct {
	format   *pagetable.Format
	table    pagetable.Options
	policy   vm.Policy
	noPolicy bool
	slots    int // of swap; 0: no swap
	disk     vm.Device
	noZero   bool
	huge     uint64
	local    func() (vm.Policy, vm.Quota)
	events   vm.Sink
}

func newLab(t testing.TB, frames int, o labOptions) *lab {
	t.Helper()
	l := &lab{format: o.format}
	if l.format == nil {
		l.format = &pagetable.Sv39
	}
	if o.policy == nil && !o.noPolicy && o.local == nil {
		o.policy = replace.NewLRU()
	}
	if o.slots > 0 {
		if o.disk == nil {
			o.disk = &memDevice{}
		}
		l.disk = &vm.FaultyDevice{Device: o.disk}
		var err error
		l.swap, err = vm.NewSwap(l.disk, o.slots, 0)
		require.NoError(t, err)
	}
	mem, err := vm.NewMemory(make([]byte, frames*page), 0x8000_0000)
	require.NoError(t, err)
	conf, err := tlb.ParseSpec("16x4")
	require.NoError(t, err)
	cache, err := tlb.New(conf)
	require.NoError(t, err)
	l.k, err = vm.NewKernel(mem, 0, &vm.KernelOptions{
		NewTable: func(src vm.FrameSource) (vm.Mapper, error) {
			to := o.table
			to.Frames = src
			return pagetable.New(mem, l.format, &to)
		},
		Policy: o.policy, Swap: l.swap, MMU: vm.MMUOptions{TLB: cache, Events: o.events}, StackSize: 16 * page,
		NoZeroFrame: o.noZero, HugePage: o.huge, Local: o.local,
	})
	require.NoError(t, err)
	t.Cleanup(func() { // nothing may be left when all spaces are gone
		require.NoError(t, l.k.Check())
		for _, s := range l.k.Spaces() {
			s.Destroy()
		}
		require.NoError(t, l.k.Check())
	})
	return l
}

func (l *lab) space(t testing.TB) *vm.Space {
	t.Helper()
	s, err := l.k.NewSpace()
	require.NoError(t, err)
	return s
}

// anon maps n private pages.
func anon(t testing.TB, s *vm.Space, n int) vm.VirtAddr {
	t.Helper()
	va, err := s.Mmap(0, uint64(n*page), vm.PermR|vm.PermW, nil)
	require.NoError(t, err)
	return va
}

func put(t testing.TB, s *vm.Space, va vm.VirtAddr, text string) {
	t.Helper()
	n, err := s.Write(va, []byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
	require.NoError(t, s.Kernel().Check())
}

func get(t testing.TB, s *vm.Space, va vm.VirtAddr, n int) string {
	t.Helper()
	b := make([]byte, n)
	m, err := s.Read(va, b)
	require.NoError(t, err)
	require.Equal(t, n, m)
	require.NoError(t, s.Kernel().Check())
	return string(b)
}

// requireEmpty destroys all spaces: frames and slots are free then.
func (l *lab) requireEmpty(t testing.TB) {
	t.Helper()
	for _, s := range l.k.Spaces() {
		s.Destroy()
		require.NoError(t, l.k.Check())
	}
	require.Equal(t, l.k.Frames().Len(), l.k.Frames().Free(), "frames leak")
	if l.swap != nil {
		require.Zero(t, l.swap.Used(), "swap slots leak")
	}
}

// tableWalker is a page table that names its frames.
type tableWalker interface {
	Tables() iter.Seq[pagetable.TableFrame]
}
